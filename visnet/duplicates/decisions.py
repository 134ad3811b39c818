"""What a person has decided of pairs of photos: `duplicates.csv`, which is asked before anyone is asked again.

The file has the columns decision, a, b:

    confirmed,<a>,<b>    the two show one picture, and the products that they stand for are one listing
    dismissed,<a>,<b>    they do not, or it does not matter

a and b say what the photos are made of (`photo_key`), so a decision holds for whoever shows these two, under whatever
ids, and both may be the same: one file that stands for two products. What no photo has any more is kept: it may come
back. Order and repeats do not matter; a pair is decided once.
"""

from pathlib import Path

from visnet.storage import decisions
from visnet.storage.decisions import CONFIRMED as CONFIRMED
from visnet.storage.decisions import DISMISSED as DISMISSED
from visnet.storage.decisions import WHAT as WHAT
from visnet.storage.decisions import Decisions as Decisions

HEADER = ("decision", "a", "b")

Row = tuple[str, str, str]
Pair = tuple[str, str]


def pair(a: str, b: str) -> Pair:
    """Return the two photos in order."""
    return (a, b) if a <= b else (b, a)


def row(what: str, a: str, b: str) -> Row:
    """Return a decision as it is kept; `ValueError` says what is allowed."""
    decisions.check(what, {"a": a, "b": b}, "are two photos' keys")
    return (what, *pair(a, b))


def read(path: Path) -> Decisions:
    """Read what was decided, nothing if there is no file; `ValueError` names file, line and what is allowed."""
    return decisions.read(path, HEADER, row, "pair")


def write(path: Path, decided: Decisions) -> None:
    """Write what was decided, sorted, whole or not at all."""
    decisions.write(path, HEADER, decided)
