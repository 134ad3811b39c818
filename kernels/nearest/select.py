"""The total order: best score first, then the lower row; one row of a group; and the merge of shards."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kernels.nearest.contract import Neighbors, check_choice
from kernels.nearest.score import METRICS, nothing, sign

LAST = torch.iinfo(torch.int64).max
NO_ROW = 2**32 - 1


def best(score: Tensor, row: Tensor, k: int, metric: str, group: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Take the k first of each query by (score, row), of each group only its first.

    score: [Q, C] float32, not -0; row: [Q, C] int64, distinct within a query, -1 for none; group: [G] int64. Returns
    [Q, k] and [Q, k], filled up with row -1.
    """
    cost = (sign(metric) * score).masked_fill_(row < 0, torch.inf).add_(0.0)
    if short := max(0, k - cost.shape[1]):
        cost = torch.nn.functional.pad(cost, (0, short), value=torch.inf)
        row = torch.nn.functional.pad(row, (0, short), value=-1)
    # One whole number holds both: the order-preserving bits of the cost, then the row. No row, all bits set, is last.
    bits = cost.view(torch.int32)
    key = ((bits ^ ((bits >> 31) & 0x7FFFFFFF)).long() << 32) | (row & NO_ROW)
    key = key.sort(dim=1).values
    if group is not None:
        row = key & NO_ROW
        first = first_of_group(group[row.masked_fill(row == NO_ROW, 0)])
        key = torch.where(first | (row == NO_ROW), key, LAST).sort(dim=1).values
    key = key[:, :k]
    bits = (key >> 32).int()
    row = key & NO_ROW
    none = row == NO_ROW
    score = sign(metric) * (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(torch.float32)
    return score.masked_fill_(none, nothing(metric)).add_(0.0), row.masked_fill_(none, -1)


def first_of_group(group: Tensor) -> Tensor:
    """Mark the first occurrence of every group in each row: [Q, C] int64 to [Q, C] bool."""
    ordered, order = group.sort(dim=1, stable=True)
    new = torch.ones_like(ordered, dtype=torch.bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return torch.empty_like(new).scatter_(1, order, new)


def merge(
    parts: Sequence[Neighbors], k: int, *, metric: str = "sq_euclidean", group: Tensor | None = None
) -> Neighbors:
    """Merge the answers of shards into the answer of the whole: the k first of each query by (score, row).

    parts: [Q, K_i] each, with rows numbered over the whole gallery and no row in two parts; each part holds min(k, its
    shard's rows) neighbours or more, found with the same metric and filters. group: [G] int64 over the whole gallery,
    if the parts were found with groups. ValueError if there is no part or they differ in Q.
    """
    check_choice("metric", metric, METRICS)
    if len({part.row.shape[0] for part in parts}) != 1:
        raise ValueError(f"parts answer {[part.row.shape[0] for part in parts]} queries; needed: one number, one part")
    score, row = torch.cat([part.score for part in parts], 1), torch.cat([part.row for part in parts], 1)
    proven = torch.stack([part.proven for part in parts]).all(dim=0)
    return Neighbors(*best(score, row, min(k, row.shape[1]), metric, group), proven)
