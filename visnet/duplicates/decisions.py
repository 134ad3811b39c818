"""What a person has decided of pairs of photos: `duplicates.csv`, which is asked before anyone is asked again.

The file has the columns decision, a, b:

    confirmed,<a>,<b>    the two show one picture, and the products that they stand for are one listing
    dismissed,<a>,<b>    they do not, or it does not matter

a and b say what the photos are made of (`photo_key`), so a decision holds for whoever shows these two, under whatever
ids, and both may be the same: one file that stands for two products. What no photo has any more is kept: it may come
back. Order and repeats do not matter; a pair is decided once.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from visnet.storage import atomic

HEADER = ("decision", "a", "b")
CONFIRMED, DISMISSED = WHAT = ("confirmed", "dismissed")

Row = tuple[str, str, str]
Pair = tuple[str, str]


def pair(a: str, b: str) -> Pair:
    """Return the two photos in order."""
    return (a, b) if a <= b else (b, a)


def row(what: str, a: str, b: str) -> Row:
    """Return a decision as it is kept; `ValueError` says what is allowed."""
    if what not in WHAT:
        raise ValueError(f"decision is {what!r}; allowed are {', '.join(WHAT)}")
    if not a or not b or {"\n", "\r"} & {*a, *b}:
        raise ValueError(f"a is {a!r}, b is {b!r}; needed are two photos' keys (of one line)")
    return (what, *pair(a, b))


@dataclass(frozen=True)
class Decisions:
    """A set of decisions, each as `row` returns it, none of them against another."""

    rows: frozenset[Row] = frozenset()

    def of(self) -> dict[Pair, str]:
        """Return pair -> what was decided."""
        return {(a, b): what for what, a, b in self.rows}

    def put(self, one: Row, on: bool) -> "Decisions":
        """Return these with one more, in the place of what was decided of the pair before, or with one less."""
        kept = self.rows - {(what, *one[1:]) for what in (WHAT if on else one[:1])}
        return Decisions(kept | {one} if on else kept)


def read(path: Path) -> Decisions:
    """Read what was decided, nothing if there is no file; `ValueError` names file, line and what is allowed."""
    if not path.exists():
        return Decisions()
    found: dict[Pair, str] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        try:
            if next(lines, None) != list(HEADER):
                raise ValueError(f"the header must be {','.join(HEADER)}")
            for cells in lines:
                if cells and len(cells) != len(HEADER):
                    raise ValueError(f"there are {len(cells)} columns; needed are {','.join(HEADER)}")
                if cells:
                    what, *two = row(*cells)
                    if found.setdefault((two[0], two[1]), what) != what:
                        raise ValueError(f"the pair {two[0]}, {two[1]} is both confirmed and dismissed; keep one")
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path}: line {max(lines.line_num, 1)}: {error}") from None
    return Decisions(frozenset((what, a, b) for (a, b), what in found.items()))


def write(path: Path, decisions: Decisions) -> None:
    """Write what was decided, sorted, whole or not at all."""
    with atomic.writing(path) as building, building.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *sorted(decisions.rows)])
