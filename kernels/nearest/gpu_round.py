"""A round on a GPU that waits for nothing: every shape is known beforehand, so that it can be captured as a graph."""

from dataclasses import dataclass

from torch import Tensor

from kernels.nearest.contract import Admission
from kernels.nearest.gpu_queries import encode
from kernels.nearest.gpu_rows import Rows
from kernels.nearest.gpu_scan import scan
from kernels.nearest.gpu_score import brackets
from kernels.nearest.gpu_seed import Sample, room_for, threshold
from kernels.nearest.resolve import broken, outlook
from kernels.nearest.score import nothing
from kernels.nearest.select import best


@dataclass(frozen=True, eq=False)
class Round:
    """What one round says: score, row [H, k]; settled [H] bool: the others' answers mean nothing.

    survivors: a whole number, of the query that had most.
    """

    score: Tensor
    row: Tensor
    settled: Tensor
    survivors: Tensor


def once(
    queries: Tensor, vectors: Tensor, rows: Rows, sample: Sample, k: int, exclude: Tensor | None, width: int
) -> Round:
    """Look for the k nearest rows of each query with one scan, and say which answers that proves.

    queries: [H, D]; exclude: [H] int64, a row, -1 for none; width: the most survivors that a query may have, k or more.
    """
    encoded, wanted = encode(queries, rows), k + (exclude is not None)
    admission = Admission(exclude=exclude)
    least = encoded.least(threshold(encoded, sample, wanted))
    most = room_for(wanted, sample)
    found, overflown, survivors = scan(encoded, least, admission, sample, wanted, most=most, width=width)
    hope = outlook(found, k, admission)
    row = found.row.where(hope.hopeful, -1)
    score, high = brackets(queries, vectors, row, rows.metric)
    unsure = (row >= 0) & (score != high)  # some pairs in a hundred million; a round that waits looks at these
    lied = broken(row, found.near, score, found.far, rows.metric) & ~unsure
    settled = hope.proven & encoded.bounded & ~overflown & ~unsure.any(dim=1) & ~lied.any()
    score = score.add_(0.0).masked_fill_(row < 0, nothing(rows.metric))
    return Round(*best(score, row, k, rows.metric), settled, survivors.max())
