"""The fallback that needs no luck: a float64 scan whose survivors are all scored directly."""

import torch
from torch import Tensor

from kernels.nearest.bounds import FLOAT64
from kernels.nearest.contract import Neighbors
from kernels.nearest.score import order, pair_sq_distances

SCAN_BYTES = 4 << 20  # float64 bounds of one block of pairs; if all survive they cost up to sixteen times that


def search(queries: Tensor, gallery: Tensor, k: int) -> Neighbors:
    """Find the k nearest gallery rows of each query, whatever the data: far clusters, ties, norms near float32's ends.

    queries: [Q, D]; gallery: [G, D]; 1 <= k <= G. Returns [Q, k]. Memory is bounded at any G.
    """
    q, g, d = queries.shape[0], gallery.shape[0], queries.shape[1]
    width = max(1, min(g, SCAN_BYTES // (8 * max(d, min(q, 256)))))
    height = max(1, SCAN_BYTES // (8 * width))
    parts = [_search(queries[start : start + height], gallery, k, width) for start in range(0, q, height)]
    return Neighbors(torch.cat([part.sq_distance for part in parts]), torch.cat([part.row for part in parts]))


def centre_of(gallery: Tensor) -> Tensor:
    """Choose the point that a scan shifts to the origin, so that norms are not large beside distances: [D] float32.

    Any point is right. Medians of a sample of rows, unlike means, shrug at one huge row and keep integers integers.
    """
    return gallery[:: gallery.shape[0] // 256 + 1].float().median(dim=0).values


def _search(queries: Tensor, gallery: Tensor, k: int, width: int) -> Neighbors:
    q, g, d = queries.shape[0], gallery.shape[0], queries.shape[1]
    centre = centre_of(gallery).double()
    x = queries.double() - centre
    x_sq = x.square().sum(dim=1, keepdim=True)
    # As in bounds.py, with room for the rounding of the score itself; float64 holds any float32 squared, so no floor.
    kappa = 4.0 * (d + 16) * FLOAT64
    best = Neighbors(
        queries.new_empty((q, 0), dtype=torch.float32), torch.empty((q, 0), dtype=torch.int64, device=x.device)
    )
    limit = torch.full((q, 1), torch.inf, dtype=torch.float32, device=x.device)  # no answer is beyond it
    for start in range(0, g, width):
        y = gallery[start : start + width].double() - centre
        y_sq = y.square().sum(dim=1)
        lower = (x_sq + y_sq).mul_(1.0 - 2.0 * kappa).addmm_(x, y.T, alpha=-2.0).clamp_(min=0.0)
        if y.shape[0] >= k:
            upper = lower + 4.0 * kappa * (x_sq + y_sq)
            limit = torch.minimum(limit, upper.kthvalue(k, dim=1, keepdim=True).values.float())
        rounded = lower.float()  # rounding is monotone: a score is never below its rounded lower bound
        hopeful = rounded <= limit
        if best.row.shape[1] == k:
            hopeful &= rounded < best.sq_distance[:, -1:]  # these rows come later, so a tie would lose
        best = _merge(best, queries, gallery, hopeful.nonzero(), start, k)
    return best


def _merge(best: Neighbors, queries: Tensor, gallery: Tensor, pairs: Tensor, start: int, k: int) -> Neighbors:
    """Score the pairs [P, 2] of (query, row - start), sorted by query, and keep the k first of each query."""
    if pairs.shape[0] == 0:
        return best
    query, row = pairs[:, 0], pairs[:, 1] + start
    count = torch.bincount(query, minlength=queries.shape[0])
    column = torch.arange(query.numel(), device=query.device) - (count.cumsum(0) - count)[query]
    shape = (queries.shape[0], int(count.max()))
    scores = torch.full(shape, torch.nan, dtype=torch.float32, device=query.device)
    rows = torch.full(shape, gallery.shape[0], dtype=torch.int64, device=query.device)
    scores[query, column] = pair_sq_distances(queries, gallery, query, row)
    rows[query, column] = row
    return Neighbors(*order(torch.cat((best.sq_distance, scores), 1), torch.cat((best.row, rows), 1), k))
