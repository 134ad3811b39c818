"""Sphinx extension: before a build, write the reference pages from the code, into `reference/generated`."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reference import api, commands, links, parameters, reports, zoo

PAGES: Mapping[str, Callable[[], str]] = {
    "parameters": parameters.page,
    "commands": commands.page,
    "api": api.page,
    "zoo": zoo.page,
    "reports": reports.page,
}
HEAD = "<!-- Written from the code by docs/_ext/reference; changes here are lost. -->\n\n"


def pages() -> dict[Path, str]:
    """Return every generated page and what it says."""
    made = {links.PROJECT.parent / f"{name}.md": HEAD + page() for name, page in PAGES.items()}
    return made | links.project_pages()


def write() -> None:
    """Write every page that differs from what stands there, and remove those that are none."""
    made = pages()
    for file, text in made.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            building = file.with_suffix(f".{os.getpid()}")
            building.write_text(text, encoding="utf-8")
            building.replace(file)  # two builds at once each find whole pages
    for file in links.PROJECT.parent.rglob("*.md"):
        if file not in made:
            file.unlink()


def _linked(app: Any, name: str, source: list[str]) -> None:
    page = Path(app.srcdir) / f"{name}.md"
    if links.PROJECT.parent not in page.parents:
        source[0] = links.rewritten(source[0], page, page)


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", lambda app: write())
    app.connect("source-read", _linked)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
