"""A text file of the allowed paths: levels joined by " > ", as Google's product taxonomy has it, or by "/"."""

import json
import re
from pathlib import Path

from visnet.taxonomy.paths import joined, levels_of
from visnet.taxonomy.texts import read_utf8
from visnet.taxonomy.tree import NOTHING_TO_CHOOSE, checked_levels

ARROW = re.compile(r"\s>(?=\s)")  # in a line with a space at either end
NUMBER = re.compile(r"\d+ -(?:\s+|$)")
WANTED = "one path a line is wanted, its levels joined by ' > ' or by /"
SHOWN = 60  # characters of a line that a refusal quotes


def read_paths(file: Path) -> tuple[str, ...]:
    """Read the allowed paths of a text file, in its order, as the texts that `Taxonomy.of` takes.

    Lines that begin with # are comments; a leading number ("123 - ") is dropped. Where any line has " > ", that joins
    the levels of all, and a / belongs to a name; elsewhere / joins them, as in `visnet.taxonomy.paths`. `ValueError`
    names file and line: a path twice, a level without a name, no or one path, and what is no such file.
    """
    lines = [(number, line.strip()) for number, line in enumerate(_text(file).split("\n"), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    lines = [(number, line[match.end() :] if (match := NUMBER.match(line)) else line) for number, line in lines]
    arrows = any(" > " in line for _, line in lines)
    found: dict[tuple[str, ...], int] = {}  # levels -> line
    paths = []
    for number, line in lines:
        try:
            path = joined([level.strip() for level in ARROW.split(f" {line} ")]) if arrows else line
            levels = tuple(checked_levels(path))
        except ValueError:
            raise ValueError(f"{file}: line {number}: {line!r:.{SHOWN}}: a level has no name") from None
        if levels in found:
            raise ValueError(f"{file}: line {number}: {line!r:.{SHOWN}}: the path is on line {found[levels]} already")
        found[levels] = number
        paths.append(path)
    if not paths:
        raise ValueError(f"{file}: no path is in it; {WANTED}")
    if len(paths) == 1:
        raise ValueError(f"{file}: line {found[tuple(levels_of(paths[0]))]}: its only path; {NOTHING_TO_CHOOSE}")
    return tuple(paths)


def allowed_paths(file: Path) -> tuple[str, ...]:
    """Read allowed paths as `read_paths` does; none where there is no such file, or only comments are in it."""
    if file.is_file() and all(not line.strip() or line.lstrip().startswith("#") for line in _text(file).split("\n")):
        return ()
    return read_paths(file) if file.exists() else ()


def _text(file: Path) -> str:
    text = read_utf8(file, f"a text file is wanted, {WANTED}").replace("\r\n", "\n").replace("\r", "\n")
    if _is_json(text) or _is_json(text.strip().partition("\n")[0]):
        raise ValueError(f"{file}: line 1: JSON; {WANTED}")
    return text


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("[", "{")):
        return False
    try:
        json.loads(text)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True
