"""The plain answer: every pair scored directly, one sort."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.nearest.contract import Admission, Neighbors
from kernels.nearest.score import pair_scores
from kernels.nearest.select import best


@dataclass(frozen=True, eq=False)
class Prepared:
    """The vectors as they are, and the metric."""

    vectors: Tensor
    metric: str
    nbytes: int = 0

    def rows(self, start: int, stop: int) -> "Prepared":
        """Narrow to the rows start to stop, numbered from 0."""
        return Prepared(self.vectors[start:stop], self.metric)


def prepare(vectors: Tensor, metric: str, compute: str, *, keep: bool) -> Prepared:
    """Make ready: nothing is scanned, so whatever `compute` says, nothing is copied."""
    return Prepared(vectors, metric)


def answer(queries: Tensor, prepared: Prepared, k: int, admission: Admission) -> Neighbors:
    """Find the k nearest admitted gallery rows of each query, on any device, without a trick.

    queries: [Q, D]; 1 <= k <= G. Returns [Q, k]. Time and memory grow with Q x G.
    """
    gallery = prepared.vectors
    q, g = queries.shape[0], gallery.shape[0]
    row = torch.arange(g, device=gallery.device).expand(q, g)
    score = pair_scores(queries, gallery, row, prepared.metric)
    query = torch.arange(q, device=gallery.device)[:, None].expand(q, g)
    if (mask := admission.mask(0, g)) is not None:
        row = row.masked_fill(~mask, -1)
    if (excluded := admission.excluded(query, row.clamp(min=0))) is not None:
        row = row.masked_fill(excluded, -1)
    proven = torch.ones(q, dtype=torch.bool, device=gallery.device)
    return Neighbors(*best(score, row, k, prepared.metric, admission.group), proven)
