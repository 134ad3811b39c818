"""Markdown that Sphinx reads back as it was meant."""

import re
from collections.abc import Iterable, Sequence


def text(said: object) -> str:
    """Return plain text: what Markdown or a cell of a table would take for its own is escaped, but for `code`."""
    parts = re.split(r"(`[^`]+`)", " ".join(str(said).split()))
    escaped = [part if at % 2 else re.sub(r"([\\*_<>\[\]{}$~#])", r"\\\1", part) for at, part in enumerate(parts)]
    return "".join(escaped).replace("|", r"\|")


def code(said: object) -> str:
    """Return what is typed, as code; nothing of nothing."""
    return f"`{said}`".replace("|", r"\|") if str(said) else ""


def paragraphs(said: str) -> str:
    """Return a docstring, paragraph by paragraph; lines that are indented stay as they are."""
    found = []
    for part in re.split(r"\n\s*\n", said.strip()):
        verbatim = all(line.startswith("    ") for line in part.splitlines())
        found.append(f"```\n{part}\n```" if verbatim else text(part))
    return "\n\n".join(found)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already, without the columns in which nothing stands; "" of no row."""
    cells = [list(row) for row in rows]
    kept = [at for at in range(len(heads)) if any(row[at] for row in cells)]
    lines = [[heads[at] for at in kept], ["---"] * len(kept), *([row[at] for at in kept] for row in cells)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n" if cells else ""
