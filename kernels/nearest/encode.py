"""Vectors as a low-precision scan reads them, with the columns that turn its dot product into a proven upper bound.

Every metric is a similarity s = x.w - h up to what depends on the query alone:

    metric          w                h               score
    sq_euclidean    y - c            |w|^2 / 2       |x|^2 - 2 s          (x is the query minus c as well)
    inner_product   y - c            0               x.c + s
    cosine          y / |y| - c      0               (x.c + s) / |x|

with one centre c for the gallery, which shortens w and so the error. Rounded to the scan's type, x' and w' give

    |x.w - x'.w'| <= |x - x'| |w| + |x'| |w - w'|,

and both sums are dot products too: a row stores |w| and |w - w'| as two more columns, a query |x - x'| and |x'|, all
rounded upward. The scan's one matrix product is thus an upper bound of s for every pair, and that bound minus twice
these two terms is a lower one. The rounding of the product's own sums, at most n u of the sum of magnitudes for n
terms in any order, is in the query's |x - x'| and in h; `floor` covers flushed denormals. h stands in three columns,
the parts of a float32.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

EXTRA = 5  # columns beside the D values: three parts of -h, |w|, |w - w'|
ALIGN = 32  # columns of a scan code are a multiple of this
SAMPLE = 256  # rows whose medians are the centre

UNIT = 2.0**-23  # of sums in float32, twice what IEEE says
BOUND = {torch.float32: torch.float32, torch.bfloat16: torch.bfloat16, torch.int8: torch.float32}  # of a product
OUT = {torch.float32: 2.0**-23, torch.bfloat16: 2.0**-8}  # of a product's one rounding, twice what IEEE says
UP = 1.0 + 2.0**-7  # more than a rounding to bfloat16 takes away
SMALLEST = 2.0**-100  # of a query's code
SAFE_SQ_NORM = 2.0**100  # of the longest vector; beyond it a float32 sum may overflow
SAFE_WIDTH = 65_000  # columns at most; beyond it a float32 norm may err by more than `UP` allows


class NoBoundError(Exception):
    """These values have no proven bound in the scan's arithmetic."""


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

    def rows(self, vectors: Tensor, out: "RowCodes") -> None:
        """Encode gallery rows [W, D] into `out`, of W rows. Raises NoBoundError if a vector is too long."""
        d = self.centre.numel()
        if self.metric == "cosine":
            w, lost = units(vectors)
            w.sub_(self.centre)
        else:
            w = torch.sub(vectors, self.centre)
        norm = torch.linalg.vector_norm(w, dim=1)
        self._check(norm)
        error = norm * 2.0**-22  # of the shift
        step = torch.ones_like(norm)
        if self.dtype == torch.int8:
            step = step_of(w.abs().amax(dim=1))
            kept = (w / step[:, None]).round_()
            out.codes[:, :d] = kept
            error += torch.linalg.vector_norm(w.addcmul_(kept, step[:, None], value=-1.0), dim=1)
        else:
            out.codes[:, :d] = w
            if self.dtype != torch.float32:
                error += torch.linalg.vector_norm(w.sub_(out.codes[:, :d]), dim=1)
        if self.metric == "cosine":
            error += self.roundoff + lost  # of the division by a rounded norm
        rest = torch.zeros_like(norm)
        if self.metric == "sq_euclidean":
            rest = norm.square().mul_(-0.5 * (1.0 - 2.0 * self.roundoff)).add_(self.offset)
        if out.terms is not None:
            out.codes[:, d:] = 0
            torch.stack((step, rest, norm * UP, error * UP), dim=1, out=out.terms)
            return
        for part in range(3):
            out.codes[:, d + part] = rest
            rest -= out.codes[:, d + part]
        out.codes[:, d + 3] = norm * UP
        out.codes[:, d + 4] = error * UP
        out.codes[:, d + EXTRA :] = 0.0

    def queries(self, vectors: Tensor) -> "QueryCodes":
        """Encode queries [H, D]. Raises NoBoundError if a vector is too long."""
        h, d = vectors.shape[0], self.centre.numel()
        centre = self.centre.double()
        true = vectors.double()
        from_origin = true @ centre
        size = torch.linalg.vector_norm(true, dim=1)
        if self.metric == "sq_euclidean":
            true = true - centre
        norm = torch.linalg.vector_norm(true, dim=1)
        self._check(norm)
        codes = torch.zeros((h, self.width), dtype=self.dtype, device=vectors.device)
        step = 1.0
        if self.dtype == torch.int8:
            step = float(step_of(true.abs().amax().float()))  # one for all, so that the product is scaled by row alone
            codes[:, :d] = (true / step).round()
        else:  # what is tiny is zero, so that no processor flushes it unseen
            codes[:, :d] = true.masked_fill(true.abs() < SMALLEST, 0.0)
        rounded = codes[:, :d].double() * step
        kept = torch.linalg.vector_norm(rounded, dim=1)
        error = torch.linalg.vector_norm(true - rounded, dim=1) + self.roundoff * kept
        terms = torch.stack((torch.ones_like(error), error * UP, kept * UP), dim=1)
        if self.dtype != torch.int8:
            codes[:, d : d + 3] = 1.0
            codes[:, d + 3 : d + EXTRA] = terms[:, 1:]
            terms = codes[:, d + 2 : d + EXTRA]
        floor = self.width * 2.0**-50 * (norm.square() + size * (1.0 + torch.linalg.vector_norm(centre)))  # of float64
        floor += self.width * 2.0**-118 * (1.0 + norm) + self.roundoff * self.offset
        constant = norm.square() if self.metric == "sq_euclidean" else from_origin
        return QueryCodes(self, codes, constant, size, floor, terms.float(), step)

    def _check(self, norm: Tensor) -> None:
        if self.width > SAFE_WIDTH or (norm.numel() and float(norm.max()) > SAFE_SQ_NORM**0.5):
            raise NoBoundError


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
class Codes:
    """Encoded queries, and what turns their similarities s into scores.

    codes: [H, width]. constant, size, floor: [H] float64; a bound of s that a scan computes is off by `floor` at most.
    """

    coding: Coding
    codes: Tensor
    constant: Tensor
    size: Tensor
    floor: Tensor

    def costs(self, query: Tensor, s: Tensor) -> Tensor:
        """Turn similarities s [P] float64 of queries [P] into costs: the score, negated for a similarity."""
        if self.coding.metric == "sq_euclidean":
            return self.constant[query] - 2.0 * (s - self.coding.offset)
        score = self.constant[query] + s
        if self.coding.metric == "cosine":
            size = self.size[query]
            score = torch.where(size > 0.0, score / size, 0.0)
        return -score

    def similarities(self, cost: Tensor) -> Tensor:
        """Turn a cost of each query, [H] float64, into the similarity s that has it."""
        if self.coding.metric == "sq_euclidean":
            return (self.constant - cost) / 2.0 + self.coding.offset
        return -cost * (self.size if self.coding.metric == "cosine" else 1.0) - self.constant

    def of(self, queries: Tensor) -> "Codes":
        """Narrow to some of the queries."""
        return Codes(self.coding, *(part[queries] for part in (self.codes, self.constant, self.size, self.floor)))


