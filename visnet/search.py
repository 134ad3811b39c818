"""The k nearest products: exact search over photos, collapsed to distinct products."""

from dataclasses import dataclass

import numpy as np
import torch

from kernels.nearest import nearest
from visnet.metrics import first_of_each


@dataclass(frozen=True)
class Found:
    """Answers per query, nearest first; a query with fewer products than asked for ends in row −1, distance inf.

    row: the nearest photo of each product, [Q, K] int64 into the gallery. sq_distance: [Q, K] float32.
    """

    row: np.ndarray
    sq_distance: np.ndarray


def nearest_products(
    queries: torch.Tensor, gallery: torch.Tensor, product: np.ndarray, k: int, exclude: np.ndarray | None = None
) -> Found:
    """Find the k products whose nearest photo is nearest to each query, exactly.

    queries [Q, D] and gallery [G, D] are floating; product [G] int64 numbers the gallery's products; exclude [Q] int64
    names one product per query that is no answer (its own). Asks for more photos until k distinct products are seen or
    the gallery is used up, so no product is missed however many photos another one has.
    """
    count, total = queries.shape[0], gallery.shape[0]
    row = np.full((count, k), -1, np.int64)
    sq_distance = np.full((count, k), np.inf, np.float32)
    open_ = np.arange(count)
    take = min(total, 4 * k)
    while len(open_) and total:
        answer = nearest(queries[torch.from_numpy(open_)], gallery, take)
        rows, distances = answer.row.cpu().numpy(), answer.sq_distance.cpu().numpy()
        first = first_of_each(product[rows])
        if exclude is not None:
            first &= product[rows] != exclude[open_, None]
        rank = np.cumsum(first, axis=1) - 1
        done = (first.sum(axis=1) >= k) | (take == total)
        query, column = np.nonzero(first & (rank < k) & done[:, None])
        row[open_[query], rank[query, column]] = rows[query, column]
        sq_distance[open_[query], rank[query, column]] = distances[query, column]
        open_ = open_[~done]
        take = min(total, take * 4)
    return Found(row, sq_distance)
