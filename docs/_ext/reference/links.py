"""Links of Markdown that lead out of docs/: to a page that stands for the file, or else to nothing but its name."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
PROJECT = DOCS / "reference" / "generated" / "project"
PAGES = {  # files of the repository that are pages of the site, too
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "kernels/nearest/README.md": "nearest",
    "benchmarks/results/serve.md": "serve",
    "benchmarks/results/churn.md": "churn",
    "benchmarks/results/churn-normal.md": "churn-normal",
    "benchmarks/results/duplicates.md": "duplicates",
}
LINK = re.compile(r"(?<!!)\[([^\]\n]*(?:\n[^\]\n]*)?)\]\(([^)\s]+)\)")


def links(text: str) -> list[str]:
    """List where the links and pictures of a page lead, without those of its examples."""
    return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", re.sub(r"(?ms)^```.*?^```$", "", text))


def rewritten(text: str, source: Path, page: Path) -> str:
    """Return the text of `source` with links that hold for `page` in the site."""

    def put(found: re.Match[str]) -> str:
        said, (target, _, anchor) = found[1], found[2].partition("#")
        if not target or "://" in target:
            return found[0]
        there = Path(os.path.normpath(source.parent / target))
        if there.is_relative_to(DOCS):
            at = there
        elif (name := there.relative_to(ROOT).as_posix()) in PAGES:
            at = PROJECT / f"{PAGES[name]}.md"
        else:
            return said if name in said else f"{said} (`{name}`)"
        return f"[{said}]({os.path.relpath(at, page.parent)}{'#' + anchor if anchor else ''})"

    parts, at = [], 0
    for example in re.finditer(r"(?ms)^```.*?^```$", text):
        parts += [LINK.sub(put, text[at : example.start()]), example[0]]
        at = example.end()
    return "".join([*parts, LINK.sub(put, text[at:])])


def project_pages() -> dict[Path, str]:
    """Return the pages that stand for files of the repository, and what they say."""
    found = {}
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        at = PROJECT / f"{page}.md"
        found[at] = rewritten(re.sub(r"(?m)^```(\w+) .*$", r"```\1", text), ROOT / name, at)
    return found
