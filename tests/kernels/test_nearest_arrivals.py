"""How the benchmark counts time: of queries that arrive one by one, and of pairs within a budget."""

from typing import Any

import numpy as np
import pytest

from kernels.nearest.bench.arrivals import Batcher, poisson
from kernels.nearest.bench.measure import time_pairs


class Clock:
    """A clock that only sleeping and searching move."""

    def __init__(self, search_s: float) -> None:
        self.now, self.search_s, self.batches = 0.0, search_s, list[tuple[int, int]]()

    def sleep(self, seconds: float) -> None:
        assert seconds > 0.0
        self.now += seconds

    def search(self, asked: slice) -> None:
        self.batches.append((asked.start, asked.stop))
        self.now += self.search_s

    def serve(self, arrival_s: list[float], most: int) -> Any:
        return Batcher(self.search, most, clock=lambda: self.now, sleep=self.sleep).serve(arrival_s)


def test_time_runs_from_the_arrival_not_from_the_dispatch() -> None:
    clock = Clock(1.0)
    served = clock.serve([0.0, 0.25, 0.5, 5.0], most=8)
    assert clock.batches == [(0, 1), (1, 3), (3, 4)]  # what came during the first search went together
    assert served.worst_ms == 1750.0  # arrived at 0.25, started at 1.0, answered at 2.0
    assert served.p50_ms == 1250.0  # of 1.0, 1.75, 1.5, 1.0
    assert (served.queries, served.batches, served.answered_per_s) == (4, 3, 4 / 6.0)


def test_an_overload_shows_as_waiting() -> None:
    clock = Clock(1.0)
    served = clock.serve([0.5] * 10, most=2)
    assert clock.batches == [(start, start + 2) for start in range(0, 10, 2)]
    assert served.worst_ms == 5000.0


def test_arrivals_have_their_rate_and_are_not_even() -> None:
    arrival_s = poisson(50.0, 20_000, np.random.default_rng(0))
    gaps = np.diff(arrival_s)
    assert (gaps > 0).all()
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.03)
    assert gaps.std() == pytest.approx(1 / 50, rel=0.03)


def test_pairs_stop_at_the_budget_but_not_below_two() -> None:
    now = 0.0

    def slow() -> None:
        nonlocal now
        now += 1.0

    assert [len(times) for times in time_pairs(slow, slow, "cpu", 9, 0.5, clock=lambda: now)] == [2, 2]
    assert len(time_pairs(slow, slow, "cpu", 9, 9.0, clock=lambda: now)[0]) == 5
    assert len(time_pairs(slow, slow, "cpu", 1, 9.0, clock=lambda: now)[0]) == 1
