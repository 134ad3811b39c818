"""Queries that arrive one at a time: an open-loop generator, and the batcher that answers them."""

import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Served:
    """How a stream of single queries was answered; times run from a query's arrival to its batch's end."""

    offered_per_s: float
    answered_per_s: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    queries: int
    batches: int


def poisson(per_s: float, count: int, rng: np.random.Generator) -> list[float]:
    """Draw when each of `count` queries arrives, in seconds from the start, at a mean rate: ascending."""
    arrival_s: list[float] = np.cumsum(rng.exponential(1.0 / per_s, count)).tolist()
    return arrival_s


class Batcher:
    """Answers single queries in batches: all that wait when the device is free go together, at most `most`.

    Nobody is waited for: while one batch runs the next gathers, so batches grow with the load by themselves.
    """

    def __init__(
        self,
        search: Callable[[slice], object],
        most: int,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take a search that answers the queries of a slice and returns when the answers are there."""
        self.search, self.most, self.clock, self.sleep = search, most, clock, sleep

    def serve(self, arrival_s: list[float]) -> Served:
        """Answer queries that arrive at given times, ascending seconds from now.

        The schedule does not wait for answers: a query that arrives while the device is busy has arrived all the same.
        """
        start = self.clock()
        latency_s: list[float] = []
        batches = 0
        while (done := len(latency_s)) < len(arrival_s):
            now = self.clock() - start
            arrived = bisect_right(arrival_s, now)
            if arrived == done:
                self.sleep(arrival_s[done] - now)
                continue
            stop = min(arrived, done + self.most)
            self.search(slice(done, stop))
            finished = self.clock() - start
            latency_s += [finished - arrival for arrival in arrival_s[done:stop]]
            batches += 1
        wall_s = self.clock() - start
        p50, p99, worst = np.quantile(latency_s, (0.5, 0.99, 1.0)) * 1000.0
        count = len(arrival_s)
        return Served(
            count / arrival_s[-1], count / wall_s, float(p50), float(p99), float(worst), queries=count, batches=batches
        )
