"""Relevance: as defined, and its totals without bias."""

import math

import numpy as np
import pytest
import torch

from tests.sampling.table import TABLE, TRAIN, crops, measured, relevant, row
from visnet.sampling import relevance
from visnet.sampling.relevance import Relevance

torch.set_num_threads(1)


def test_relevance_is_as_defined() -> None:
    hats = [i for i in TRAIN if TABLE[i][1] == "hat"]
    got = measured().between(np.array(hats), np.array(hats))
    assert got == pytest.approx(np.array([[relevant(i, j) for j in hats] for i in hats]), abs=1e-6)
    assert got[0, 1] == 1  # the same product
    assert got[2, 4] == 0  # the same photo


def test_total_relevance_is_the_sum_over_the_category() -> None:
    totals = measured().totals(np.random.default_rng(0))
    expected = [sum(relevant(i, j) for j in TRAIN if TABLE[j][1] == TABLE[i][1]) for i in TRAIN]
    assert totals == pytest.approx(np.array(expected), abs=1e-5)


def test_in_a_large_category_total_relevance_is_estimated_without_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(str(i // 2)) for i in range(60)]
    vectors = {"s": torch.randn(60, 3, generator=torch.Generator().manual_seed(0))}
    found = Relevance.of(crops(rows), vectors, np.random.default_rng(0))
    exact = found.totals(np.random.default_rng(0))
    monkeypatch.setattr(relevance, "WITNESSES", 20)
    estimates = np.stack([found.totals(np.random.default_rng(seed)) for seed in range(200)])
    error = estimates.std(axis=0) / math.sqrt(200)
    assert (error > 0).all()
    assert (abs(estimates.mean(axis=0) - exact) < 5 * error).all()


def test_equal_descriptors_are_relevant_and_others_are_not_where_most_pairs_are_equal() -> None:
    rows = [row(p) for p in "abcdefgh"]
    vectors = torch.zeros(8, 2)
    vectors[7] = 1.0
    found = Relevance.of(crops(rows), {"s": vectors}, np.random.default_rng(0))
    assert found.between(np.array([0]), np.array([0, 1, 7])).tolist() == [[0, 1, 0]]
