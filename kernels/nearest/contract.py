"""What `nearest` takes and gives: the record, the filters, and the checks at the door."""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_ROWS = 2**32 - 2  # rows are ordered as 32 bits of a key; all bits set is no row
NORM_MAX = 2.0**62  # of a vector: two such squared, their distance and their product are within float32
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int8)


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The k nearest gallery rows of each query, best first, equal scores in the order of their rows.

    score: [Q, K] float32, what the metric says. row: [Q, K] int64. Where the gallery gave fewer than k, the last rows
    are -1 and their scores inf (a distance) or -inf (a similarity). proven: [Q] bool, whether the scan's error bound
    proved the answer; the others were recomputed in full precision, and are exact too.
    """

    score: Tensor
    row: Tensor
    proven: Tensor


@dataclass(frozen=True, eq=False)
class Admission:
    """Which gallery rows may answer; None where nothing is said.

    valid: [ceil(G / 8)] uint8, row r is bit r % 8 of byte r // 8. group: [G] int64, of which at most one row answers.
    exclude: [Q] int64, a group not to return, or without groups a row; negative for none.
    """

    valid: Tensor | None = None
    group: Tensor | None = None
    exclude: Tensor | None = None

    def of(self, queries: slice | Tensor) -> "Admission":
        """Narrow to some of the queries."""
        return self if self.exclude is None else Admission(self.valid, self.group, self.exclude[queries])

    def rows(self, start: int, stop: int) -> "Admission":
        """Narrow to the rows start to stop, numbered from 0."""
        mask = self.mask(start, stop)
        exclude = self.exclude
        if exclude is not None and self.group is None:
            exclude = torch.where((exclude >= start) & (exclude < stop), exclude - start, -1)
        return Admission(
            None if mask is None else pack_bits(mask), None if self.group is None else self.group[start:stop], exclude
        )

    def mask(self, start: int, stop: int) -> Tensor | None:
        """Unpack the valid bits of rows start to stop: [stop - start] bool, or None if all rows are valid."""
        if self.valid is None:
            return None
        return unpack_bits(self.valid[start // 8 : (stop + 7) // 8])[start % 8 :][: stop - start]

    def excluded(self, query: Tensor, row: Tensor) -> Tensor | None:
        """Say which of the pairs (query, row), of one shape, are excluded by query; None if nothing is."""
        if self.exclude is None:
            return None
        exclude = self.exclude[query]
        return ((row if self.group is None else self.group[row]) == exclude) & (exclude >= 0)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Keep autocast, whose matmul of another type would void the bounds, out of a search; nothing where it is off."""
    return torch.autocast(device.type, enabled=False) if torch.is_autocast_enabled(device.type) else nullcontext()


def pack_bits(valid: Tensor) -> Tensor:
    """Pack [G] bool into the bitset that `valid` takes: [ceil(G / 8)] uint8, row r in bit r % 8 of byte r // 8."""
    bits = torch.nn.functional.pad(valid.to(torch.uint8), (0, -valid.numel() % 8)).view(-1, 8)
    return (bits << torch.arange(8, dtype=torch.uint8, device=valid.device)).sum(dim=1, dtype=torch.uint8)


def unpack_bits(packed: Tensor) -> Tensor:
    """Unpack a bitset of N bytes into [8 N] bool."""
    return (packed[:, None] >> torch.arange(8, dtype=torch.uint8, device=packed.device) & 1).bool().flatten()


