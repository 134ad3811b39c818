"""The Triton kernel that scores listed pairs in float64, reading each row once, and how far a score may be off."""
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

import contextlib

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.nearest.score import FLOAT64, METRICS, carefully, nothing

BLOCK_C, BLOCK_D = 16, 32  # pairs of a program; values of a step
NUM_WARPS = 4


@triton.jit(do_not_specialize=["C"])
def score_kernel(
    queries_ptr, gallery_ptr, row_ptr, low_ptr, high_ptr,
    C, D, share, stride_q, stride_qd, stride_g, stride_gd,
    METRIC: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Bound the scores of `BLOCK_C` of the rows [C] that one query lists: low, high [H, C] float64; -1 is left alone.

    queries: [H, D]; gallery: [G, D]; row: [H, C] int64. share: what a sum of D terms loses of their magnitudes.
    METRIC: a place in METRICS.
    """
    query = tl.program_id(1).to(tl.int64)
    at_c, at_d = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_D)
    pair = query * C + at_c
    row = tl.load(row_ptr + pair, mask=at_c < C, other=-1)
    listed = row >= 0
    if tl.max(listed.to(tl.int32), axis=0) == 0:
        return
    queries_at, gallery_at = queries_ptr + query * stride_q, gallery_ptr + row[:, None] * stride_g
    # One sum a column of the block, added up at last: a sum of D / BLOCK_D + BLOCK_D terms, whatever their order.
    total = tl.zeros([BLOCK_C, BLOCK_D], tl.float64)
    if METRIC > 0:
        x_sq, y_sq = tl.zeros([BLOCK_D], tl.float64), tl.zeros([BLOCK_C, BLOCK_D], tl.float64)
    for d in range(0, D, BLOCK_D):
        inside, column = at_d < D - d, (at_d + d).to(tl.int64)  # of a gallery that lies by columns, far apart
        x = tl.load(queries_at + column * stride_qd, mask=inside, other=0.0).to(tl.float32).to(tl.float64)
        y = tl.load(gallery_at + column[None, :] * stride_gd, mask=listed[:, None] & inside[None, :], other=0.0)
        y = y.to(tl.float32).to(tl.float64)
        if METRIC == 0:
            apart = x[None, :] - y
            total += apart * apart
        else:
            total += x[None, :] * y
            x_sq += x * x
            y_sq += y * y
    value = tl.sum(total, axis=1)
    if METRIC == 0:
        error = value * share
    else:
        norm = tl.sqrt(tl.sum(x_sq, axis=0) * tl.sum(y_sq, axis=1))
        if METRIC == 1:
            error = norm * share
        else:
            value = tl.where(norm == 0.0, 0.0, value / tl.where(norm == 0.0, 1.0, norm))
            error = tl.where(norm == 0.0, 0.0, share)
    tl.store(low_ptr + pair, value - error, mask=listed)
    tl.store(high_ptr + pair, value + error, mask=listed)


def brackets(queries: Tensor, gallery: Tensor, row: Tensor, metric: str) -> tuple[Tensor, Tensor]:
    """Score each query against the rows listed for it, from below and above, without a wait for the device.

    queries: [H, D]; gallery: [G, D]; row: [H, C] int64, -1 for none. Returns [H, C] float32 twice: where both are the
    same, it is the score. What is not listed is 0.
    """
    (h, c), d = row.shape, queries.shape[1]
    low, high = (torch.zeros((h, c), dtype=torch.float64, device=row.device) for _ in range(2))
    share = 2.0 * (triton.cdiv(d, BLOCK_D) + BLOCK_D + 8) * FLOAT64
    with torch.cuda.device(row.device) if row.is_cuda else contextlib.nullcontext():
        score_kernel[(triton.cdiv(c, BLOCK_C), h)](
            queries, gallery, row.contiguous(), low, high,
            c, d, share, *queries.stride(), *gallery.stride(),
            METRICS.index(metric), BLOCK_C, BLOCK_D, num_warps=NUM_WARPS, enable_fp_fusion=True,
        )  # fmt: skip
    return low.float(), high.float()


def pair_scores(queries: Tensor, gallery: Tensor, row: Tensor, metric: str) -> Tensor:
    """Score each query against the rows listed for it, as `score.pair_scores` does."""
    low, high = brackets(queries, gallery, row, metric)
    query, column = torch.nonzero((low != high) & (row >= 0), as_tuple=True)
    if query.numel():
        low[query, column] = carefully(queries, gallery, query, row[query, column], metric)
    return low.add_(0.0).masked_fill_(row < 0, nothing(metric))
