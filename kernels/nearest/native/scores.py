"""Scores of listed pairs on a CPU, compiled: what score.py says, to the bit."""

from functools import partial

import torch
from torch import Tensor

from kernels.nearest import score
from kernels.nearest.native import build, pool
from kernels.nearest.native.ranges import ranges
from kernels.nearest.native.structures import Vectors, address
from kernels.nearest.score import METRICS, carefully, nothing

WORTH = 1 << 17  # values of pairs that are worth another thread


def pair_scores(
    queries: Tensor, gallery: Tensor, row: Tensor, metric: str, gallery_sq_norms: Tensor | None = None
) -> Tensor:
    """Score each query against the rows listed for it, as `score.pair_scores` does, which answers elsewhere."""
    if queries.device.type != "cpu" or build.library() is None:
        return score.pair_scores(queries, gallery, row, metric, gallery_sq_norms)
    found = _scores(queries, gallery, None, row.contiguous().view(-1), row.shape[1], metric, gallery_sq_norms)
    return found.view(row.shape)


def list_scores(queries: Tensor, gallery: Tensor, query: Tensor, row: Tensor, metric: str) -> Tensor:
    """Score pairs of a query and a row, [P] int64 each: [P] float32."""
    if queries.device.type != "cpu" or build.library() is None:
        return score.pair_scores(queries[query], gallery, row[:, None], metric)[:, 0]
    return _scores(queries, gallery, query.contiguous(), row.contiguous(), 1, metric, None)


def _scores(
    queries: Tensor, gallery: Tensor, query: Tensor | None, row: Tensor, c: int, metric: str, sq_norms: Tensor | None
) -> Tensor:
    library = build.library()
    assert library is not None
    p = row.numel()
    found, open_ = torch.full((p,), nothing(metric)), torch.zeros(p, dtype=torch.bool)
    x, y = Vectors(queries), Vectors(gallery, sq_norms)

    def part(start: int, stop: int) -> None:
        listed = (address(query), address(row), c, start, stop)
        if not library.score_pairs(x.here, y.here, METRICS.index(metric), *listed, address(found), address(open_)):
            raise MemoryError

    threads = min(torch.get_num_threads(), 1 + p * queries.shape[1] // WORTH)
    pool.run([partial(part, *own) for own in ranges(p, threads)])
    if open_.any():
        left = torch.nonzero(open_)[:, 0]
        which = left // c if query is None else query[left]
        found[left] = carefully(queries, gallery, which, row[left], metric).add_(0.0)
    return found
