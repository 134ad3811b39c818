"""The way from the similarities that a scan bounds to the scores that are asked for."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Scale:
    """What turns a similarity s of some queries into a cost, which is the score, negated for a similarity.

    constant: [H] float64, |x|^2 or x.c (see encode.py). norm: [H] float64, the query's. offset: what was added to s.
    """

    metric: str
    constant: Tensor
    norm: Tensor
    offset: float = 0.0

    def costs(self, query: Tensor, s: Tensor) -> Tensor:
        """Turn similarities s [P] float64 of queries [P] into costs, [P]."""
        if self.metric == "sq_euclidean":
            return self.constant[query] - 2.0 * (s - self.offset)
        score = self.constant[query] + s
        if self.metric == "cosine":
            norm = self.norm[query]
            score = torch.where(norm > 0.0, score / norm, 0.0)
        return -score

    def similarities(self, cost: Tensor) -> Tensor:
        """Turn a cost of each query, [H] float64, into the similarity s that has it."""
        if self.metric == "sq_euclidean":
            return (self.constant - cost) / 2.0 + self.offset
        return -cost * (self.norm if self.metric == "cosine" else 1.0) - self.constant

    def of(self, queries: Tensor) -> "Scale":
        """Narrow to some of the queries."""
        return Scale(self.metric, self.constant[queries], self.norm[queries], self.offset)
