"""Metrics against plain Python loops, and where they could flatter a search."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from visnet.evaluation.metrics import (
    MISS,
    expected_random_recall,
    first_hits,
    recall_at,
    recall_table,
    triplet_accuracy,
)

CODES = nps.arrays(
    np.int64, st.tuples(st.integers(0, 5), st.integers(0, 8)), elements=st.integers(-1, 4)
)  # -1: no neighbour
NAMES = np.array([None, "a", "b", "c", "d", "e"], dtype=object)  # by code + 1


@given(CODES, st.data())
def test_recall_equals_a_loop(products: np.ndarray, data: st.DataObject) -> None:
    truth = np.array(data.draw(st.lists(st.integers(-1, 4), min_size=len(products), max_size=len(products))), dtype=int)
    ks = (1, 2, 3, 20)
    for neighbours, wanted in ((products, truth), (NAMES[products + 1], NAMES[truth + 1])):
        got = recall_at(first_hits(neighbours, wanted), ks)
        for k in ks:
            hits = 0
            for row, true in zip(products.tolist(), truth.tolist(), strict=True):
                hits += true != -1 and true in row[:k]
            assert got[k] == pytest.approx(hits / len(products)) if len(products) else math.isnan(got[k])


def test_strings_of_any_array_type_are_products() -> None:
    assert first_hits(np.array([["a", ""], ["a", "b"]]), np.array(["", "b"])).tolist() == [MISS, 1]


def test_a_miss_is_no_hit_at_any_k_even_beyond_the_gallery() -> None:
    ranks = first_hits(np.array([[3, 1], [3, 1]]), np.array([1, 7]))
    assert ranks.tolist() == [1, MISS]
    assert recall_at(ranks, (1, 2, 1000)) == {1: 0.0, 2: 0.5, 1000: 0.5}
    assert first_hits(np.empty((2, 0), dtype=int), np.array([0, 1])).tolist() == [MISS, MISS]


def test_the_table_has_each_category_and_all_with_their_counts() -> None:
    table = recall_table(np.array([0, MISS, 4, 0]), np.array(["all", "bags", "bags", "bags"]), (1, 5))
    assert table.columns.tolist() == ["scope", "category", "queries", "recall_at_1", "recall_at_5"]
    expected = [
        ["category", "all", 1, 1.0, 1.0],  # a shop's word, which is no word of ours
        ["category", "bags", 3, 1 / 3, 2 / 3],
        ["all", "", 4, 0.5, 0.75],
    ]
    assert table.to_numpy().tolist() == expected
    empty = recall_table(np.empty(0, dtype=int), np.empty(0, dtype=object), (1,))
    assert empty[["scope", "category", "queries"]].to_numpy().tolist() == [["all", "", 0]]
    assert math.isnan(empty.loc[0, "recall_at_1"])


def test_random_recall_is_what_shuffling_gives() -> None:
    rng = np.random.default_rng(0)
    products = np.array([2, 5, 40, 0])  # the last query's product is not in its gallery
    ranks = np.full((4, 20_000), MISS)
    for query, many in enumerate(products[:3]):
        ranks[query] = rng.permuted(np.tile(np.arange(many), (20_000, 1)), axis=1).argmin(axis=1)
    measured = recall_at(ranks.ravel(), (1, 3, 20))
    for k, expected in expected_random_recall(products, (1, 3, 20)).items():
        assert measured[k] == pytest.approx(expected, abs=0.005)
    assert expected_random_recall(products, (1,))[1] == pytest.approx((1 / 2 + 1 / 5 + 1 / 40) / 4)
    assert math.isnan(expected_random_recall(np.empty(0), (1,))[1])


def test_a_triplet_is_right_only_if_its_positive_is_nearer() -> None:
    nan = float("nan")
    assert triplet_accuracy(np.array([1.0, 2.0, 3.0, nan]), np.array([2.0, 2.0, 1.0, 5.0])) == 0.25
    assert math.isnan(triplet_accuracy(np.empty(0), np.empty(0)))


def test_shapes_and_numbers_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"neighbours are \(2, 3\) and truth is \(3,\); needed are \[Q, K\] and \[Q\]"):
        first_hits(np.zeros((2, 3), dtype=int), np.zeros(3, dtype=int))
    with pytest.raises(ValueError, match="k is 0; allowed is 1 or more"):
        recall_at(np.array([0]), (1, 0))
    with pytest.raises(ValueError, match="a gallery has -1 products"):
        expected_random_recall(np.array([-1]), (1,))
    with pytest.raises(ValueError, match=r"\(2,\) to positives and \(1,\) to negatives"):
        triplet_accuracy(np.zeros(2), np.zeros(1))
    with pytest.raises(ValueError, match=r"ranks are \(2,\) and categories \(1,\)"):
        recall_table(np.zeros(2), np.array(["hats"]), (1,))
