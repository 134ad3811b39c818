"""How often a client may ask: a bucket of tokens for each, refilled at a steady rate."""

import collections
import time
from collections.abc import Callable

BURST_S = 5.0  # a bucket that is full holds what comes in so many seconds
CLIENTS = 10_000  # whose buckets are held, those that asked last


class Rate:
    """So many a second for each client of this process; more, for as long as its bucket is not empty."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._clock = per_s, clock
        self._full: collections.OrderedDict[str, float] = collections.OrderedDict()  # client -> when its bucket is full

    def wait_s(self, client: str, count: int = 1) -> float:
        """Take tokens for a client and return 0, or after how many seconds it may come again if it has none.

        What counts for more than is left is let through, and owed: the client waits until that is paid back.
        """
        now_s = self._clock()
        full_s = max(now_s, self._full.get(client, now_s))
        owed_s = full_s - now_s - BURST_S + 1 / self._per_s
        if owed_s > 1e-9:
            return owed_s
        self.owe(client, count)
        return 0.0

    def owe(self, client: str, count: int) -> None:
        """Take further tokens for what a request turned out to hold."""
        now_s = self._clock()
        self._full[client] = max(now_s, self._full.pop(client, now_s)) + count / self._per_s
        if len(self._full) > CLIENTS:
            self._full.popitem(last=False)
