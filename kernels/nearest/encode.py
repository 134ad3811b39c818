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
the parts of a float32. Beside int8 codes these columns stand in float32, and are added to the scaled product.

Where a row has a limit l of its squared distance, h is less by l/2, so that s + l/2 is bounded: a pair is within the
limit only if that bound reaches what a distance of 0 needs. What the sums' rounding takes from l is added to it.
"""

import torch
from torch import Tensor

from kernels.nearest.codes import EXTRA, Coding, QueryCodes, RowCodes
from kernels.nearest.scale import Scale

SAMPLE = 256  # rows whose medians are the centre
OUT = {torch.float32: 2.0**-23, torch.bfloat16: 2.0**-8}  # of a product's one rounding, twice what IEEE says
UP = 1.0 + 2.0**-7  # more than a rounding to bfloat16 takes away
SMALLEST = 2.0**-100  # of a query's code
SAFE_SQ_NORM = 2.0**100  # of the longest vector; beyond it a float32 sum may overflow
FARTHEST = 2.0**104  # more than the squared distance of two such
SAFE_WIDTH = 65_000  # columns at most; beyond it a float32 norm may err by more than `UP` allows


class NoBoundError(Exception):
    """These values have no proven bound in the scan's arithmetic."""


def encode_rows(coding: Coding, vectors: Tensor, out: RowCodes, limit: Tensor | None = None) -> None:
    """Encode gallery rows [W, D] into `out`, of W rows. Raises NoBoundError if a vector is too long.

    limit: [W] float32 of 0 to `FARTHEST`, of the squared distances that are looked for.
    """
    d = coding.centre.numel()
    if coding.metric == "cosine":
        w, lost = units(vectors)
        w.sub_(coding.centre)
    else:
        w = torch.sub(vectors, coding.centre)
    norm = torch.linalg.vector_norm(w, dim=1)
    _check(coding, norm)
    error = norm * 2.0**-22  # of the shift
    step = torch.ones_like(norm)
    if coding.dtype == torch.int8:
        step = step_of(w.abs().amax(dim=1))
        kept = (w / step[:, None]).round_()
        out.codes[:, :d] = kept
        error += torch.linalg.vector_norm(w.addcmul_(kept, step[:, None], value=-1.0), dim=1)
    else:
        out.codes[:, :d] = w
        if coding.dtype != torch.float32:
            error += torch.linalg.vector_norm(w.sub_(out.codes[:, :d]), dim=1)
    if coding.metric == "cosine":
        error += coding.roundoff + lost  # of the division by a rounded norm
    rest = torch.zeros_like(norm)
    if coding.metric == "sq_euclidean":
        rest = norm.square().mul_(-0.5 * (1.0 - 2.0 * coding.roundoff)).add_(coding.offset)
    if limit is not None:
        rest.add_(limit, alpha=0.5 * (1.0 + 2.0 * coding.roundoff))
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


def encode_queries(coding: Coding, vectors: Tensor) -> QueryCodes:
    """Encode queries [H, D]. Raises NoBoundError if a vector is too long."""
    h, d = vectors.shape[0], coding.centre.numel()
    centre = coding.centre.double()
    true = vectors.double()
    from_origin = true @ centre
    size = torch.linalg.vector_norm(true, dim=1)
    if coding.metric == "sq_euclidean":
        true = true - centre
    norm = torch.linalg.vector_norm(true, dim=1)
    _check(coding, norm)
    codes = torch.zeros((h, coding.width), dtype=coding.dtype, device=vectors.device)
    step = torch.ones(h, device=vectors.device)
    if coding.dtype == torch.int8:
        step = step_of(true.abs().amax(dim=1).float())
        codes[:, :d] = (true / step[:, None]).round_()
    else:  # what is tiny is zero, so that no processor flushes it unseen
        codes[:, :d] = true.masked_fill(true.abs() < SMALLEST, 0.0)
    rounded = codes[:, :d].double() * step[:, None]
    kept = torch.linalg.vector_norm(rounded, dim=1)
    error = torch.linalg.vector_norm(true - rounded, dim=1) + coding.roundoff * kept
    terms = torch.stack((torch.ones_like(error), error * UP, kept * UP), dim=1)
    if coding.dtype != torch.int8:
        codes[:, d : d + 3] = 1.0
        codes[:, d + 3 : d + EXTRA] = terms[:, 1:]
        terms = codes[:, d + 2 : d + EXTRA]
    floor = coding.width * 2.0**-50 * (norm.square() + size * (1.0 + torch.linalg.vector_norm(centre)))  # of float64
    floor += coding.width * 2.0**-118 * (1.0 + norm) + coding.roundoff * coding.offset
    constant = norm.square() if coding.metric == "sq_euclidean" else from_origin
    scale = Scale(coding.metric, constant, size, coding.offset)
    return QueryCodes(coding, codes, scale, floor, terms.float(), step)


def _check(coding: Coding, norm: Tensor) -> None:
    if coding.width > SAFE_WIDTH or (norm.numel() and float(norm.max()) > SAFE_SQ_NORM**0.5):
        raise NoBoundError


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
    # Contiguous: of rows that are one row expanded, torch 2.15's median returns memory that nobody wrote.
    sample = gallery[:: gallery.shape[0] // SAMPLE + 1].float().contiguous()
    if metric == "cosine":
        sample, _ = units(sample)
    centre = sample.median(dim=0).values
    offset = 0.0
    if metric == "sq_euclidean":
        offset = float(torch.linalg.vector_norm(sample - centre, dim=1).square().median()) / 2.0
    return Coding(metric, dtype, centre, offset)
