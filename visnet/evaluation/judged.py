"""How well a catalog answers what people asked: their photos, and the products that they opened or bought.

A person opens what was shown, and rather what stood first (Joachims et al., "Accurately interpreting clickthrough data
as implicit feedback", SIGIR 2005). So the figures say how far a version still finds what was found useful, and compare
versions and models; as the share of all that could have been useful they are too high.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from visnet.embedding.vectors import Vectors
from visnet.evaluation import intervals, metrics
from visnet.search.products import nearest_products

KS = (1, 5, 20)
DEPTH = 100  # beyond it a product counts as not found
GOOD = {"click": ("click", "purchase"), "purchase": ("purchase",)}  # row -> the kinds of event that it counts


def recall_rows(
    events: pd.DataFrame, vectors: torch.Tensor, shop: Vectors, ks: Sequence[int] = KS, *, seed: int = 1
) -> pd.DataFrame:
    """Tabulate recall and mean reciprocal rank over judged pairs, a row for "click" and one for "purchase".

    events: query_id, product_id and kind of each; a purchase is a click, too, and a pair that was dismissed is no pair.
    vectors: those of the events' queries, [N, D] float32. shop: the catalog, which is searched whole. Columns: judged,
    queries, pairs, recall_at_<k> … and mrr, each with its 95 % interval (_low, _high), for which queries are drawn
    anew. All are NaN without pairs, and the intervals with fewer than two queries. A pair is found at k when its
    product is among the first k.
    """
    rows = []
    for name, kinds in GOOD.items():
        pairs = _pairs(events, kinds)
        rank = _ranks(pairs, vectors, shop)
        found = [(rank < k).astype(float) for k in ks]
        values = np.stack([*found, np.where(rank == metrics.MISS, 0.0, 1.0 / (rank.astype(float) + 1))], axis=1)
        names = [*(f"recall_at_{k}" for k in ks), "mrr"]
        means = values.mean(0) if len(values) else np.full(len(names), np.nan)
        drawn = intervals.resampled_means(values, pairs["query_id"].to_numpy(str), seed=seed)
        row: dict[str, object] = {"judged": name, "queries": pairs["query_id"].nunique(), "pairs": len(pairs)}
        for column, mean, low, high in zip(names, means, *intervals.interval(drawn), strict=True):
            row |= {column: mean, f"{column}_low": low, f"{column}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _pairs(events: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """Return the distinct pairs of some kinds that were not dismissed; their index is the place of an event of each."""
    both = ["query_id", "product_id"]
    dismissed = pd.MultiIndex.from_frame(events.loc[events["kind"] == "dismiss", both])
    good = events.loc[events["kind"].isin(kinds), both].drop_duplicates()
    return good[~pd.MultiIndex.from_frame(good).isin(dismissed)]


def _ranks(pairs: pd.DataFrame, vectors: torch.Tensor, shop: Vectors) -> np.ndarray:
    if not len(pairs):
        return np.zeros(0, np.int64)
    product, names = pd.factorize(shop.rows["product_id"])
    found = nearest_products(vectors[torch.tensor(pairs.index.to_list())], shop.matrix, product, DEPTH)
    neighbours = np.where(found.row >= 0, product[found.row], -1)
    return metrics.first_hits(neighbours, names.get_indexer(pairs["product_id"]))
