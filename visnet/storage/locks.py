"""Locks on what stands on disk. The kernel gives them back when their holder dies, however it dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from visnet.errors import Conflict

_held: set[FileIO] = set()


@contextlib.contextmanager
def held(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of an artefact, alone or with other readers; `ValueError` at once when it is in use.

    The lock is a file beside the artefact, `.NAME.lock`, which stays: removing it would give two holders a lock each.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileIO(path.with_name(f".{path.name}.lock"), "a+") as file:
        if not taken(file, shared=shared):
            verb = "being changed" if shared else "in use"
            raise Conflict(f"{path} is {verb} by another process; wait until that has ended, then run this again")
        _held.add(file)
        try:
            yield
        finally:
            _held.discard(file)


def taken(file: FileIO, *, shared: bool) -> bool:
    """Try to lock an open file without waiting; say whether it is ours."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _forget() -> None:
    """Close a forked child's copies: what loads photos for a stage must not hold its locks when the stage is dead."""
    for file in _held:
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_forget)
