"""Where a scan's thresholds come from: the scores of a sample of the gallery."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.nearest.codes import BOUND, QueryCodes, RowCodes
from kernels.nearest.contract import Admission

SHARE = 16  # one row in so many is sampled
LEAST, MOST = 2048, 65536  # rows of a sample
SAMPLE_BYTES = 64 << 20  # of its vectors, as float32
TILE_BYTES = 4 << 20  # of bounds at once


@dataclass(frozen=True, eq=False)
class Sample:
    """Codes of evenly spaced admitted rows, M of them, and how many rows they were taken from."""

    codes: RowCodes
    population: int


def sample_of(block: Callable[[Tensor], RowCodes], admission: Admission, g: int, d: int) -> Sample:
    """Sample the admitted rows of a gallery [G, D], whose codes `block` returns."""
    mask = admission.mask(0, g)
    rows = torch.arange(g) if mask is None else torch.nonzero(mask)[:, 0]
    size = min(rows.numel(), max(LEAST, min(MOST, g // SHARE)), max(1, SAMPLE_BYTES // (4 * d)))
    return Sample(block(rows[torch.arange(size) * rows.numel() // max(1, size)]), rows.numel())


def threshold(codes: QueryCodes, sample: Sample, wanted: int) -> Tensor:
    """Guess for each query an s that the `wanted` best admitted rows surely exceed, and not many more: [H] float64.

    A guess only: a scan proves what it found, or is repeated. -inf where the sample is too small to guess.
    """
    m = sample.codes.codes.shape[0]
    expected = wanted * m / max(1, sample.population)
    rank = wanted if m == sample.population else math.ceil(expected + 4.0 * math.sqrt(expected) + 3.0)
    if rank > m:
        return torch.full_like(codes.floor, -torch.inf)
    height = max(rank, TILE_BYTES // (codes.codes.shape[0] * BOUND[codes.coding.dtype].itemsize))
    room = torch.empty(codes.codes.shape[0] * min(height, m), dtype=BOUND[codes.coding.dtype])
    best = room.new_empty((codes.codes.shape[0], 0))
    for start in range(0, m, height):
        bound = codes.multiply(sample.codes[start : start + height], room).T.contiguous()
        bound = bound.topk(min(rank, bound.shape[1]), dim=1, sorted=False).values
        best = torch.cat((best, bound), dim=1)
        best = best.topk(min(rank, best.shape[1]), dim=1, sorted=False).values
    least = best.amin(dim=1).double()
    slack = codes.terms[:, 1:].double() @ sample.codes.errors.double().mean(dim=0)
    return least - 2.0 * slack
