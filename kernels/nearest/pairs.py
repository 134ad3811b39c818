"""Range search with a limit per row: the pairs that are near enough, each with its exact score."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.nearest.contract import check_pair, check_vectors, without_autocast
from kernels.nearest.encode import NoBoundError
from kernels.nearest.native import build
from kernels.nearest.native import pairs as native
from kernels.nearest.native.pairs import Part, Sides
from kernels.nearest.native.scores import list_scores

SCAN_BYTES = 8 << 20  # float32 bounds of one block of pairs
SINGLE = 2.0**-24  # unit roundoff of float32
FLUSHED = 2.0**-100  # more than all that flushed denormals may add
AMONG_ROWS = 2048  # of a block of pairs among themselves
FEW = 48  # directions by which pairs are told to be far apart
SAMPLED = 20_000  # vectors that the directions are found by
NORM_MAX = 2.0**60  # of a vector; beyond it float32 squares overflow


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of a query and a gallery row, by query, then by row. query, row: [P] int64. sq_distance: [P] float32."""

    query: Tensor
    row: Tensor
    sq_distance: Tensor


@torch.no_grad()
def pairs_within(queries: Tensor, gallery: Tensor, sq_limit: Tensor) -> Pairs:
    """Find all pairs whose squared Euclidean distance is at most the gallery row's limit.

    queries: [Q, D]; gallery: [G, D]; finite, on one device. sq_limit: [G] float32, inf for all queries, negative for
    none. The distances are those of `nearest`, to the bit. Memory beyond the pairs is bounded at any Q and G.
    ValueError, in one line, for anything else.
    """
    check_vectors("queries", queries, "sq_euclidean")
    check_vectors("gallery", gallery, "sq_euclidean")
    check_pair(queries, gallery, 1)
    g, device = gallery.shape[0], queries.device
    if sq_limit.shape != (g,) or sq_limit.dtype != torch.float32 or sq_limit.device != device or sq_limit.isnan().any():
        raise ValueError(
            f"sq_limit is {sq_limit.dtype} {tuple(sq_limit.shape)} on {sq_limit.device}; needed: float32 ({g},) on "
            f"{device}, without NaN"
        )
    open_ = torch.nonzero(sq_limit >= 0)[:, 0]
    if not open_.numel() or not queries.shape[0]:
        return _joined([], device)
    found = _compiled(Sides(queries, gallery, sq_limit, None if open_.numel() == g else open_))
    return _within_by_torch(queries, gallery, sq_limit, open_) if found is None else found


def _compiled(sides: Sides) -> Pairs | None:
    """Find pairs by the compiled scan; None where there is none, or where it has no bound of these vectors."""
    library = build.library() if sides.queries.device.type == "cpu" else None
    if library is None:
        return None
    try:
        with without_autocast(sides.queries.device):
            return _joined(native.pairs(library, sides), sides.queries.device)
    except NoBoundError:
        return None


def _joined(parts: Sequence[Part], device: torch.device) -> Pairs:
    if not parts:
        return Pairs(*(torch.empty(0, dtype=kind, device=device) for kind in (torch.int64, torch.int64, torch.float32)))
    return Pairs(*(torch.cat(some) for some in zip(*parts, strict=True)))


