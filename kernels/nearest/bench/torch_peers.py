"""Peers that are a few lines of torch: what one writes by hand."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kernels.nearest.bench.peer import AbsentError, Search

SCORES_BYTES = {"cpu": 2**30, "cuda": 2**33}  # that a peer may hold at a time; it goes block by block beyond


def mm_topk(gallery: Tensor, metric: str) -> Search:
    """Build the norm expansion and top-k: a matrix product in the vectors' type, norms ready beforehand."""
    return _blockwise(gallery, metric, _product_topk)


def mm_topk_float32(gallery: Tensor, metric: str) -> Search:
    """Build the same with a matrix product that is not rounded to the vectors' 16 bits."""
    if gallery.dtype == torch.float32 or gallery.device.type != "cuda":
        raise AbsentError("only for 16-bit vectors on a GPU")
    return _blockwise(gallery, metric, partial(_product_topk, dtype=torch.float32))


def mm_topk_compiled(gallery: Tensor, metric: str) -> Search:
    """Build the same, compiled; it compiles in the warm-up, once for each shape."""
    torch._dynamo.reset()
    return _blockwise(gallery, metric, torch.compile(_product_topk, dynamic=False))


def cdist_topk(gallery: Tensor, metric: str) -> Search:
    """Build torch.cdist and top-k."""
    return _blockwise(gallery, metric, lambda q, rows, _, k: torch.cdist(q, rows).topk(k, dim=1, largest=False))


def _product_topk(
    queries: Tensor, rows: Tensor, sq_norm: Tensor | None, k: int, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    if sq_norm is not None and queries.dtype == torch.float32:
        score = torch.addmm(sq_norm, queries, rows.T, alpha=-2.0)  # one pass less over the scores
    else:
        score = queries @ rows.T if dtype is None else torch.mm(queries, rows.T, out_dtype=dtype)
        if sq_norm is not None:
            score = sq_norm - 2.0 * score
    best = score.topk(k, dim=1, largest=sq_norm is None)
    return best.values, best.indices


def _blockwise(gallery: Tensor, metric: str, topk: Callable[..., Any]) -> Search:
    """Apply a top-k over blocks of the gallery that are small enough, and merge; one block where all fits."""
    near = metric == "sq_euclidean"
    rows = torch.nn.functional.normalize(gallery) if metric == "cosine" else gallery
    sq_norm = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float32).square() if near else None
    most = SCORES_BYTES[gallery.device.type]

    def search(queries: Tensor, k: int) -> Tensor:
        if metric == "cosine":
            queries = torch.nn.functional.normalize(queries)
        step = max(most // (queries.shape[0] * 8), k)  # scores, and what becomes of them
        values, indices = [], []
        for start in range(0, rows.shape[0], step):
            part = slice(start, start + step)
            block = rows[part]
            value, index = topk(queries, block, None if sq_norm is None else sq_norm[part], min(k, block.shape[0]))
            values.append(value)
            indices.append(index + start)
        if len(values) == 1:
            return indices[0]
        merged = torch.cat(values, dim=1).topk(k, dim=1, largest=not near)
        return torch.cat(indices, dim=1).gather(1, merged.indices)

    return search
