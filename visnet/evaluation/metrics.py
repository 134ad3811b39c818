"""How well a search answers: recall over distinct products, and triplet accuracy."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

MISS = np.iinfo(np.int64).max  # the rank of a truth that was not found: beyond every k, however long the list was


def first_hits(neighbour_products: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the rank of each query's true product among its neighbours, int64 [Q], 0 for the best, `MISS` if absent.

    neighbour_products [Q, K] and truth [Q], integer codes or strings alike; "no neighbour" (-1, None, "") is never a
    hit. Neighbours are distinct products, or ranks count photos. `ValueError` if the queries differ in number.
    """
    neighbours, truth = np.asarray(neighbour_products), np.asarray(truth)
    if neighbours.ndim != 2 or truth.shape != neighbours.shape[:1]:
        raise ValueError(f"neighbours are {neighbours.shape} and truth is {truth.shape}; needed are [Q, K] and [Q]")
    hits = (neighbours == truth[:, None]) & _present(neighbours)
    if not neighbours.shape[1]:
        return np.full(len(truth), MISS)
    return np.where(hits.any(axis=1), hits.argmax(axis=1), MISS)


def recall_at(ranks: np.ndarray, ks: Sequence[int]) -> dict[int, float]:
    """Return for each k the share of queries with a rank (from `first_hits`, [Q]) below k; NaN without queries.

    A k beyond the gallery counts what the gallery could give.
    """
    _check_ks(ks)
    ranks = np.asarray(ranks)
    return {k: float((ranks < k).mean()) if ranks.size else float("nan") for k in ks}


def recall_table(ranks: np.ndarray, categories: np.ndarray, ks: Sequence[int]) -> pd.DataFrame:
    """Tabulate recall by category: columns scope, category, queries, recall_at_<k> …; sorted by name.

    ranks [Q] from `first_hits`, categories [Q] strings. The scope of these rows is "category"; the last row's is "all",
    over all queries, without a category, since one may be called "all", too. `ValueError` if they differ in length.
    """
    ranks, categories = np.asarray(ranks), np.asarray(categories, dtype=object)
    if ranks.shape != categories.shape or ranks.ndim != 1:
        raise ValueError(f"ranks are {ranks.shape} and categories {categories.shape}; needed are [Q] and [Q]")
    groups = [("category", name, ranks[categories == name]) for name in sorted(set(categories.tolist()))]
    rows = [
        {"scope": scope, "category": name, "queries": len(own)}
        | {f"recall_at_{k}": recall for k, recall in recall_at(own, ks).items()}
        for scope, name, own in [*groups, ("all", "", ranks)]
    ]
    return pd.DataFrame(rows)


def expected_random_recall(gallery_products_per_query: np.ndarray, ks: Sequence[int]) -> dict[int, float]:
    """Return the exact expected recall of a uniformly random ranking of products: the mean of min(k / P, 1).

    gallery_products_per_query [Q]: P, the distinct products among which the query's true one is; 0 where it is not
    there, which no ranking can find. NaN without queries.
    """
    _check_ks(ks)
    products = np.asarray(gallery_products_per_query, dtype=np.float64)
    if (products < 0).any():
        raise ValueError(f"a gallery has {int(products.min())} products; allowed is 0 or more")
    there = products > 0
    shares = {k: np.where(there, np.minimum(k / np.where(there, products, 1.0), 1.0), 0.0) for k in ks}
    return {k: float(share.mean()) if share.size else float("nan") for k, share in shares.items()}


def triplet_accuracy(sq_positive: np.ndarray, sq_negative: np.ndarray) -> float:
    """Return the share of triplets whose positive is nearer than the negative, both [T] of squared distances.

    A tie is wrong (a model that maps all to one point earns 0), and so is NaN. NaN without triplets.
    """
    sq_positive, sq_negative = np.asarray(sq_positive), np.asarray(sq_negative)
    if sq_positive.shape != sq_negative.shape:
        raise ValueError(f"distances are {sq_positive.shape} to positives and {sq_negative.shape} to negatives")
    return float((sq_positive < sq_negative).mean()) if sq_positive.size else float("nan")


def _check_ks(ks: Sequence[int]) -> None:
    wrong = [k for k in ks if k < 1]
    if wrong:
        raise ValueError(f"k is {wrong[0]}; allowed is 1 or more")


def _present(products: np.ndarray) -> np.ndarray:
    if np.issubdtype(products.dtype, np.integer):
        return products >= 0
    return np.asarray((products != "") & ~pd.isna(products), dtype=bool)