def _within_by_torch(queries: Tensor, gallery: Tensor, sq_limit: Tensor, open_: Tensor) -> Pairs:
    found: list[Part] = []
    g = gallery.shape[0]
    step = max(1, min(queries.shape[0], 1024))
    width = max(1, SCAN_BYTES // (4 * step))
    for start in range(0, open_.numel(), width):
        rows = open_[start : start + width]
        y, y_sq = _shifted(gallery[rows], gallery[0])
        for top in range(0, queries.shape[0], step):
            x, x_sq = _shifted(queries[top : top + step], gallery[0])
            query, column = _near(x, x_sq, y, y_sq, sq_limit[rows])
            query += top
            row = rows[column]
            found.append((query, row, _scores(queries, gallery, query, row)))
    query, row, score = (torch.cat(parts) for parts in zip(*found, strict=True))
    kept = score <= sq_limit[row]
    query, row, score = query[kept], row[kept], score[kept]
    order = torch.argsort(query * g + row)
    return Pairs(query[order], row[order], score[order])


@torch.no_grad()
def pairs_among(vectors: Tensor, sq_limit: float) -> Pairs:
    """Find all pairs of different rows whose squared Euclidean distance is at most `sq_limit`: query < row.

    vectors: [N, D], as for `pairs_within`, of norms up to 2**60. The distances are those of `nearest`, to the bit. Each
    pair is scanned once. ValueError, in one line, for anything else.
    """
    check_vectors("vectors", vectors, "sq_euclidean")
    if not 0 <= sq_limit < float("inf"):
        raise ValueError(f"sq_limit is {sq_limit}; needed: a finite number of at least 0")
    if len(vectors) < 2:
        return _joined([], vectors.device)
    limit = torch.tensor(sq_limit, dtype=torch.float64).float().expand(len(vectors))
    found = _compiled(Sides(vectors, vectors, limit, among=True))
    return _among_by_torch(vectors, sq_limit) if found is None else found


def _among_by_torch(vectors: Tensor, sq_limit: float) -> Pairs:
    """Scan most pairs by few numbers.

    What lies in the directions in which the vectors differ most, and how much lies in all others, is no farther apart
    than the vectors are.
    """
    short, slack = _shortened(vectors)
    squares = short.square().sum(dim=1)
    found: list[Part] = []
    for top in range(0, len(vectors), AMONG_ROWS):
        x, x_sq = short[top : top + AMONG_ROWS], squares[top : top + AMONG_ROWS]
        for left in range(top, len(vectors), AMONG_ROWS):
            y, y_sq = short[left : left + AMONG_ROWS], squares[left : left + AMONG_ROWS]
            bound = torch.addmm(y_sq[None, :], x, y.T, alpha=-2.0).add_(x_sq[:, None])
            if float(bound.amin()) > sq_limit * (1 + 2.0**-10) + slack:
                continue
            query, row = torch.nonzero(bound <= sq_limit * (1 + 2.0**-10) + slack).unbind(1)
            query, row = query + top, row + left
            query, row = query[query < row], row[query < row]
            score = _scores(vectors, vectors, query, row)
            kept = score <= sq_limit
            found.append((query[kept], row[kept], score[kept]))
    if not found:
        return _joined([], vectors.device)
    query, row, score = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = torch.argsort(query * len(vectors) + row)
    return Pairs(query[order], row[order], score[order])


def _shortened(vectors: Tensor) -> tuple[Tensor, float]:
    """Turn the vectors into the directions in which they differ most: the first few, and the length of the rest.

    Returns [N, d] float32, and what all rounding may add to the squared distance of two of them.
    """
    moved = vectors.double() - vectors.double().mean(dim=0)
    some = moved[:: max(1, len(moved) // SAMPLED)]
    _, axes = torch.linalg.eigh(some.T @ some)
    kept = min(moved.shape[1], FEW)
    turned = moved @ axes.flip(1)
    rest = turned[:, kept:].square().sum(dim=1, keepdim=True).sqrt()
    short = torch.cat([turned[:, :kept], rest], dim=1)
    longest = float(short.square().sum(dim=1).max()) if len(short) else 0.0
    # As in `_near`: of the products and squares, their sums in any order, and of rounding what is multiplied.
    return short.float(), 8.0 * (kept + 16) * SINGLE * longest + FLUSHED


def _shifted(vectors: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Move the origin into the gallery, where cancellation is between shorter norms; with their squares, float64."""
    moved = vectors.double() - centre.double()
    return moved.float(), moved.square().sum(dim=1)


def _near(x: Tensor, x_sq: Tensor, y: Tensor, y_sq: Tensor, sq_limit: Tensor) -> tuple[Tensor, Tensor]:
    """List the pairs of a block that may be within the limit: a float32 product, less all that its rounding may add."""
    longest = torch.maximum(x_sq.max(), y_sq.max())
    if longest > NORM_MAX**2:
        query, row = torch.ones((len(x), len(y)), dtype=torch.bool, device=x.device).nonzero().unbind(1)
        return query, row
    # |fl(x.y) - x.y| <= (D + 4) u |x| |y| for the products, their sum in any order, and the rounding of x and y, and
    # 2 |x| |y| <= |x|^2 + |y|^2. Four times that also covers the terms' own rounding to float32.
    share = 4.0 * (x.shape[1] + 16) * SINGLE
    left = (x_sq * (1.0 - share)).float()
    right = (y_sq * (1.0 - share) - sq_limit.double() * (1.0 + share)).float()
    near = torch.addmm(right[None, :].expand(len(x), -1), x, y.T, alpha=-2.0).add_(left[:, None])
    query, row = torch.nonzero(near <= FLUSHED).unbind(1)
    return query, row


def _scores(queries: Tensor, gallery: Tensor, query: Tensor, row: Tensor) -> Tensor:
    parts = [
        list_scores(queries, gallery, query[part], row[part], "sq_euclidean")
        for part in (slice(start, start + 65536) for start in range(0, query.numel(), 65536))
    ]
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.float32, device=queries.device)