@dataclass(frozen=True, eq=False)
class QueryCodes(Codes):
    """Queries as the CPU multiplies them.

    terms: [H, 3] float32, 1 and bounds of |x - x'| and |x'|. step: what a unit of the codes is worth.
    """

    terms: Tensor
    step: float

    def of(self, queries: Tensor) -> "QueryCodes":
        """Narrow to some of the queries."""
        codes, constant, size = self.codes[queries], self.constant[queries], self.size[queries]
        return QueryCodes(self.coding, codes, constant, size, self.floor[queries], self.terms[queries], self.step)

    def multiply(self, rows: RowCodes, out: Tensor) -> Tensor:
        """Bound s from above for every pair of rows and queries, into the first W H of `out`: [W, H].

        The many rows stand on the left, since oneDNN first rearranges what stands on the right.
        """
        tile = out[: rows.codes.shape[0] * self.codes.shape[0]].view(-1, self.codes.shape[0])
        if rows.terms is None:
            return torch.mm(rows.codes, self.codes.T, out=tile)
        tile.copy_(torch._int_mm(rows.codes, self.codes.T)).mul_(rows.terms[:, :1] * self.step)
        return tile.addmm_(rows.terms[:, 1:], self.terms.T)


def step_of(largest: Tensor) -> Tensor:
    """Return what a unit of an int8 code is worth where the largest value is this."""
    return torch.where(largest > 0.0, largest / 127.0, 1.0).clamp_(min=2.0**-100)


def units(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Scale rows [W, D] to unit length, as float32, and say how much of the unit vector may be lost: [W] float32.

    A zero row stays zero. Rows whose norm float32 cannot square become zero too, and lose all of it.
    """
    vectors = vectors.float()
    norm = torch.linalg.vector_norm(vectors, dim=1)
    safe = (norm > SAFE_SQ_NORM**-0.5) & (norm < SAFE_SQ_NORM**0.5)
    unit = (vectors / norm.masked_fill(~safe, 1.0)[:, None]).masked_fill_(~safe[:, None], 0.0)
    return unit, (~safe & (vectors != 0.0).any(dim=1)).float()


def coding_of(gallery: Tensor, metric: str, dtype: torch.dtype) -> Coding:
    """Choose centre and offset for a gallery [G, D], G >= 1: medians of a sample.

    Any centre is right. Medians, unlike means, shrug at one huge row and keep integers integers.
    """
    sample = gallery[:: gallery.shape[0] // SAMPLE + 1].float()
    if metric == "cosine":
        sample, _ = units(sample)
    centre = sample.median(dim=0).values
    offset = 0.0
    if metric == "sq_euclidean":
        offset = float(torch.linalg.vector_norm(sample - centre, dim=1).square().median()) / 2.0
    return Coding(metric, dtype, centre, offset)
