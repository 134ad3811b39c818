"""A gallery as a scan on the CPU reads it: codes of its rows, made once or block by block."""

from dataclasses import dataclass, replace

from torch import Tensor

from kernels.nearest.codes import Coding, RowCodes
from kernels.nearest.encode import NoBoundError, encode_rows
from kernels.nearest.seed import Sample

ENCODE_BYTES = 4 << 20  # float32 values encoded at once; more than a cache holds is slower, not faster


@dataclass(frozen=True, eq=False)
class Prepared:
    """A gallery as the scan reads it: codes of all rows made once, or None to encode block by block in every scan.

    coding: None where no bound holds for these vectors. hurry: may the scan choose its type? sample_stands: is the
    sample meant for the valid rows too, so that a filter draws no new one?
    """

    vectors: Tensor
    metric: str
    coding: Coding | None
    codes: RowCodes | None = None
    sample: Sample | None = None
    sq_norms: Tensor | None = None
    hurry: bool = False
    sample_stands: bool = False

    @property
    def scan(self) -> str:
        """Name the type that is scanned."""
        return "float64" if self.coding is None else str(self.coding.dtype).removeprefix("torch.")

    @property
    def nbytes(self) -> int:
        """Bytes of the codes and norms."""
        return sum(part.nbytes for part in (self.codes, self.sq_norms) if part is not None)

    def rows(self, start: int, stop: int) -> "Prepared":
        """Narrow to the rows start to stop, numbered from 0."""
        codes = None if self.codes is None else self.codes[start:stop]
        norms = None if self.sq_norms is None else self.sq_norms[start:stop]
        return replace(self, vectors=self.vectors[start:stop], codes=codes, sample=None, sq_norms=norms)

    def block(self, rows: slice | Tensor) -> RowCodes:
        """Return the codes of these rows. Raises NoBoundError."""
        if self.codes is not None:
            return self.codes[rows]
        if self.coding is None:
            raise NoBoundError
        return encode(self.coding, self.vectors[rows])


def encode(coding: Coding, vectors: Tensor, limit: Tensor | None = None) -> RowCodes:
    """Encode rows [W, D], with their limits [W] if there are any, in blocks that a cache holds. Raises NoBoundError."""
    codes = coding.empty(vectors.shape[0])
    step = max(1, ENCODE_BYTES // (4 * coding.width))
    for start in range(0, vectors.shape[0], step):
        own = slice(start, start + step)
        encode_rows(coding, vectors[own], codes[own], None if limit is None else limit[own])
    return codes
