"""Encoded rows and queries, and their product; encode.py says what they hold."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.nearest.scale import Scale

EXTRA = 5  # columns beside the D values: three parts of -h, |w|, |w - w'|
ALIGN = 32  # columns of a scan code are a multiple of this
ALIGN_INT8 = 64  # and of one of int8, beside which the others stand in float32
UNIT = 2.0**-23  # of sums in float32, twice what IEEE says
BOUND = {torch.float32: torch.float32, torch.bfloat16: torch.bfloat16, torch.int8: torch.float32}  # of a product


@dataclass(frozen=True, eq=False)
class Coding:
    """How a gallery's vectors become scan codes.

    dtype: float32, bfloat16 or int8, of the scan. centre: [D] float32. offset: added to -h, so that few of its bits
    are spent.
    """

    metric: str
    dtype: torch.dtype
    centre: Tensor
    offset: float

    @property
    def width(self) -> int:
        """Columns of a code."""
        if self.dtype == torch.int8:
            return -(-self.centre.numel() // ALIGN_INT8) * ALIGN_INT8
        return -(-(self.centre.numel() + EXTRA) // ALIGN) * ALIGN

    @property
    def roundoff(self) -> float:
        """What the sums of one product may lose, as a share of their magnitudes."""
        return (self.width + 16) * UNIT

    def empty(self, rows: int) -> "RowCodes":
        """Reserve codes for so many rows."""
        if self.dtype != torch.int8:
            return RowCodes(self, torch.empty((rows, self.width), dtype=self.dtype))
        return RowCodes(self, torch.empty((rows, self.width), dtype=torch.int8), torch.empty((rows, 4)))


@dataclass(frozen=True, eq=False)
class RowCodes:
    """Encoded gallery rows: codes [W, width]; of int8 also terms [W, 4] float32: the code's step, -h, |w|, |w - w'|."""

    coding: Coding
    codes: Tensor
    terms: Tensor | None = None

    def __getitem__(self, rows: slice | Tensor) -> "RowCodes":
        """Narrow to some of the rows."""
        return RowCodes(self.coding, self.codes[rows], None if self.terms is None else self.terms[rows])

    @property
    def errors(self) -> Tensor:
        """The bounds of |w| and |w - w'|, [W, 2]."""
        d = self.coding.centre.numel()
        return self.codes[:, d + EXTRA - 2 : d + EXTRA] if self.terms is None else self.terms[:, 2:]

    @property
    def nbytes(self) -> int:
        """Bytes of codes and terms."""
        return self.codes.nbytes + (0 if self.terms is None else self.terms.nbytes)


@dataclass(frozen=True, eq=False)
class QueryCodes:
    """Encoded queries.

    codes: [H, width]. floor: [H] float64, what float64 and flushed denormals may take from a bound of s. terms: [H, 3]
    float32, 1 and bounds of |x - x'| and |x'|. step: [H] float32, what a unit of the codes is worth.
    """

    coding: Coding
    codes: Tensor
    scale: Scale
    floor: Tensor
    terms: Tensor
    step: Tensor

    def of(self, queries: Tensor) -> "QueryCodes":
        """Narrow to some of the queries."""
        codes, floor, terms, step = (part[queries] for part in (self.codes, self.floor, self.terms, self.step))
        return QueryCodes(self.coding, codes, self.scale.of(queries), floor, terms, step)

    def multiply(self, rows: RowCodes, out: Tensor) -> Tensor:
        """Bound s from above for every pair of rows and queries, into the first W H of `out`: [W, H].

        The many rows stand on the left, since oneDNN first rearranges what stands on the right.
        """
        tile = out[: rows.codes.shape[0] * self.codes.shape[0]].view(-1, self.codes.shape[0])
        if rows.terms is None:
            return torch.mm(rows.codes, self.codes.T, out=tile)
        tile.copy_(torch._int_mm(rows.codes, self.codes.T)).mul_(rows.terms[:, :1]).mul_(self.step)
        return tile.addmm_(rows.terms[:, 1:], self.terms.T)
