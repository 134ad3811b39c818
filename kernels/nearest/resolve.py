"""From survivors of a scan to the answer: bound, score, and prove that no other row belongs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.nearest.contract import Admission
from kernels.nearest.score import sign
from kernels.nearest.select import best

FEW_PAIRS = 64  # that are scored as they stand: to move the hopeful ones together takes longer
GPU_FEW_PAIRS = 8192

PairScores = Callable[[Tensor, Tensor, Tensor, str], Tensor]  # of queries, gallery, rows [H, C] (-1: none), metric


@dataclass(frozen=True, eq=False)
class Survivors:
    """What a scan hands over of its queries, in costs: the score, negated for a similarity.

    row: [H, C] int64, admitted and distinct within a query, -1 for none. near, far: [H, C] float64, proven bounds of
    the row's cost. cut: [H] float64, a proven lower bound of the cost of every admitted row that is not listed.
    """

    row: Tensor
    near: Tensor
    far: Tensor
    cut: Tensor


@dataclass(frozen=True, eq=False)
class Resolved:
    """The answer as far as the survivors prove it: score, row [H, k]; proven [H] bool; limit [H] float64.

    limit: the k-th cost is at most this; inf if fewer than k survived. A scan whose cut is beyond it proves the answer.
    """

    score: Tensor
    row: Tensor
    proven: Tensor
    limit: Tensor

    def of(self, queries: Tensor) -> "Resolved":
        """Narrow to some of the queries."""
        return Resolved(self.score[queries], self.row[queries], self.proven[queries], self.limit[queries])


@dataclass(frozen=True, eq=False)
class Outlook:
    """What bounds alone say: the limit of `Resolved`, [H]; whether no row outside can belong, [H]; who can, [H, C]."""

    limit: Tensor
    proven: Tensor
    hopeful: Tensor


def outlook(found: Survivors, k: int, admission: Admission) -> Outlook:
    """Say by their bounds which survivors can be among the k first."""
    limit = kth(found, k, admission)
    rounded = limit.float()
    # Strictly: a row outside with the same rounded score and a lower number would belong to the answer.
    proven = (found.cut.float() > rounded) | (found.cut == torch.inf)
    return Outlook(limit, proven, (found.row >= 0) & (found.near.float() <= rounded[:, None]))


def broken(row: Tensor, near: Tensor, score: Tensor, far: Tensor, metric: str) -> Tensor:
    """Say which pairs, -1 for none, have a score beyond their bounds: not the arithmetic that these were proven for."""
    cost = sign(metric) * score
    return (row >= 0) & ((near.float() > cost) | (cost > far.float()))


def resolve(
    queries: Tensor, gallery: Tensor, k: int, metric: str, admission: Admission, found: Survivors, scores: PairScores
) -> Resolved:
    """Score the survivors that can be among the k first, and order them.

    queries: [H, D]; gallery: [G, D]. Believes no bound of this scan if one of them is not kept: then nothing is proven.
    """
    hope = outlook(found, k, admission)
    limit, proven = hope.limit, hope.proven
    row, near, far = _narrow(hope.hopeful, found)
    score = scores(queries, gallery, row, metric)
    if broken(row, near, score, far, metric).any():
        proven = torch.zeros_like(proven)
        limit = torch.full_like(limit, torch.inf)
    return Resolved(*best(score, row, k, metric, admission.group), proven, limit)


def kth(found: Survivors, k: int, admission: Admission) -> Tensor:
    """Bound the k-th cost from above: the k-th least upper bound, of distinct groups; inf where there are fewer."""
    far = found.far.masked_fill(found.row < 0, torch.inf)
    if admission.group is not None:
        return best(far.float(), found.row, k, "sq_euclidean", admission.group)[0][:, k - 1].double()
    if far.shape[1] < k:
        return far.new_full((far.shape[0],), torch.inf)
    return far.kthvalue(k, dim=1).values if k > 1 else far.amin(dim=1)


def _narrow(hopeful: Tensor, found: Survivors) -> tuple[Tensor, Tensor, Tensor]:
    """Move the hopeful of each query to the left and drop the columns that no query needs; few stay where they are."""
    if found.row.numel() <= (FEW_PAIRS if found.row.device.type == "cpu" else GPU_FEW_PAIRS):
        return torch.where(hopeful, found.row, -1), found.near, found.far
    query, column = torch.nonzero(hopeful, as_tuple=True)
    place = (hopeful.cumsum(dim=1) - 1)[query, column]
    shape = (hopeful.shape[0], int(place.max()) + 1 if place.numel() else 0)
    row = found.row.new_full(shape, -1)
    near, far = found.near.new_zeros(shape), found.far.new_zeros(shape)
    row[query, place], near[query, place], far[query, place] = (
        part[query, column] for part in (found.row, found.near, found.far)
    )
    return row, near, far


def beyond(limit: Tensor) -> Tensor:
    """Step from a cost [H] to one whose float32 is surely larger, so that a scan cut there proves the answer."""
    return limit + limit.abs() * 2.0**-22 + 2.0**-148
