"""What a squared distance is here, to the bit; every backend reports this and nothing else."""

import torch
from torch import Tensor

BLOCK_BYTES = 16 << 20  # float64 differences in flight; more than a cache holds is slower, not faster


def fold(terms: Tensor) -> Tensor:
    """Sum the last axis in a fixed order by adding its second half onto its first; overwrites `terms`.

    Addition of whole slices is the same on every device and for every shape around it, which `Tensor.sum` is not.
    terms: [..., D]. Returns [...].
    """
    width = terms.shape[-1]
    while width > 1:
        half = (width + 1) // 2
        terms[..., : width - half] += terms[..., half:width]
        width = half
    return terms[..., 0]


def pair_sq_distances(queries: Tensor, gallery: Tensor, query_row: Tensor, gallery_row: Tensor) -> Tensor:
    """Score listed pairs: differences, squares and their `fold` in float64, rounded once to float32.

    queries: [Q, D]; gallery: [G, D]; query_row, gallery_row: [P] int64. Returns [P] float32; inf beyond float32.
    """
    pairs, d = query_row.numel(), queries.shape[1]
    scores = torch.empty(pairs, dtype=torch.float32, device=queries.device)
    block = max(1, BLOCK_BYTES // (8 * d))
    for start in range(0, pairs, block):
        part = slice(start, start + block)
        terms = queries[query_row[part]].double()
        terms -= gallery[gallery_row[part]]
        scores[part] = fold(terms.square_()).float()
    return scores


def order(sq_distance: Tensor, row: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Take the k first of each query by (score, row); NaN scores stand for nothing and come last.

    sq_distance: [Q, C] float32; row: [Q, C] int64, distinct within a query. Returns [Q, k] and [Q, k].
    """
    row, by_row = row.sort(dim=1)
    sq_distance, by_score = sq_distance.gather(1, by_row).sort(dim=1, stable=True)
    return sq_distance[:, :k].contiguous(), row.gather(1, by_score[:, :k])
