"""Slots for vectors that come and go, with the codes that a scan of them reads."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kernels.nearest import cpu, reference
from kernels.nearest.codes import RowCodes
from kernels.nearest.contract import MOST_ROWS, Admission
from kernels.nearest.encode import SAFE_SQ_NORM, SAMPLE, coding_of, encode_rows
from kernels.nearest.prepared import ENCODE_BYTES, Prepared
from kernels.nearest.score import sq_norms
from kernels.nearest.seed import Sample, sample_of

FAR = SAFE_SQ_NORM / 4.0  # a squared norm from which on a row may be the one that no code holds


@dataclass(frozen=True, eq=False)
class Slab:
    """C slots: what stands in one changes only while nobody may read it.

    vectors: [C, D]. row: [C] int64, the number of the row that stands there. sq_norms: [C] float64. codes: of all
    slots, None where nothing is encoded. All memory is written once: a NaN in a slot that is not valid would still hide
    its stripe's largest bound from a scan.
    """

    metric: str
    vectors: Tensor
    row: Tensor
    sq_norms: Tensor
    codes: RowCodes | None = None

    @classmethod
    def empty(cls, metric: str, slots: int, d: int, dtype: torch.dtype) -> "Slab":
        """Reserve slots."""
        vectors = torch.zeros((slots, d), dtype=dtype)
        row, norms = torch.zeros(slots, dtype=torch.int64), torch.zeros(slots, dtype=torch.float64)
        return cls(metric, vectors, row, norms)

    @property
    def nbytes(self) -> int:
        """Bytes of all slots, taken or not."""
        parts = (self.vectors, self.row, self.sq_norms, self.codes)
        return sum(part.nbytes for part in parts if part is not None)

    def put(self, slots: Tensor, rows: Tensor, vectors: Tensor) -> None:
        """Fill slots [N] with vectors [N, D] of rows [N]. Raises NoBoundError if the coding cannot hold one of them.

        Then all but the codes stands.
        """
        self.vectors[slots] = vectors
        self.row[slots] = rows
        self.sq_norms[slots] = sq_norms(vectors)
        if self.codes is not None:
            self._encode(self.codes, slots)

    def encoded(self, slots: Tensor, compute: str) -> "Slab":
        """Choose a coding for the vectors in slots [N], N >= 1, and encode them. Raises NoBoundError."""
        sample = self.vectors[slots[:: slots.numel() // SAMPLE + 1]]
        coding = coding_of(sample, self.metric, cpu.TYPES[cpu.fastest() if compute == "auto" else compute])
        codes = coding.empty(self.vectors.shape[0])
        for part in (codes.codes, codes.terms):
            if part is not None:
                part.zero_()
        self._encode(codes, slots)
        return replace(self, codes=codes)

    def _encode(self, codes: RowCodes, slots: Tensor) -> None:
        step = max(1, ENCODE_BYTES // (4 * codes.coding.width))
        for start in range(0, slots.numel(), step):
            part = slots[start : start + step]
            fresh = codes.coding.empty(part.numel())
            encode_rows(codes.coding, self.vectors[part], fresh)
            codes.codes[part] = fresh.codes
            if codes.terms is not None and fresh.terms is not None:
                codes.terms[part] = fresh.terms

    def moved(self, slots: Tensor, capacity: int) -> "Slab":
        """Copy what stands in slots [N] to the first N of a new slab; its codes are not made."""
        new = Slab.empty(self.metric, capacity, self.vectors.shape[1], self.vectors.dtype)
        for old, part in ((self.vectors, new.vectors), (self.row, new.row), (self.sq_norms, new.sq_norms)):
            torch.index_select(old, 0, slots, out=part[: slots.numel()])
        return new

    def far(self, slots: Tensor) -> Tensor:
        """Name those of these slots whose vectors are so long that perhaps no coding holds them."""
        return slots[self.sq_norms[slots] > FAR]

    def sample(self, admission: Admission, stop: int) -> Sample | None:
        """Sample the admitted of the first `stop` slots; None where nothing is encoded."""
        codes = self.codes
        if codes is None:
            return None
        return sample_of(codes.__getitem__, admission, stop, self.vectors.shape[1])

    def prepared(self, backend: str, stop: int, sample: Sample | None) -> "Prepared | reference.Prepared":
        """Make the first `stop` slots ready for `answer` of a backend, without a copy."""
        if backend == "reference":
            return reference.Prepared(self.vectors[:stop], self.metric)
        codes = self.codes
        if codes is None:
            return Prepared(self.vectors[:stop], self.metric, None)
        norms, vectors = self.sq_norms[:stop], self.vectors[:stop]
        return Prepared(vectors, self.metric, codes.coding, codes[:stop], sample, norms, sample_stands=True)


def whole_bytes(slots: int) -> int:
    """Round up to slots whose bits fill their bytes."""
    return -(-max(1, slots) // 8) * 8


def check_rows(name: str, rows: Tensor) -> None:
    """Refuse what is no list of row numbers: ValueError names it."""
    if not isinstance(rows, Tensor) or rows.dtype != torch.int64 or rows.ndim != 1 or rows.device.type != "cpu":
        held = f"{rows.dtype} {tuple(rows.shape)} on {rows.device}" if isinstance(rows, Tensor) else type(rows).__name__
        raise ValueError(f"{name} is {held}; needed: int64 [N] on cpu")
    if rows.numel() and not 0 <= int(rows.min()) <= int(rows.max()) <= MOST_ROWS:
        raise ValueError(f"{name} holds {int(rows.min())} to {int(rows.max())}; allowed: 0 to {MOST_ROWS}")
