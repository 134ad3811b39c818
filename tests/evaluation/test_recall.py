"""The table of recall, its intervals, and how far the trained model is above the others."""

import math

import numpy as np
import pytest

from visnet.evaluation.metrics import MISS
from visnet.evaluation.recall import Questions, gains, recall_rows

RANKS = {"trained": np.array([0, 2, MISS, 0]), "untrained": np.array([MISS, 0, 1, 4])}
ASKED = Questions(
    np.array(["all", "all", "bags", "bags"], object), np.array([0, 1, 2, 2]), np.array([4.0, 4.0, 2.0, 2.0])
)


def test_recall_is_tabulated_beside_chance() -> None:
    table = recall_rows(RANKS, ASKED, (1, 3), seed=1)
    assert table.columns.tolist() == [
        *("scope", "category", "queries", "products", "k"),
        *("trained", "trained_low", "trained_high", "untrained", "untrained_low", "untrained_high", "random"),
    ]
    points = table[["scope", "category", "queries", "products", "k", "trained", "untrained", "random"]]
    assert points.to_numpy().tolist() == [
        ["category", "all", 2, 2, 1, 0.5, 0.5, 0.25],
        ["category", "all", 2, 2, 3, 1.0, 0.5, 0.75],
        ["category", "bags", 2, 1, 1, 0.5, 0.0, 0.5],
        ["category", "bags", 2, 1, 3, 0.5, 0.5, 1.0],
        ["all", "", 4, 3, 1, 0.5, 0.25, 0.375],
        ["all", "", 4, 3, 3, 0.75, 0.5, 0.875],
    ]
    bags = table[table["category"] == "bags"]
    assert bags[["trained_low", "untrained_high"]].isna().all(axis=None), "one product: what others do is not known"
    others = table[table["category"] != "bags"]
    for method in RANKS:
        assert (others[f"{method}_low"] <= others[method]).all()
        assert (others[method] <= others[f"{method}_high"]).all()


def test_where_nothing_is_asked_nothing_is_said() -> None:
    none = {name: rank[:0] for name, rank in RANKS.items()}
    nobody = ASKED.of(np.zeros(4, bool))
    (row,) = recall_rows(none, nobody, (1,), seed=1).to_dict("records")
    assert (row["scope"], row["queries"], row["products"]) == ("all", 0, 0)
    assert all(math.isnan(row[name]) for name in ("trained", "trained_low", "trained_high", "random"))
    assert all(math.isnan(value) for values in gains(none, nobody, seed=1).values() for value in values)


def test_the_gain_over_another_method_is_paired() -> None:
    """Two methods that are right on nearly the same photos differ by less than either's own interval says."""
    rng = np.random.default_rng(2)
    products = np.arange(300).repeat(2)
    right = rng.random(600) < 0.5
    better = right | (rng.random(600) < 0.05)
    ranks = {"trained": np.where(better, 0, 3), "untrained": np.where(right, 0, 3)}
    asked = Questions(np.full(600, "bags", object), products, np.full(600, 20.0))
    found = gains(ranks, asked, seed=1)
    point, low, high = found["untrained"]
    assert point == pytest.approx(better.mean() - right.mean())
    assert 0 < low < point < high < 2 * point
    row = recall_rows(ranks, asked, (1,), seed=1).iloc[-1]
    assert high - low < 0.5 * (row["trained_high"] - row["trained_low"])
    assert found["random"][0] == pytest.approx(better.mean() - 1 / 20)
    assert found["random"][1] == pytest.approx(row["trained_low"] - 1 / 20), "chance is the same in each resample"
