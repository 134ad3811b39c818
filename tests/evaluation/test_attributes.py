"""Coarse recall, fine recall and nDCG on attributes, against plain loops over a small shop and by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.test_baselines import catalog, pairs, placed, same_product
from visnet.embedding.vectors import Vectors
from visnet.evaluation.attributes import graded

pytestmark = pytest.mark.usefixtures("one_thread")


def gain(row: dict[str, str], other: dict[str, str]) -> float:
    return 0.0 if row["category"] != other["category"] else 1.0 if row["colour"] == other["colour"] else 0.5


def by_a_loop(vectors: Vectors, asking: np.ndarray, k: int) -> dict[str, float]:
    everything = pairs(vectors)
    coarse, fine, ndcg = [], [], []
    for at in np.flatnonzero(asking):
        mine, here = everything[at]
        nearest: dict[tuple[str, str], tuple[float, float]] = {}
        most: dict[tuple[str, str], float] = {}
        for row, there in everything:
            if row["side"] != "shop" or (mine["side"] == "shop" and same_product(row, mine)):
                continue
            product, distance = (row["category"], row["product_id"]), math.dist(here, there)
            nearest[product] = min(nearest.get(product, (math.inf, 0.0)), (distance, gain(mine, row)))
            most[product] = max(most.get(product, 0.0), gain(mine, row))
        found = [gained for _, gained in sorted(nearest.values())][:k]
        coarse.append(max(found) > 0)
        if not mine["colour"]:
            continue
        fine.append(max(found) == 1)
        best = sorted(most.values(), reverse=True)[:k]
        sums = [sum(g / math.log2(i + 2) for i, g in enumerate(gains)) for gains in (found, best)]
        if sums[1]:
            ndcg.append(sums[0] / sums[1])
    return {"coarse_recall": np.mean(coarse), "fine_recall": np.mean(fine), "ndcg": np.mean(ndcg)}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("side", ["street", "shop"])
def test_it_is_what_a_loop_counts(seed: int, side: str) -> None:
    vectors = catalog(seed)
    asking = (vectors.rows["side"] == side).to_numpy() & (np.random.default_rng(seed).random(60) < 0.6)
    table = graded(vectors, asking, ks=(1, 3, 50))
    for row in table.to_dict("records"):
        wanted = by_a_loop(vectors, asking, row["k"])
        assert {name: row[name] for name in wanted} == pytest.approx(wanted), row["k"]
        assert row["fine_queries"] < row["coarse_queries"] == asking.sum()
        assert 0 < row["ndcg"] <= 1
    assert table[["coarse_recall", "fine_recall"]].to_numpy().tolist() == sorted(
        table[["coarse_recall", "fine_recall"]].to_numpy().tolist()
    ), "more answers find no less"


def test_a_shop_in_a_line_by_hand() -> None:
    line = placed(
        ("bags", "1", "street", "red", 0.0),  # finds hats 1, bags 2, bags 1
        ("hats", "1", "shop", "red", 0.1),  # red, but no bag
        ("bags", "2", "shop", "blue", 0.2),
        ("bags", "1", "shop", "red", 0.3),
        ("bags", "1", "shop", "blue", 9.0),
    )
    table = graded(line, np.arange(len(line.rows)) == 0, ks=(1, 2, 3)).set_index("k")
    assert table["coarse_recall"].tolist() == [0.0, 1.0, 1.0]
    assert table["fine_recall"].tolist() == [0.0, 0.0, 1.0]
    second, third = 1 / math.log2(3), 1 / math.log2(4)
    best = 1 + 0.5 * second
    assert table["ndcg"].tolist() == pytest.approx([0.0, 0.5 * second / best, (0.5 * second + third) / best])


def test_the_best_order_is_worth_one_and_its_reverse_less() -> None:
    looks = [("bags", "red"), ("bags", "red"), ("bags", "blue"), ("hats", "red"), ("hats", "blue")]
    for order, best in ((1, True), (-1, False)):
        places = range(1, 6) if order > 0 else range(5, 0, -1)
        shop = [
            (kind, str(n), "shop", look, float(at)) for n, at, (kind, look) in zip(range(5), places, looks, strict=True)
        ]
        line = placed(("bags", "unknown", "street", "red", 0.0), *shop)
        table = graded(line, np.arange(len(line.rows)) == 0, ks=(1, 2, 3, 5))
        assert bool(np.allclose(table["ndcg"], 1)) == best


def test_what_is_not_known_is_not_compared() -> None:
    vectors = catalog(1)
    street = np.array(vectors.rows["side"] == "street")
    plain = Vectors(vectors.rows.assign(colour=""), vectors.matrix, "no colours")
    table = graded(plain, street)
    assert (table["fine_queries"] == 0).all()
    assert table[["fine_recall", "ndcg"]].isna().all(axis=None)
    assert pd.Series(table["coarse_recall"]).between(0.1, 1).all()
    nothing = Vectors(vectors.rows.assign(colour="", category=""), vectors.matrix, "nothing")
    assert graded(nothing, street)[["coarse_recall", "fine_recall", "ndcg"]].isna().all(axis=None)
    assert graded(vectors, np.zeros(60, bool))[["coarse_recall", "fine_recall", "ndcg"]].isna().all(axis=None)
