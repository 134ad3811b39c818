"""At which rank a street photo finds its product: what every recall is counted from."""

import numpy as np
import pandas as pd
import torch

from visnet.embedding.vectors import Vectors
from visnet.evaluation import metrics
from visnet.search.products import nearest_products


def product_ranks(shop: Vectors, street: pd.DataFrame, vectors: torch.Tensor, k: int) -> np.ndarray:
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
