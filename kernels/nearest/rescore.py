"""From candidates to the answer: score them directly, prove that no other row belongs, recompute where that fails."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.nearest import exact
from kernels.nearest.contract import Neighbors
from kernels.nearest.score import order, pair_sq_distances


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a scan hands over: rows, each with a proven lower bound of its squared distance.

    row: [Q, C] int64, distinct within a query. lower: [Q, C] float64; every row that is not listed has a lower bound at
    least as large as the largest listed.
    """

    row: Tensor
    lower: Tensor


@dataclass(frozen=True, eq=False)
class Answer:
    """Neighbors, and which queries were proven from their candidates; the others were recomputed, and are exact too.

    proven: [Q] bool.
    """

    neighbors: Neighbors
    proven: Tensor


def margin(k: int) -> int:
    """Say how many candidates beyond k a scan should bring, so that the k-th is rarely too close to the last."""
    return 16 + k // 8


def resolve(queries: Tensor, gallery: Tensor, k: int, found: Candidates) -> Answer:
    """Turn candidates into the exact answer.

    queries: [Q, D]; gallery: [G, D]; found: C >= k candidates a query.
    """
    q, c = found.row.shape
    query = torch.arange(q, device=queries.device).repeat_interleave(c)
    scores = pair_sq_distances(queries, gallery, query, found.row.flatten()).reshape(q, c)
    sq_distance, row = order(scores, found.row, k)
    rounded = found.lower.float()
    # Strictly: a row outside with the same rounded score and a lower number would belong to the answer.
    proven = rounded.amax(dim=1) > sq_distance[:, -1]
    if c == gallery.shape[0]:
        proven = torch.ones_like(proven)
    elif (rounded > scores).any():  # not the arithmetic that the bound was proven for, so believe none of it
        proven = torch.zeros_like(proven)
    missed = (~proven).nonzero()[:, 0]
    if missed.numel():
        again = exact.search(queries[missed], gallery, k)
        sq_distance[missed], row[missed] = again.sq_distance, again.row
    return Answer(Neighbors(sq_distance, row), proven)
