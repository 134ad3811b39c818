"""The CPU backend: a float32 matmul over blocks of the gallery, a running top-k of lower bounds, then `resolve`."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from kernels.nearest import exact
from kernels.nearest.bounds import FLOAT32, bound
from kernels.nearest.contract import Neighbors
from kernels.nearest.rescore import Answer, Candidates, margin, resolve

SCORE_BYTES = 64 << 20  # scores of one block of queries x gallery
BLOCK_ROWS = 16384  # gallery rows to one top-k selection, whose cost is mostly per call and query
CACHE_BYTES = 8 << 20  # gallery rows shifted at once: they are read again by the norms and the matmul


def search(queries: Tensor, gallery: Tensor, k: int) -> Neighbors:
    """Find the k nearest gallery rows of each query.

    queries: [Q, D]; gallery: [G, D]; 1 <= k <= G. Returns [Q, k]. Memory beyond inputs and result is bounded at any G.
    """
    return answer(queries, gallery, k).neighbors


def answer(queries: Tensor, gallery: Tensor, k: int) -> Answer:
    """Like `search`, and say which queries were proven by the float32 scan."""
    found = _scan(queries, gallery, min(gallery.shape[0], k + margin(k)))
    if found is None:
        none = torch.zeros(queries.shape[0], dtype=torch.bool)
        return Answer(exact.search(queries, gallery, k), none)
    return resolve(queries, gallery, k, found)


def _scan(queries: Tensor, gallery: Tensor, count: int) -> Candidates | None:
    """Bring the `count` rows of least lower bound; None where float32 has no bound for these values."""
    centre = exact.centre_of(gallery)
    width = max(1, min(BLOCK_ROWS, gallery.shape[0], SCORE_BYTES // 4))
    height = max(1, SCORE_BYTES // (4 * width))
    found = []
    with _ieee_matmul():
        for x in torch.split(queries.float() - centre, height):
            part = _scan_block(x, gallery, centre, count, width)
            if part is None:
                return None
            found.append(part)
    return Candidates(torch.cat([part.row for part in found]), torch.cat([part.lower for part in found]))


def _scan_block(x: Tensor, gallery: Tensor, centre: Tensor, count: int, width: int) -> Candidates | None:
    """Scan for one block of shifted queries x [H, D], `width` gallery rows to a selection; overwrites x."""
    g, d = gallery.shape
    step = max(1, min(width, CACHE_BYTES // (4 * d)))
    x_sq = x.double().square().sum(dim=1)
    x_twice = x.mul_(-2.0)
    max_sq_norm = float(x_sq.max())
    error = bound(d, FLOAT32, max_sq_norm)
    shifted, scores = torch.empty((step, d)), torch.empty((x.shape[0], width))
    best = (torch.empty((x.shape[0], 0)), torch.empty((x.shape[0], 0), dtype=torch.int64))
    for start in range(0, g, width):
        stop = min(start + width, g)
        for low in range(start, stop, step):
            rows = gallery[low : min(low + step, stop)]
            y = torch.sub(rows, centre, out=shifted[: rows.shape[0]])
            y_sq = torch.linalg.vector_norm(y, dim=1).double().square_()
            max_sq_norm = max(max_sq_norm, float(y_sq.max()))
            error = bound(d, FLOAT32, max_sq_norm)
            if error is None:
                return None
            y_sq = y_sq.mul_(error.norm_share).float()
            torch.addmm(y_sq, x_twice, y.T, out=scores[:, low - start : low - start + rows.shape[0]])
        least = scores[:, : stop - start].topk(min(count, stop - start), dim=1, largest=False, sorted=False)
        best = _least(torch.cat((best[0], least.values), 1), torch.cat((best[1], least.indices + start), 1), count)
    if error is None:
        return None
    lower = best[0].double() + (error.norm_share * x_sq)[:, None] - error.floor
    return Candidates(best[1], lower)


def _least(values: Tensor, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    if values.shape[1] <= count:
        return values, rows
    least = values.topk(count, dim=1, largest=False, sorted=False)
    return least.values, rows.gather(1, least.indices)


@contextmanager
def _ieee_matmul() -> Iterator[None]:
    """Keep `torch.set_float32_matmul_precision("medium")`, which means bfloat16 on some CPUs, out of the scan."""
    setting = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = setting.fp32_precision
    setting.fp32_precision = "ieee"
    try:
        yield
    finally:
        setting.fp32_precision = before
