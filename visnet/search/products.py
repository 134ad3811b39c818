"""Exact search over a catalog's photos: the nearest products, and blocks of queries that keep memory flat."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kernels.nearest import Gallery, Neighbors, nearest

BLOCK_QUERIES = 4096
BLOCK_ANSWERS = 1 << 20  # queries x columns of one block


@dataclass(frozen=True)
class NearestProducts:
    """Answers per query, nearest first; a query with fewer products than asked for ends in row −1, distance inf.

    row: the nearest photo of each product, [Q, K] int64 into the gallery. sq_distance: [Q, K] float32.
    """

    row: np.ndarray
    sq_distance: np.ndarray

    @classmethod
    def of(cls, answer: Neighbors, k: int) -> "NearestProducts":
        """Take an answer of k neighbours, or of all there are."""
        short = ((0, 0), (0, k - answer.row.shape[1]))
        row, sq_distance = answer.row.cpu().numpy(), answer.score.cpu().numpy()
        far = np.float32(np.inf)
        return cls(np.pad(row, short, constant_values=-1), np.pad(sq_distance, short, constant_values=far))


def nearest_products(
    queries: torch.Tensor,
    gallery: torch.Tensor | Gallery,
    product: np.ndarray,
    k: int,
    exclude: np.ndarray | None = None,
    within: tuple[int, int] | None = None,
    valid: torch.Tensor | None = None,
) -> NearestProducts:
    """Find the k products whose nearest photo is nearest to each query, exactly.

    queries: [Q, D]; gallery: [G, D], or a `Gallery` of squared Euclidean distances; product: [G] int64 numbers the
    gallery's products; exclude: [Q] int64 names one product per query that is no answer (its own); within: the
    half-open range of rows that may answer, all of them if left out; valid: the rows that may answer, [G] bool, or the
    bits of `kernels.nearest.pack_bits`. Products at equal distances come in the order of those photos. ValueError as
    `nearest` raises it.
    """
    filters = filters_of(queries, product, exclude, within)
    return NearestProducts.of(nearest(queries, gallery, k, metric="sq_euclidean", valid=valid, **filters), k)


def filters_of(
    queries: torch.Tensor, product: np.ndarray, exclude: np.ndarray | None, within: tuple[int, int] | None
) -> dict[str, Any]:
    """Say as `nearest` takes it what `nearest_products` is asked; products are copied only where that must be."""
    group = torch.from_numpy(np.require(product, np.int64, ["C", "W"]))  # torch takes no memory that is only read
    return {
        "group": group.to(queries.device),
        "exclude": None if exclude is None else torch.tensor(exclude, dtype=torch.int64, device=queries.device),
        "within": None if within is None else torch.tensor([within] * len(queries), device=queries.device).view(-1, 2),
    }


def blocks(columns: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Split queries into blocks that want about as many columns each: their numbers [H] int64, and the columns of all.

    columns: [Q] int64, how many neighbours each query wants, at least 1. A block has at most `BLOCK_QUERIES` queries
    and `BLOCK_ANSWERS` answers (a single query may want more), and no query gets more than twice what it wants.
    """
    order = np.argsort(-columns, kind="stable")
    descending = columns[order]
    start = 0
    while start < len(order):
        most = int(descending[start])
        alike = int(np.searchsorted(-descending, -((most + 1) // 2), side="right"))
        stop = min(alike, start + min(BLOCK_QUERIES, max(1, BLOCK_ANSWERS // most)))
        yield order[start:stop], most
        start = stop
