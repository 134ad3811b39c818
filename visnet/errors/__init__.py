"""What a caller must tell apart: each refusal is a `ValueError`, said in one line that names the cure.

ValueError            what was given is wrong: the line says what is allowed
├── NotFound          what was asked for is not in the catalog, or not on the disk
├── NotReady          what it needs was not built, pulled or published yet
├── Conflict          another process works on it; try again later
├── TooLarge          it is more than this machine, or the one who set the limits, allows
└── Damaged           what stands on the disk is not what was written there
"""


class NotFound(ValueError):
    """What was asked for is not in the catalog, or not on the disk."""


class NotReady(ValueError):
    """What it needs was not built, pulled or published yet; the message says what to run."""


class Conflict(ValueError):
    """Another process works on it; the same will succeed later."""


class TooLarge(ValueError):
    """It is more than this machine, or the one who set the limits, allows."""


class Damaged(ValueError):
    """What stands on the disk is not what was written there; the message says how to bring it back."""
