"""The plain answer: every pair scored directly, one stable sort."""

import torch
from torch import Tensor

from kernels.nearest.contract import Neighbors
from kernels.nearest.score import pair_sq_distances


def search(queries: Tensor, gallery: Tensor, k: int) -> Neighbors:
    """Find the k nearest gallery rows of each query, on any device, without a trick.

    queries: [Q, D]; gallery: [G, D]; 1 <= k <= G. Returns [Q, k]. Time and memory grow with Q x G.
    """
    rows = torch.arange(gallery.shape[0], device=gallery.device)
    scores = torch.stack(
        [pair_sq_distances(queries, gallery, torch.full_like(rows, query), rows) for query in range(queries.shape[0])]
    )
    sq_distance, row = scores.sort(dim=1, stable=True)  # stable: equal scores keep the order of their rows
    return Neighbors(sq_distance[:, :k].contiguous(), row[:, :k].contiguous())
