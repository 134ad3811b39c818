"""What a person has decided, one line a decision: a CSV file that is asked before anyone is asked again.

Each line is `confirmed` or `dismissed`, and the keys of what was decided. Order and repeats do not matter; a thing is
decided once. What is decided of things that are gone is kept: they may come back.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from visnet.storage import atomic

CONFIRMED, DISMISSED = WHAT = ("confirmed", "dismissed")

Row = tuple[str, ...]  # a decision and the keys of what it is of, as one checked it


@dataclass(frozen=True)
class Decisions:
    """A set of decisions, none of them against another."""

    rows: frozenset[Row] = frozenset()

    def of(self) -> dict[tuple[str, ...], str]:
        """Return keys -> what was decided."""
        return {tuple(keys): what for what, *keys in self.rows}

    def put(self, one: Row, on: bool) -> "Decisions":
        """Return these with one more, in the place of what was decided of its keys before, or with one less."""
        kept = self.rows - {(what, *one[1:]) for what in (WHAT if on else one[:1])}
        return Decisions(kept | {one} if on else kept)


def check(what: str, keys: Mapping[str, str], needed: str) -> None:
    """Raise `ValueError` for a decision that is none, and for keys that are no text of one line."""
    if what not in WHAT:
        raise ValueError(f"decision is {what!r}; allowed are {', '.join(WHAT)}")
    if any(not key or {"\n", "\r"} & {*key} for key in keys.values()):
        said = ", ".join(f"{name} is {key!r}" for name, key in keys.items())
        raise ValueError(f"{said}; needed {needed} (of one line)")


def read(path: Path, header: Sequence[str], row: Callable[..., Row], noun: str) -> Decisions:
    """Read a file, nothing if there is none; `row` checks a line's cells and orders them, `noun` says what is decided.

    `ValueError` names file, line and what is allowed.
    """
    if not path.exists():
        return Decisions()
    found: dict[tuple[str, ...], str] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        try:
            if next(lines, None) != list(header):
                raise ValueError(f"the header must be {','.join(header)}")
            for cells in lines:
                if cells and len(cells) != len(header):
                    raise ValueError(f"there are {len(cells)} columns; needed are {','.join(header)}")
                if cells:
                    what, *keys = row(*cells)
                    if found.setdefault(tuple(keys), what) != what:
                        raise ValueError(f"the {noun} {', '.join(keys)} is both confirmed and dismissed; keep one")
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path}: line {max(lines.line_num, 1)}: {error}") from None
    return Decisions(frozenset((what, *keys) for keys, what in found.items()))


def write(path: Path, header: Sequence[str], decisions: Decisions) -> None:
    """Write what was decided, sorted, whole or not at all."""
    with atomic.writing(path) as building, building.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *sorted(decisions.rows)])
