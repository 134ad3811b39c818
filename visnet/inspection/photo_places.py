"""Which folder the paths of a table start at: the one in which the first of them exist."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

NAMES = ("images", "photos", "img", "imgs", "image", "photo", "pictures", "pics", "media", "files", "data")
LOOKED_AT = 50  # paths
FOLDERS = 50  # others that lie beside the table


@dataclass(frozen=True)
class Beside:
    """Where photos are, from the table's folder. found: the paths, of those looked at, that are there."""

    images: str
    found: tuple[str, ...] = ()
    wanted: str = ""
    tried: tuple[str, ...] = ()

    def refusal(self, table: Path) -> str:
        """Say that no photo is there, and what to write."""
        return (
            f"{table}: none of its photos is there, as {self.wanted}; looked in {', '.join(self.tried[:8])}; put them "
            'beside the table, or write in [raw_images.table] images = "…"'
        )


def beside(paths: Sequence[str], table: Path) -> Beside:
    """Look for the first of the paths in the table's folder, in those beside it, and at absolute places."""
    wanted = list(dict.fromkeys(path for path in paths if path))[:LOOKED_AT]
    absolute = [path for path in wanted if os.path.isabs(os.path.expanduser(path))]
    if 2 * len(absolute) > len(wanted):
        there = [path for path in absolute if os.path.isfile(os.path.expanduser(path))]
        common = os.path.commonpath([os.path.dirname(path) for path in there]) if there else ""
        return Beside(common, tuple(there), wanted[0], ("the places that they name",))
    tried, best = [], Beside("", wanted=wanted[0] if wanted else "")
    for folder in _candidates(table):
        tried.append(folder)
        there = [path for path in wanted if _is_file(table.parent / folder / path)]
        if len(there) > len(best.found):
            best = Beside(folder, tuple(there), wanted[0])
    return Beside(best.images, best.found, best.wanted, tuple(tried))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text that is no name
        return False


def _candidates(table: Path) -> Iterator[str]:
    """Yield folders from the table's own, those that are called as such folders are first."""
    for start in [table.name, "."] if table.is_dir() else ["."]:
        root = table.parent / start
        try:
            folders = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[:1] != ".")
        except OSError:
            continue
        named = [name for name in NAMES if name in map(str.lower, folders)]
        ordered = sorted(folders, key=lambda name: named.index(name.lower()) if name.lower() in named else len(named))
        yield start
        yield from (os.path.join(start, name) if start != "." else name for name in ordered[:FOLDERS])
    yield from ("..", *(f"../{name}" for name in NAMES if (table.parent / ".." / name).is_dir()))
