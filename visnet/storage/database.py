"""A small SQLite file that several threads and processes share: readers never wait, writers wait for each other."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

WAIT_S = 10.0  # for another process that writes


def connected(path: Path, layout: str, synchronous: Literal["FULL", "NORMAL"]) -> sqlite3.Connection:
    """Open the file, made with its tables if it is not there; with FULL, what is committed is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(f"PRAGMA synchronous = {synchronous}")
    database.executescript(layout)
    return database


@contextlib.contextmanager
def writing(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit what the block writes, all of it or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise
