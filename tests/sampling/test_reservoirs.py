"""Reservoirs by weight, against enumerated laws."""

import itertools
import math
from collections import Counter

import numpy as np

from visnet.sampling.reservoirs import Buffers, weighted

WEIGHTS = (0.5, 1.0, 2.0, 4.0)
TIMES = 6000  # as many categories, each of four crops and a buffer for two


def filled() -> Buffers:
    buffers = Buffers(2, np.repeat(np.arange(TIMES), 4), np.tile(WEIGHTS, TIMES))
    rng = np.random.default_rng(0)
    for arriving in np.array_split(rng.permutation(4 * TIMES), 7):
        buffers.offer(arriving, rng)
    return buffers


def test_a_buffer_holds_what_weighted_draws_without_replacement_would() -> None:
    buffers = filled()
    held = Counter(tuple(sorted((buffers.held(i) % 4).tolist())) for i in range(TIMES))
    whole = sum(WEIGHTS)
    for i, j in itertools.combinations(range(4), 2):
        a, b = WEIGHTS[i], WEIGHTS[j]
        expected = TIMES * (a / whole * b / (whole - a) + b / whole * a / (whole - b))
        assert abs(held[i, j] - expected) < 5 * math.sqrt(expected), (i, j)
    assert sum(held.values()) == TIMES


def test_counting_by_the_inverse_of_its_chance_each_crop_counts_once_on_average() -> None:
    buffers = filled()
    counted = np.zeros((TIMES, 4))
    for i in range(TIMES):
        counted[i, buffers.held(i) % 4] = 1 / buffers.chance(i)
    error = counted.std(axis=0) / math.sqrt(TIMES)
    assert (abs(counted.mean(axis=0) - 1) < 5 * error).all()
    assert (error < 0.05).all()


def test_a_buffer_with_room_holds_all_and_each_for_certain() -> None:
    buffers = Buffers(5, np.array([0, 1, 0, 1, 1]), np.array([1.0, 0.0, 3.0, 0.0, 2.0]))
    buffers.offer(np.array([2, 3, 0]), np.random.default_rng(0))
    buffers.offer(np.array([4, 1]), np.random.default_rng(1))
    assert sorted(buffers.held(0).tolist()) == [0, 2]
    assert sorted(buffers.held(1).tolist()) == [1, 3, 4]
    assert buffers.chance(1).tolist() == [1, 1, 1]


def test_columns_are_drawn_by_weight_and_none_where_all_are_zero() -> None:
    weight = np.repeat([[0.0, 1.0, 0.0, 3.0, 0.0], [0.0] * 5], 8000, axis=0)
    drawn = weighted(weight, np.random.default_rng(0))
    assert (drawn[8000:] == -1).all()
    assert set(drawn[:8000].tolist()) == {1, 3}
    assert abs((drawn == 1).sum() - 2000) < 5 * math.sqrt(1500)
