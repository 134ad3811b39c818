"""The table of recall: methods side by side, each with its interval, and how much the trained one is above the others.

All methods answer the same photos and are resampled together, so that what is compared is not the luck of the draw.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from visnet.evaluation import metrics
from visnet.evaluation.intervals import interval, resampled_means

RANDOM = "random"


@dataclass(frozen=True, eq=False)
class Questions:
    """Street photos that ask, [Q] each: category; product, a number; gallery_products, how many could answer."""

    category: np.ndarray
    product: np.ndarray
    gallery_products: np.ndarray

    def of(self, mask: np.ndarray) -> "Questions":
        """Return the photos of a mask, bool [Q]."""
        return Questions(self.category[mask], self.product[mask], self.gallery_products[mask])


def recall_rows(ranks: Mapping[str, np.ndarray], asked: Questions, ks: tuple[int, ...], *, seed: int) -> pd.DataFrame:
    """Tabulate recall: a row per category and k, then those of all photos, whose scope is "all".

    ranks: method -> [Q], from `metrics.first_hits`. Columns: scope, category, queries, products (how many these show),
    k, then for each method its recall and the ends of its 95 % interval, `METHOD_low` and `METHOD_high`; last what a
    random ranking is expected to reach. NaN where nothing is asked, and intervals where one product alone is.
    """
    names = sorted(set(asked.category.tolist()))
    groups = [("category", name, asked.category == name) for name in names]
    rows = []
    for scope, name, mine in [*groups, ("all", "", np.ones(len(asked.category), bool))]:
        some = asked.of(mine)
        chance = metrics.expected_random_recall(some.gallery_products, ks)
        hits = np.stack([rank[mine] < k for k in ks for rank in ranks.values()], axis=1).astype(float)
        low, high = interval(resampled_means(hits, some.product, seed=seed))
        recall = hits.mean(axis=0) if len(hits) else np.full(hits.shape[1], np.nan)
        head = {"scope": scope, "category": name, "queries": len(hits), "products": len(np.unique(some.product))}
        for at, k in enumerate(ks):
            mine_at = slice(at * len(ranks), (at + 1) * len(ranks))
            columns: dict[str, float] = {}
            for method, *values in zip(ranks, recall[mine_at], low[mine_at], high[mine_at], strict=True):
                columns |= dict(zip((method, f"{method}_low", f"{method}_high"), values, strict=True))
            rows.append({**head, "k": k, **columns, RANDOM: chance[k]})
    return pd.DataFrame(rows)


def gains(
    ranks: Mapping[str, np.ndarray], asked: Questions, *, seed: int, of: str = "trained"
) -> dict[str, tuple[float, float, float]]:
    """Return other method -> by how much recall@1 of the method `of` is above its own, and the 95 % interval of that.

    Differences are paired, photo by photo; that to `random` is to the chance of each photo's own gallery.
    """
    products = np.asarray(asked.gallery_products, float)
    first = {name: (rank < 1).astype(float) for name, rank in ranks.items()}
    first[RANDOM] = np.where(products > 0, 1 / np.maximum(products, 1), 0.0)
    others = [name for name in first if name != of]
    differences = np.stack([first[of] - first[name] for name in others], axis=1)
    if not len(differences):
        return dict.fromkeys(others, (np.nan, np.nan, np.nan))
    low, high = interval(resampled_means(differences, asked.product, seed=seed))
    point = differences.mean(axis=0)
    return {name: (float(point[i]), float(low[i]), float(high[i])) for i, name in enumerate(others)}
