"""Where the GPU's thresholds come from: a sample of the admitted rows, in the scan's own arithmetic."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.nearest.contract import Admission
from kernels.nearest.gpu_queries import PACKED, Queries
from kernels.nearest.gpu_rows import Rows

SHARE = 32  # one row in so many is sampled
SMALLEST, LARGEST = 4096, 65536  # rows of a sample
CANDIDATES = 1 << 22  # rows whose validity is looked at
PRODUCT_BYTES = 64 << 20
LEAST_ROOM = 1024


@dataclass(frozen=True, eq=False)
class Sample:
    """Evenly spaced admitted rows: row [M] int64, their codes [M, D], and about how many rows they were taken from."""

    row: Tensor
    codes: Tensor
    population: int

    def rank(self, wanted: int) -> int:
        """Say which of the sample's best the `wanted` best of all are surely before; more than there are if none."""
        m = self.row.numel()
        return wanted if m == self.population else rank_of(wanted, m / max(1, self.population))

    def expected(self, wanted: int) -> int:
        """Say how many rows of all will reach the threshold."""
        return self.rank(wanted) * self.population // max(1, self.row.numel())


def rank_of(wanted: int, share: float) -> int:
    """Say which of the best of a share of the rows the `wanted` best of all are surely before."""
    expected = wanted * share
    return math.ceil(expected + 4.0 * math.sqrt(expected) + 3.0)


def room_for(wanted: int, sample: Sample) -> int:
    """Say for how many survivors of a query a scan should have room."""
    return max(LEAST_ROOM, 4 * wanted, 4 * sample.expected(wanted))


def sample_of(rows: Rows, admission: Admission) -> Sample:
    """Sample the admitted rows."""
    g = rows.codes.shape[0]
    size = max(SMALLEST, min(LARGEST, g // SHARE))
    count = g if g <= CANDIDATES else (CANDIDATES if admission.valid is not None else size)
    row = torch.arange(count, device=rows.codes.device) * g // count
    population = g
    if admission.valid is not None:
        row = row[(admission.valid[row >> 3] >> (row & 7).to(torch.uint8) & 1).bool()]
        population = row.numel() * g // count
    size = min(size, row.numel())
    row = row[torch.arange(size, device=row.device) * row.numel() // max(1, size)]
    codes = rows.codes[row]
    return Sample(row, codes.bfloat16() if codes.dtype == torch.int8 else codes, population)


def threshold(queries: Queries, sample: Sample, wanted: int) -> Tensor:
    """Guess for each query an s that the `wanted` best admitted rows surely exceed, and not many more: [H] float64.

    A guess only: a scan proves what it found, or is repeated. -inf where the sample is too small to guess.
    """
    h, m, rank, rows = queries.near.numel(), sample.row.numel(), sample.rank(wanted), queries.rows
    if rank > m:
        return torch.full_like(queries.floor, -torch.inf)
    scale, bias = (None if column is None else column[sample.row] for column in (rows.scale, rows.bias))
    slack = usual_reach(queries, sample)
    best = torch.empty(h, dtype=torch.float32, device=sample.row.device)
    height = max(1, PRODUCT_BYTES // (4 * m))
    for start in range(0, h, height):
        part = slice(start, start + height)
        s = _product(queries.codes[part], sample.codes)
        if scale is not None:
            s *= scale
        if bias is not None:
            s += bias * queries.inverse[part, None]
        best[part] = s.topk(rank, dim=1, sorted=False).values.amin(dim=1)
    if m == sample.population:  # no rank leaves room for what one row's bound is off another's
        slack = 2.0 * slack + 4.0 * PACKED * best.abs()
    return (best - slack).double() / queries.inverse.double()


def usual_reach(queries: Queries, sample: Sample) -> Tensor:
    """Say how far a bound is above what was computed, on average: [H] float32."""
    length, error = queries.rows.length, queries.rows.error
    reach = queries.near if length is None else queries.near * length[sample.row].mean()
    return reach if error is None else reach + queries.size * error[sample.row].mean()


def _product(codes: Tensor, sample: Tensor) -> Tensor:
    """Multiply [H, D] by [M, D]: [H, M] float32, products of 16-bit values in full."""
    if codes.is_cuda and sample.dtype != torch.float32:
        return torch.mm(codes.to(sample.dtype), sample.T, out_dtype=torch.float32)
    return codes.float() @ sample.float().T
