"""A gallery as the GPU's scan reads it: codes, and the columns that make a dot product a proven upper bound.

The algebra is encode.py's: s = x.w - h, and |x.w - x'.w'| <= |x - x'| |w| + |x'| |w - w'|. Here what belongs to a row
stands in float32 columns beside the codes, so that 16-bit, int8 and float32 vectors are scanned where they lie, with no
copy, no shift (c = 0) and no error (w' = w; of float32, the tensor cores read 10 bits of mantissa, which is an error in
proportion to |w|). A copy of codes, where one is asked for, is shifted by the gallery's median.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.nearest.encode import SAFE_SQ_NORM, SAFE_WIDTH, NoBoundError, coding_of

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
AS_GOOD_AS = {
    "float32": (torch.float16, torch.bfloat16, torch.int8),
    "bfloat16": (torch.float16,),
    "int8": (),
}
BLOCK_BYTES = 16 << 20  # of float64 values; a few such blocks are alive at once
UP = 1.0 + 2.0**-20  # more than a rounding to float32 and an epilogue's three take away
UNIT = 2.0**-21  # of a tensor core's sums: float32, truncated, aligned to the largest of a group
TF32 = 2.0**-10 * UP  # of a float32 whose last 13 bits are not read


@dataclass(frozen=True, eq=False)
class Rows:
    """Codes of a gallery's rows: w' = scale * code, bias >= -h, length >= |w|, error >= |w - w'|.

    centre: [D] float64, c. codes: [G, D]. scale, bias, length, error: [G] float32, or None for 1, 0, 1, and an error in
    proportion to |w|. longest: the greatest length. copied: do the codes take memory of their own?
    """

    metric: str
    centre: Tensor
    codes: Tensor
    scale: Tensor | None
    bias: Tensor | None
    length: Tensor | None
    error: Tensor | None
    longest: float
    copied: bool

    @property
    def nbytes(self) -> int:
        """Bytes that come on top of the vectors."""
        columns = (self.scale, self.bias, self.length, self.error)
        return sum(column.nbytes for column in columns if column is not None) + self.copied * self.codes.nbytes

    def of(self, start: int, stop: int) -> "Rows":
        """Narrow to some of the rows, without a copy."""
        columns = (self.scale, self.bias, self.length, self.error)
        scale, bias, length, error = (None if column is None else column[start:stop] for column in columns)
        codes = self.codes[start:stop]
        return Rows(self.metric, self.centre, codes, scale, bias, length, error, self.longest, self.copied)

    @property
    def roundoff(self) -> float:
        """What the sums of one product and its epilogue may lose, as a share of |x'| |w'|; TF32's reading included."""
        read = TF32 if self.codes.dtype == torch.float32 else 0.0
        return (self.codes.shape[1] + 16) * UNIT + read


def scanned_type(dtype: torch.dtype, compute: str, *, keep: bool) -> torch.dtype:
    """Choose what is multiplied: the vectors as they are, unless another type is asked for or a kept copy is faster."""
    if compute == "auto":
        return torch.bfloat16 if keep and dtype == torch.float32 else dtype
    # 16-bit values are multiplied exactly as they are, and a wider copy would be slower without being better.
    return dtype if dtype in AS_GOOD_AS[compute] else TYPES[compute]


def encode(vectors: Tensor, metric: str, dtype: torch.dtype) -> Rows:
    """Make the columns of a gallery [G, D], G >= 1, and codes if its type is not `dtype`. Raises NoBoundError."""
    g, d = vectors.shape
    copied = dtype != vectors.dtype
    centre = torch.zeros(d, dtype=torch.float64, device=vectors.device)
    if copied:
        centre = coding_of(vectors, metric, dtype).centre.double()
    codes = torch.empty((g, d), dtype=dtype, device=vectors.device) if copied else vectors
    length = torch.empty(g, dtype=torch.float32, device=vectors.device)
    error = torch.empty_like(length) if copied else None
    scale = torch.empty_like(length) if (dtype == torch.int8 if copied else metric == "cosine") else None
    bias = torch.empty_like(length) if metric == "sq_euclidean" else None
    steepest = 0.0
    for part in _blocks(g, d):
        w = vectors[part].double()
        norm = torch.linalg.vector_norm(w, dim=1)
        if metric == "cosine":
            inverse = torch.where(norm == 0.0, 0.0, 1.0 / norm)
            if copied:
                w.mul_(inverse[:, None])
            elif scale is not None:
                scale[part], steepest = inverse, max(steepest, float(inverse.max()))
        if copied:
            w.sub_(centre)
            norm = torch.linalg.vector_norm(w, dim=1)
            step = _round(w, codes[part])
            if scale is not None:
                scale[part] = step
            if error is not None:
                rounding = (norm + (metric == "cosine")) * 2.0**-45  # of the shift and the division
                error[part] = torch.linalg.vector_norm(w, dim=1) * UP + rounding
        length[part] = norm * UP
        if bias is not None:
            bias[part] = norm.square().mul_(-0.5 * (1.0 - 2.0**-20))
    longest = float(length.max())
    if max(longest, steepest) > SAFE_SQ_NORM**0.5 or d > SAFE_WIDTH:
        raise NoBoundError
    unit = metric == "cosine" and not copied
    return Rows(metric, centre, codes, scale, bias, None if unit else length, error, 1.0 if unit else longest, copied)


def _round(w: Tensor, codes: Tensor) -> Tensor:
    """Round w [W, D] float64 into codes [W, D], leave in w what was lost, and return the steps, [W] float32."""
    step = w.new_ones(w.shape[0]).float()
    if codes.dtype == torch.int8:
        largest = w.abs().amax(dim=1)
        step = torch.where(largest == 0.0, 1.0, largest / 127.0).float().clamp_(min=2.0**-100)
        codes.copy_((w / step.double()[:, None]).round_().clamp_(-127.0, 127.0))
    else:
        codes.copy_(w)
    w.addcmul_(codes.double(), step.double()[:, None], value=-1.0)
    return step


def _blocks(g: int, d: int) -> Iterator[slice]:
    height = max(1, BLOCK_BYTES // (8 * d))
    return (slice(start, start + height) for start in range(0, g, height))
