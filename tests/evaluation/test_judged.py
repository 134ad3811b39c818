"""visnet.evaluation.judged: what people opened and bought, found or not, pair by pair."""

import numpy as np
import pandas as pd
import pytest
import torch

from visnet.embedding.vectors import Vectors
from visnet.evaluation.judged import recall_rows

LINE = torch.tensor([[at / 10, 1.0] for at in range(8)])  # products p0 … p7, one photo each, in a row
SHOP = Vectors(pd.DataFrame({"product_id": [f"p{at}" for at in range(8)]}), LINE, "a model")


def events(*rows: tuple[str, str, str]) -> tuple[pd.DataFrame, torch.Tensor]:
    """Return events of queries that stand at the product of their name, and those queries' vectors."""
    table = pd.DataFrame(rows, columns=["query_id", "product_id", "kind"])
    return table, LINE[[int(query[1]) for query, _, _ in rows]]


def test_each_pair_is_found_at_its_rank_and_a_purchase_is_a_click_too() -> None:
    told = events(("q0", "p0", "click"), ("q1", "p6", "purchase"), ("q1", "p1", "click"))
    click, purchase = recall_rows(*told, SHOP, (1, 5, 7)).to_dict("records")
    assert (click["judged"], click["queries"], click["pairs"]) == ("click", 2, 3)
    assert [click[f"recall_at_{k}"] for k in (1, 5, 7)] == pytest.approx([2 / 3, 2 / 3, 1])
    assert click["mrr"] == pytest.approx((1 + 1 + 1 / 7) / 3)
    assert (purchase["pairs"], purchase["recall_at_1"], purchase["recall_at_7"]) == (1, 0, 1)
    assert click["mrr_low"] <= click["mrr"] <= click["mrr_high"]
    assert np.isnan(purchase["mrr_low"]), "of one query nothing can be drawn"


def test_what_is_told_twice_counts_once_and_what_was_dismissed_does_not_count() -> None:
    told = events(("q2", "p2", "click"), ("q2", "p2", "purchase"), ("q2", "p6", "click"), ("q2", "p6", "dismiss"))
    click, purchase = recall_rows(*told, SHOP).to_dict("records")
    assert (click["pairs"], purchase["pairs"], click["recall_at_1"]) == (1, 1, 1)


def test_without_pairs_there_are_counts_and_no_figures() -> None:
    told = events(("q2", "p2", "dismiss"))
    for row in recall_rows(*told, SHOP).to_dict("records"):
        assert (row["queries"], row["pairs"]) == (0, 0)
        assert all(np.isnan(row[name]) for name in ("recall_at_1", "mrr", "mrr_low"))
