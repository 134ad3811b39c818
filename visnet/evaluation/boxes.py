"""What boxes are worth to a search: recall with proposed boxes, beside that with true ones and with whole photos."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from visnet.embedding.vectors import Vectors
from visnet.evaluation import metrics
from visnet.search.products import nearest_products

BOXES = ("true", "proposed", "whole")


def ranks(shop: Vectors, street: pd.DataFrame, vectors: torch.Tensor, k: int) -> np.ndarray:
    """Rank each query's true product among the k nearest shop products of its category, [Q] int64, `MISS` if absent.

    street: product_id and category of each query, with the index 0 … Q − 1; vectors: the queries' own, [Q, D].
    """
    rank = np.full(len(street), metrics.MISS, np.int64)
    for category, group in street.groupby("category"):
        own = shop.of(category=str(category))
        product, names = pd.factorize(own.rows["product_id"])
        found = nearest_products(vectors[torch.tensor(group.index.to_list())], own.matrix, product, k)
        neighbours = np.where(found.row >= 0, product[found.row], -1)
        rank[group.index] = metrics.first_hits(neighbours, names.get_indexer(group["product_id"]))
    return rank


def recalls(found: Mapping[str, np.ndarray], ks: tuple[int, ...]) -> dict[str, float | None]:
    """Return the recall of proposed boxes as `recall_at_1`, and that of true ones and of whole photos beside it.

    found: ranks [Q] by the names of `BOXES`. `kept_share` is what is left of the true boxes' recall@1.
    """
    told: dict[str, float | None] = {}
    for name in ("proposed", "true", "whole"):
        prefix = "" if name == "proposed" else f"{name}_"
        told |= {f"{prefix}recall_at_{k}": _rounded(value) for k, value in metrics.recall_at(found[name], ks).items()}
    best, mine = told["true_recall_at_1"], told["recall_at_1"]
    return told | {"kept_share": _rounded(mine / best) if mine is not None and best else None}


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
