"""How often a client may ask: a bucket of tokens for each, refilled at a steady rate, in this process or in several."""

import collections
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from visnet.storage.database import connected, writing

BURST_S = 5.0  # a bucket that is full holds what comes in so many seconds
CLIENTS = 10_000  # whose buckets are held, those that asked last
LAYOUT = """
CREATE TABLE IF NOT EXISTS buckets (client TEXT PRIMARY KEY, full_s REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS filled ON buckets (full_s);
"""


class Rate:
    """So many a second for each client; more, for as long as its bucket is not empty."""

    def __init__(self, per_s: float, shared: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Count in this process alone, or in a file that several share; their clock is that of the machine."""
        self._per_s, self._clock = per_s, clock
        self._buckets = _Own() if shared is None else _Shared(shared)

    def wait_s(self, client: str, count: int = 1) -> float:
        """Take tokens for a client and return 0, or after how many seconds it may come again if it has none.

        What counts for more than is left is let through, and owed: the client waits until that is paid back.
        """
        with self._buckets.alone():
            now_s = self._clock()
            owed_s = self._buckets.full_s(client, now_s) - now_s - BURST_S + 1 / self._per_s
            if owed_s > 1e-9:
                return owed_s
            self._take(client, count, now_s)
            return 0.0

    def owe(self, client: str, count: int) -> None:
        """Take further tokens for what a request turned out to hold."""
        with self._buckets.alone():
            self._take(client, count, self._clock())

    def _take(self, client: str, count: int, now_s: float) -> None:
        self._buckets.fill(client, self._buckets.full_s(client, now_s) + count / self._per_s, now_s)


class _Own:
    """When buckets are full, in memory."""

    def __init__(self) -> None:
        self._full: collections.OrderedDict[str, float] = collections.OrderedDict()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody else take of a bucket: nobody does."""
        yield

    def full_s(self, client: str, now_s: float) -> float:
        """Return when a client's bucket is full, now at the earliest."""
        return max(now_s, self._full.get(client, now_s))

    def fill(self, client: str, full_s: float, now_s: float) -> None:
        """Note when it will be full."""
        self._full[client] = full_s
        self._full.move_to_end(client)
        if len(self._full) > CLIENTS:
            self._full.popitem(last=False)


class _Shared:
    """The same in a file, of which full buckets are left out."""

    def __init__(self, path: Path) -> None:
        self._database = connected(path, LAYOUT, "NORMAL")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other process take of a bucket meanwhile."""
        with writing(self._database):
            yield

    def full_s(self, client: str, now_s: float) -> float:
        """Return when a client's bucket is full, now at the earliest."""
        row = self._database.execute("SELECT full_s FROM buckets WHERE client = ?", (client,)).fetchone()
        return max(now_s, row[0] if row else now_s)

    def fill(self, client: str, full_s: float, now_s: float) -> None:
        """Note when it will be full."""
        self._database.execute("INSERT OR REPLACE INTO buckets VALUES (?, ?)", (client, full_s))
        self._database.execute("DELETE FROM buckets WHERE full_s < ?", (now_s,))
