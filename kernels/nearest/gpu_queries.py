"""Queries as the GPU's scan reads them, and what its bounds say of a score."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.nearest.gpu_rows import UP, Rows
from kernels.nearest.scale import Scale

PACKED = 2.0**-14  # twice what the row's number in its last bits may take from a bound
SMALLEST = 2.0**-100  # of a code; what is less is zero, so that no processor flushes it


@dataclass(frozen=True, eq=False)
class Queries:
    """Queries x, as x' = code / inverse; bounds of the scan are of s * inverse.

    codes: [H, D]. inverse, near, size, depth: [H] float32, with near >= |x - x'| and size >= |x'| in the codes' unit,
    the roundings of the product and its epilogue included; depth is below every row's bound. floor: [H] float64, what
    float64 and flushed denormals may take from s. bounded: [H] bool, whether any of it holds.
    """

    rows: Rows
    codes: Tensor
    inverse: Tensor
    near: Tensor
    size: Tensor
    depth: Tensor
    scale: Scale
    floor: Tensor
    bounded: Tensor

    def of(self, queries: Tensor) -> "Queries":
        """Narrow to some of the queries."""
        near, size, depth = self.near[queries], self.size[queries], self.depth[queries]
        scale, floor, bounded = self.scale.of(queries), self.floor[queries], self.bounded[queries]
        return Queries(self.rows, self.codes[queries], self.inverse[queries], near, size, depth, scale, floor, bounded)

    @property
    def lift(self) -> Tensor:
        """What the kernel multiplies a row's reach with: [H] float32."""
        return self.near if self.rows.error is None else self.size

    @property
    def ratio(self) -> Tensor | None:
        """How much more a row's length may count than its error, at most: one float32; None where there is no error."""
        return None if self.rows.error is None else ((self.near.double() / self.size.double()).max() * UP).float()

    def least(self, floor: Tensor) -> Tensor:
        """Turn thresholds in s, [H] float64, into the scan's, [H] float32, whose cut is not before them."""
        scaled = (floor - self.floor) * self.inverse.double()
        if self.rows.length is None:  # one reach for all rows, left out of the bounds
            scaled -= self.near.double()
        return torch.maximum((scaled - 2.0 * PACKED * scaled.abs()).float(), self.depth)

    def cut(self, least: Tensor) -> Tensor:
        """Bound from below the cost of every row whose bound is less than `least` [H] float32: [H] float64."""
        reached = least.double()
        reached = reached + PACKED * reached.abs()
        if self.rows.length is None:
            reached += self.near.double()
        every = torch.arange(least.numel(), device=least.device)
        cost = self.scale.costs(every, reached / self.inverse.double() + self.floor)
        return torch.where(least <= self.depth, torch.inf, cost)

    def bounds(self, query: Tensor, row: Tensor, bound: Tensor, ratio: Tensor | None) -> tuple[Tensor, Tensor]:
        """Bound the costs of pairs, of any one shape, from below and above, given the scan's bounds and its ratio."""
        reach = self.near[query].double()
        if self.rows.length is not None:
            reach = self.rows.length[row].double()
            if ratio is not None and self.rows.error is not None:
                reach = reach * ratio.double() + self.rows.error[row].double()
            reach = reach * self.lift[query].double()
        rounding = PACKED * bound.double().abs()
        inverse, floor = self.inverse[query].double(), self.floor[query]
        upper = bound.double() + rounding + (reach if self.rows.length is None else 0.0)
        lower = bound.double() - rounding - reach * (1.0 if self.rows.length is None else 2.0 * UP)
        if self.rows.bias is not None:  # what was added to -h
            lower += self.rows.bias[row].double() * 2.0**-19 * inverse
        return self.scale.costs(query, upper / inverse + floor), self.scale.costs(query, lower / inverse - floor)


def encode(vectors: Tensor, rows: Rows) -> Queries:
    """Encode queries [H, D] for a scan of these rows."""
    dtype, d, centre, true = rows.codes.dtype, vectors.shape[1], rows.centre, vectors.double()
    constant, norm = true @ centre, torch.linalg.vector_norm(true, dim=1)
    if rows.metric == "sq_euclidean":
        true = true - centre
        constant = true.square().sum(dim=1)
    largest = true.abs().amax(dim=1)
    # -h in the unit of the codes must stay far from float32's end, and so must the unit.
    unit = largest.clamp(min=2.0**-60 * max(1.0, 0.0 if rows.bias is None else rows.longest**2))
    if dtype == torch.int8 and vectors.dtype == torch.int8 and not rows.copied:
        inverse = torch.ones_like(unit)
    elif dtype == torch.int8:
        inverse = (127.0 / unit).float().double()
    else:
        inverse = torch.exp2(-torch.frexp(unit).exponent.double())
    true = true * inverse[:, None]
    codes = (true.round().clamp_(-127.0, 127.0) if dtype == torch.int8 else _readable(true, dtype)).to(dtype)
    kept = codes.double()
    size, lost = torch.linalg.vector_norm(kept, dim=1), torch.linalg.vector_norm(true - kept, dim=1)
    near = (lost + rows.roundoff * size) * UP + 2.0**-60
    size = torch.maximum(size * (1.0 + rows.roundoff) * UP, near)
    floor = d * 2.0**-50 * (constant.abs() + norm * (1.0 + torch.linalg.vector_norm(centre)))  # of float64
    floor += (d + 16) * (2.0**-66 if rows.metric == "cosine" else 2.0**-118) / inverse  # of flushed denormals
    depth = -2.0 * size * rows.longest - 1.0
    if rows.bias is not None:
        depth -= rows.longest**2 * inverse
    scale = Scale(rows.metric, constant, norm)
    bounded = largest <= 2.0**60
    return Queries(rows, codes, inverse.float(), near.float(), size.float(), depth.float(), scale, floor, bounded)


def _readable(true: Tensor, dtype: torch.dtype) -> Tensor:
    """Round to values that the tensor cores read exactly: [H, D] float64 to float32."""
    value = true.float()
    if dtype == torch.float32:  # TF32 has 10 bits of mantissa
        value = ((value.view(torch.int32) + 0x1000) & -0x2000).view(torch.float32)
    return value.masked_fill_(value.abs() < SMALLEST, 0.0)
