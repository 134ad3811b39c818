"""What a score is here, to the bit: the real number that the metric says, rounded once to float32."""

import torch
from torch import Tensor

from kernels.nearest import rational

METRICS = ("sq_euclidean", "inner_product", "cosine")
FLOAT64 = 2.0**-53  # unit roundoff
BLOCK_BYTES = 1 << 20  # float64 values in flight; more than a core's cache holds is slower, not faster
GPU_BLOCK_BYTES = 256 << 20  # where every block costs launches


def sign(metric: str) -> float:
    """Return what a score is multiplied by so that less is better: 1 for a distance, -1 for a similarity."""
    return 1.0 if metric == "sq_euclidean" else -1.0


def nothing(metric: str) -> float:
    """Return the score of no neighbour: inf for a distance, -inf for a similarity."""
    return sign(metric) * torch.inf


def sq_norms(vectors: Tensor) -> Tensor:
    """Square the norms of rows [G, D], in float64: [G]."""
    if vectors.dtype == torch.int8:
        vectors = vectors.half()  # exact, and norms are of floating numbers only
    return torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64).square_()


def pair_scores(
    queries: Tensor, gallery: Tensor, row: Tensor, metric: str, gallery_sq_norms: Tensor | None = None
) -> Tensor:
    """Score each query against the rows listed for it.

    queries: [Q, D]; gallery: [G, D]; row: [Q, C] int64, -1 for none; gallery_sq_norms: [G] float64, if they are known.
    Returns [Q, C] float32, `nothing` for none. A zero vector has cosine 0 with everything.
    """
    dot, y_sq = _products(queries, gallery, row, gallery_sq_norms)
    x_sq = sq_norms(queries.double())[:, None]
    share = 4.0 * (queries.shape[1] + 8) * FLOAT64  # of the sum of the terms' magnitudes
    if metric == "sq_euclidean":
        error = (x_sq + y_sq).mul_(share)
        value = dot.mul_(-2.0).add_(x_sq).add_(y_sq)
    elif metric == "inner_product":
        value, error = dot, (x_sq * y_sq).sqrt_().mul_(share)
    else:
        norm = (x_sq * y_sq).sqrt_()
        value = dot.div_(norm.masked_fill(norm == 0.0, 1.0))
        error = (norm > 0.0) * share
    low, high = (value - error).float(), value.add_(error).float()
    query, column = torch.nonzero((low != high) & (row >= 0), as_tuple=True)
    if query.numel():  # float64 cannot tell to which side to round: some pairs in a million, and near-duplicates
        low[query, column] = carefully(queries, gallery, query, row[query, column], metric)
    return low.add_(0.0).masked_fill_(row < 0, nothing(metric))  # no negative zero, whose bits would sort apart


def _products(queries: Tensor, gallery: Tensor, row: Tensor, gallery_sq_norms: Tensor | None) -> tuple[Tensor, Tensor]:
    """Multiply each query with its rows, in the order the device likes: dot products, and the rows' squared norms."""
    (q, c), d, device = row.shape, queries.shape[1], queries.device
    dot = torch.zeros((q, c), dtype=torch.float64, device=device)
    if gallery_sq_norms is None:
        y_sq = torch.zeros_like(dot)
    else:
        y_sq = gallery_sq_norms.index_select(0, row.flatten().clamp(min=0)).view(q, c)
    block = _rows_at_once(d, device)
    height = max(1, min(q, block // max(1, c)))
    # Written again and again: fresh memory for every block costs more than the arithmetic.
    narrow = torch.empty((max(height, min(block, height * c)), d), dtype=gallery.dtype, device=device)
    wide = torch.empty(narrow.shape, dtype=torch.float64, device=device)
    for top in range(0, q, height):
        x = queries[top : top + height].double()
        step = narrow.shape[0] // x.shape[0]
        for left in range(0, c if c <= step else _filled(row[top : top + height]), step):
            part = (slice(top, top + height), slice(left, left + step))
            n = row[part].numel()
            torch.index_select(gallery, 0, row[part].flatten().clamp(min=0), out=narrow[:n])
            y = wide[:n].copy_(narrow[:n]).view(*row[part].shape, d)
            dot[part] = torch.bmm(y, x[:, :, None])[:, :, 0]
            if gallery_sq_norms is None:
                y_sq[part] = torch.linalg.vector_norm(y, dim=2).square_()
    return dot, y_sq


def carefully(queries: Tensor, gallery: Tensor, query: Tensor, row: Tensor, metric: str) -> Tensor:
    """Score pairs [P]: a distance by the differences themselves, and by whole numbers what that leaves open."""
    scores, d = torch.empty(query.numel(), dtype=torch.float32, device=queries.device), queries.shape[1]
    block = _rows_at_once(d, queries.device)
    for start in range(0, query.numel(), block):
        part = slice(start, start + block)
        x, y = queries[query[part]].double(), gallery[row[part]].double()
        if metric == "sq_euclidean":
            value = (x - y).square_().sum(dim=1)
            error = value * (4.0 * (d + 8) * FLOAT64)
            low, high = (value - error).float(), value.add_(error).float()
            open_ = torch.nonzero(low != high)[:, 0]
            low[open_] = rational.scores(x[open_], y[open_], metric)
        else:
            low = rational.scores(x, y, metric)
        scores[part] = low
    return scores


def _rows_at_once(d: int, device: torch.device) -> int:
    return max(1, (BLOCK_BYTES if device.type == "cpu" else GPU_BLOCK_BYTES) // (8 * d))


def _filled(row: Tensor) -> int:
    """Return the number of columns up to the last that is not -1."""
    used = (row >= 0).any(dim=0).nonzero()
    return int(used[-1]) + 1 if used.numel() else 0