def check_vectors(name: str, vectors: Tensor, metric: str) -> None:
    """Refuse what the metric is not defined for: ValueError names the tensor and the first row that is to blame.

    That is a NaN, an infinity or, but for a cosine, a vector so long that a score could be beyond float32: such scores
    are all alike, so that they put no row before another.
    """
    if not isinstance(vectors, Tensor):
        raise ValueError(f"{name} is a {type(vectors).__name__}; a torch.Tensor is needed")
    if vectors.ndim != 2 or vectors.shape[1] < 1:
        raise ValueError(f"{name} has shape {tuple(vectors.shape)}; two axes are needed, [rows, D] with D >= 1")
    if vectors.dtype not in DTYPES:
        raise ValueError(f"{name} has dtype {vectors.dtype}; allowed: {', '.join(str(dtype) for dtype in DTYPES)}")
    if vectors.shape[0] > MOST_ROWS:
        raise ValueError(f"{name} has {vectors.shape[0]} rows; allowed: at most {MOST_ROWS}, so split it and `merge`")
    if vectors.numel() == 0 or vectors.dtype == torch.int8:
        return
    low, high = torch.stack(torch.aminmax(vectors)).tolist()  # one pass without a copy; NaN propagates
    if math.isfinite(low) and math.isfinite(high):
        longest = max(-low, high) * vectors.shape[1] ** 0.5
        if metric != "cosine" and longest > NORM_MAX:
            _check_norms(name, vectors, metric)
        return
    for start in range(0, vectors.shape[0], 4096):
        bad = ~torch.isfinite(vectors[start : start + 4096]).all(dim=1)
        if bad.any():
            first = start + int(bad.int().argmax())
            held = "nan" if vectors[first].isnan().any() else "inf"
            raise ValueError(f"{name} row {first} holds {held}; every value must be finite")


def _check_norms(name: str, vectors: Tensor, metric: str) -> None:
    for start in range(0, vectors.shape[0], 4096):
        norm = torch.linalg.vector_norm(vectors[start : start + 4096], dim=1, dtype=torch.float64)
        if (norm > NORM_MAX).any():
            first = int((norm > NORM_MAX).int().argmax())
            raise ValueError(
                f"{name} row {start + first} has norm {float(norm[first]):.3g}, so its {metric} may be beyond float32; "
                f"allowed: at most {NORM_MAX:.3g}, so scale all vectors alike"
            )


def check_pair(queries: Tensor, gallery: Tensor, k: int) -> None:
    """Refuse queries and gallery that do not belong together, and a k that asks for nothing."""
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"queries have D = {queries.shape[1]} and gallery has D = {gallery.shape[1]}; they must agree")
    if queries.device != gallery.device:
        raise ValueError(f"queries are on {queries.device} and gallery is on {gallery.device}; one device is needed")
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"k is {k!r}; an int of 1 or more is needed")


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a word that is not in the list."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")


def admit(
    queries: Tensor, gallery: Tensor, valid: Tensor | None, group: Tensor | None, exclude: Tensor | None
) -> Admission:
    """Check the filters' shapes and types, and pack `valid`."""
    q, g, device = queries.shape[0], gallery.shape[0], gallery.device
    if valid is not None:
        if isinstance(valid, Tensor) and valid.dtype == torch.bool:
            _check_filter("valid", valid, torch.bool, (g,), device)
            valid = pack_bits(valid)
        _check_filter("valid", valid, torch.uint8, ((g + 7) // 8,), device, "[G] bool, or packed uint8")
    if group is not None:
        _check_filter("group", group, torch.int64, (g,), device)
    if exclude is not None:
        _check_filter("exclude", exclude, torch.int64, (q,), device)
    return Admission(valid, group, exclude)


def check_within(within: Tensor, queries: Tensor, gallery: Tensor) -> Tensor:
    """Refuse ranges that are none, or that reach beyond the gallery."""
    _check_filter("within", within, torch.int64, (queries.shape[0], 2), gallery.device)
    g = gallery.shape[0]
    bad = (within[:, 0] < 0) | (within[:, 0] > within[:, 1]) | (within[:, 1] > g)
    if bad.any():
        first = int(bad.int().argmax())
        start, stop = within[first].tolist()
        raise ValueError(f"within row {first} is {start} to {stop}; needed: 0 <= start <= stop <= G = {g}")
    return within


def _check_filter(
    name: str, value: Tensor, dtype: torch.dtype, shape: tuple[int, ...], device: torch.device, needed: str = ""
) -> None:
    if not isinstance(value, Tensor) or value.dtype != dtype or value.shape != shape or value.device != device:
        held = (
            f"{value.dtype} {tuple(value.shape)} on {value.device}"
            if isinstance(value, Tensor)
            else f"a {type(value).__name__}"
        )
        raise ValueError(f"{name} is {held}; needed: {needed or dtype} {shape} on {device}")
