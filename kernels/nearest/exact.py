"""The fallback that needs no luck: a float64 scan whose survivors are all scored directly."""

import torch
from torch import Tensor

from kernels.nearest.contract import Admission
from kernels.nearest.encode import coding_of
from kernels.nearest.native.scores import pair_scores
from kernels.nearest.score import FLOAT64, nothing, sign
from kernels.nearest.select import best

SCAN_BYTES = 4 << 20  # float64 bounds of one block of pairs; if all survive they cost up to sixteen times that


def search(queries: Tensor, gallery: Tensor, k: int, metric: str, admission: Admission) -> tuple[Tensor, Tensor]:
    """Find the k nearest admitted rows of each query, whatever the data: far clusters, ties, norms near float32's ends.

    queries: [Q, D]; gallery: [G, D]; 1 <= k <= G. Returns score and row, [Q, k]. Memory is bounded at any G.
    """
    q, g, d = queries.shape[0], gallery.shape[0], queries.shape[1]
    width = max(1, min(g, SCAN_BYTES // (8 * max(d, min(q, 256)))))
    height = max(1, SCAN_BYTES // (8 * width))
    parts = [
        _search(queries[rows], gallery, k, metric, admission.of(rows), width)
        for rows in (slice(start, start + height) for start in range(0, q, height))
    ]
    return torch.cat([score for score, _ in parts]), torch.cat([row for _, row in parts])


def _search(
    queries: Tensor, gallery: Tensor, k: int, metric: str, admission: Admission, width: int
) -> tuple[Tensor, Tensor]:
    q, g, device = queries.shape[0], gallery.shape[0], queries.device
    scan = _Scan(queries, gallery, metric)
    score = torch.full((q, k), nothing(metric), dtype=torch.float32, device=device)
    row = torch.full((q, k), -1, dtype=torch.int64, device=device)
    for start in range(0, g, width):
        stop = min(start + width, g)
        mask = admission.mask(start, stop)
        if mask is not None and not mask.any():
            continue
        near, far = scan.costs(gallery[start:stop])
        hopeful = torch.ones_like(near, dtype=torch.bool) if mask is None else mask.expand(q, -1).clone()
        if admission.exclude is not None:
            rows = torch.arange(start, stop, device=device).expand(q, -1)
            excluded = admission.excluded(torch.arange(q, device=device)[:, None].expand(q, stop - start), rows)
            hopeful &= True if excluded is None else ~excluded
        if admission.group is None and stop - start >= k:
            far = far.masked_fill(~hopeful, torch.inf)
            hopeful &= near <= far.kthvalue(k, dim=1, keepdim=True).values.float()
        full = row[:, -1:] >= 0
        hopeful &= ~full | (near < sign(metric) * score[:, -1:])  # these rows come later, so a tie would lose
        score, row = _merge(
            score, row, queries, gallery, hopeful.nonzero(), start=start, k=k, metric=metric, group=admission.group
        )
    return score, row


class _Scan:
    """Bounds of a block's costs: float32 that no cost is below, float64 that none is above."""

    def __init__(self, queries: Tensor, gallery: Tensor, metric: str) -> None:
        self.metric = metric
        shifted = metric == "sq_euclidean"  # cancellation is between norms there, and shorter ones cancel less
        self.centre = coding_of(gallery, metric, torch.float32).centre.double() if shifted else None
        self.x = queries.double() if self.centre is None else queries.double() - self.centre
        self.norm = torch.linalg.vector_norm(self.x, dim=1, keepdim=True)
        # As in encode.py, with room for the rounding of the score itself; float64 holds any float32 squared.
        self.kappa = 4.0 * (queries.shape[1] + 16) * FLOAT64

    def costs(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        y = rows.double() if self.centre is None else rows.double() - self.centre
        norm = torch.linalg.vector_norm(y, dim=1)
        if self.metric == "sq_euclidean":
            size = self.norm.square() + norm.square()
            near = (size * (1.0 - 2.0 * self.kappa)).addmm_(self.x, y.T, alpha=-2.0).clamp_(min=0.0)
            return near.float(), near + 4.0 * self.kappa * size  # rounding is monotone: no score is below near's
        cost = torch.mm(self.x, y.T).neg_()
        size = self.norm * norm
        if self.metric == "cosine":
            cost, size = torch.where(size > 0.0, cost / size, 0.0), (size > 0.0).double()
        return (cost - self.kappa * size).float(), cost + self.kappa * size


def _merge(
    score: Tensor,
    row: Tensor,
    queries: Tensor,
    gallery: Tensor,
    pairs: Tensor,
    *,
    start: int,
    k: int,
    metric: str,
    group: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Score the pairs [P, 2] of (query, row - start), sorted by query, and keep the k first of each query."""
    if pairs.shape[0] == 0:
        return score, row
    query = pairs[:, 0]
    count = torch.bincount(query, minlength=queries.shape[0])
    column = torch.arange(query.numel(), device=query.device) - (count.cumsum(0) - count)[query]
    rows = torch.full((queries.shape[0], int(count.max())), -1, dtype=torch.int64, device=query.device)
    rows[query, column] = pairs[:, 1] + start
    fresh = pair_scores(queries, gallery, rows, metric)
    return best(torch.cat((score, fresh), 1), torch.cat((row, rows), 1), k, metric, group)
