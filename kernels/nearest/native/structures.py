"""What C reads, as nearest.h has it; each keeps the tensors alive whose memory it points to."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.nearest.codes import Coding, RowCodes
from kernels.nearest.contract import Admission
from kernels.nearest.score import METRICS

TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int8)
POINTER, WHOLE, REAL = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double


@dataclass(frozen=True)
class Asked:
    """What a search is asked: k neighbours of each query, with at most so many survivors in one of so many parts.

    guess: whether thresholds may be guessed, so that a query may have to be scanned again.
    """

    k: int
    most: int
    parts: int = 1
    guess: bool = False


def address(tensor: Tensor | None) -> int | None:
    """Return where a tensor's memory begins."""
    return None if tensor is None else tensor.data_ptr()


def fields(kind: type, names: str) -> Sequence[tuple[str, type]]:
    """Declare several fields of one type."""
    return [(name, kind) for name in names.split()]


class Structure(ctypes.Structure):
    """A structure that C reads."""

    @property
    def here(self) -> int:
        """Where it begins."""
        return ctypes.addressof(self)


class Vectors(Structure):
    """Vectors [N, D] of any strides."""

    _fields_ = (*fields(POINTER, "data sq_norm"), *fields(WHOLE, "row_stride column_stride d type"))

    def __init__(self, vectors: Tensor, sq_norms: Tensor | None = None) -> None:
        """Point to them, and to their squared norms [N] float64 if they are known."""
        self.kept = (vectors, sq_norms)
        kind = TYPES.index(vectors.dtype)
        super().__init__(address(vectors), address(sq_norms), *vectors.stride(), vectors.shape[1], kind)


class Rows(Structure):
    """Encoded rows of a gallery."""

    _fields_ = (*fields(POINTER, "codes terms valid group"), *fields(WHOLE, "bytes rows first type d"))

    def __init__(self, rows: RowCodes, admission: Admission, first: int = 0) -> None:
        """Point to codes of the rows from `first` on, and to the filters of all rows."""
        group = None if admission.group is None else admission.group.contiguous()
        valid = None if admission.valid is None else admission.valid.contiguous()
        self.kept = (rows, valid, group)
        codes, terms = rows.codes, rows.terms
        size = (codes.shape[1] * codes.itemsize, codes.shape[0], first, TYPES.index(codes.dtype))
        parts = (address(part) for part in (codes, terms, valid, group))
        super().__init__(*parts, *size, rows.coding.centre.numel())


class Queries(Structure):
    """Queries, what is asked, and how they are encoded; C adds what that makes of them."""

    _fields_ = (
        ("x", Vectors),
        *fields(POINTER, "exclude"),
        *fields(WHOLE, "h k most parts guess"),
        *fields(POINTER, "centre"),
        *fields(REAL, "offset roundoff"),
        *fields(WHOLE, "metric type width"),
        *fields(POINTER, "codes terms step floor constant norm"),
    )

    def __init__(self, queries: Tensor, coding: Coding, asked: Asked, exclude: Tensor | None = None) -> None:
        """Point to queries [H, D], and to what is excluded of each, [H] int64."""
        x, centre = Vectors(queries), coding.centre.contiguous()
        exclude = None if exclude is None else exclude.contiguous()
        self.kept = (x, centre, exclude)
        wanted = (queries.shape[0], asked.k, asked.most, asked.parts, int(asked.guess))
        encoded = (METRICS.index(coding.metric), TYPES.index(coding.dtype), coding.width)
        super().__init__(x, address(exclude), *wanted, address(centre), coding.offset, coding.roundoff, *encoded)


class Open(Structure):
    """A pair that float64 cannot round."""

    _fields_ = fields(WHOLE, "query row")
