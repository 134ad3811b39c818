"""What C reads, as nearest.h has it; each keeps the tensors alive whose memory it points to."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from kernels.nearest.codes import QueryCodes, RowCodes
from kernels.nearest.contract import Admission
from kernels.nearest.score import METRICS

TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int8)
POINTER, WHOLE, REAL = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double


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

    @staticmethod
    def type_of(codes: Tensor) -> int:
        """Number the type of codes."""
        return TYPES.index(codes.dtype)

    def __init__(self, rows: RowCodes, admission: Admission, first: int = 0) -> None:
        """Point to codes of the rows from `first` on, and to the filters of all rows."""
        group = None if admission.group is None else admission.group.contiguous()
        valid = None if admission.valid is None else admission.valid.contiguous()
        self.kept = (rows, valid, group)
        codes, terms = rows.codes, rows.terms
        size = (codes.shape[1] * codes.itemsize, codes.shape[0], first, self.type_of(codes))
        parts = (address(part) for part in (codes, terms, valid, group))
        super().__init__(*parts, *size, rows.coding.centre.numel())


class Queries(Structure):
    """Encoded queries, what is asked, and the room for survivors."""

    _fields_ = (
        *fields(POINTER, "codes terms step floor constant norm exclude"),
        *fields(REAL, "offset roundoff"),
        *fields(WHOLE, "h k most parts metric guess"),
    )

    def __init__(
        self, codes: QueryCodes, k: int, most: int, parts: int, exclude: Tensor | None, *, guess: bool = False
    ) -> None:
        """Point to codes; k: neighbours; most: survivors of a query in one of so many parts of the gallery.

        guess: whether thresholds may be guessed, so that a query may have to be scanned again.
        """
        scale, coding = codes.scale, codes.coding
        parts_of = (codes.codes, codes.terms, codes.step, codes.floor, scale.constant, scale.norm, exclude)
        self.kept = [None if part is None else part.contiguous() for part in parts_of]
        pointers = (address(part) for part in self.kept)
        asked = (codes.codes.shape[0], k, most, parts, METRICS.index(coding.metric), int(guess))
        super().__init__(*pointers, scale.offset, coding.roundoff, *asked)


class Open(Structure):
    """A pair that float64 cannot round."""

    _fields_ = fields(WHOLE, "query row")
