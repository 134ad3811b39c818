"""What a person has decided of photos that seem to mislead: `photo_quality.csv`, with the columns decision, photo.

    confirmed,<photo>    it misleads: bad, whatever its scores
    dismissed,<photo>    it does not, or it does not matter: good

photo says what the photo is made of (`photo_key`), so a decision holds for whoever shows it, under whatever ids.
"""

from pathlib import Path

from visnet.storage import decisions
from visnet.storage.decisions import CONFIRMED as CONFIRMED
from visnet.storage.decisions import DISMISSED as DISMISSED
from visnet.storage.decisions import WHAT as WHAT
from visnet.storage.decisions import Decisions as Decisions

HEADER = ("decision", "photo")


def row(what: str, photo: str) -> tuple[str, str]:
    """Return a decision as it is kept; `ValueError` says what is allowed."""
    decisions.check(what, {"photo": photo}, "is a photo's key")
    return (what, photo)


def read(path: Path) -> Decisions:
    """Read what was decided, nothing if there is no file; `ValueError` names file, line and what is allowed."""
    return decisions.read(path, HEADER, row, "photo")


def write(path: Path, decided: Decisions) -> None:
    """Write what was decided, sorted, whole or not at all."""
    decisions.write(path, HEADER, decided)
