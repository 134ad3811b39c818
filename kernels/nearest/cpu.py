"""The CPU backend: low-precision scans whose survivors prove the answer, and a fallback that needs no luck."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CDLL
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from kernels.nearest import exact, rounds, survive
from kernels.nearest.codes import QueryCodes
from kernels.nearest.contract import Admission, Neighbors
from kernels.nearest.encode import NoBoundError, coding_of, encode_queries
from kernels.nearest.native import build, variants
from kernels.nearest.native import search as native
from kernels.nearest.prepared import Prepared, encode
from kernels.nearest.resolve import Survivors
from kernels.nearest.scale import Scale
from kernels.nearest.score import pair_scores, sq_norms
from kernels.nearest.seed import Sample, sample_of, threshold
from kernels.nearest.survive import Limits, limits_of, survivors

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
QUERIES = 512  # of one scan
ONE_SHOT_QUERIES = 2048  # of one scan that has to encode the gallery
FEWER_BYTES = 2  # so many times less of them take a query's survivors in the compiled scan
GUESS = 128  # neighbours from which on a guess of the k-th spares more than it costs
ONE_SHOT = 48  # queries from which on it pays to make bfloat16 codes that are used once


def prepare(vectors: Tensor, metric: str, compute: str, *, keep: bool) -> Prepared:
    """Make a gallery [G, D] ready: with its codes, or to be encoded in every scan."""
    if vectors.shape[0] == 0:
        return Prepared(vectors, metric, None)
    if not keep:
        coding = coding_of(vectors, metric, TYPES.get(compute, torch.float32))
        return Prepared(vectors, metric, coding, hurry=compute == "auto")
    coding = coding_of(vectors, metric, TYPES[fastest() if compute == "auto" else compute])
    try:
        codes = encode(coding, vectors)
    except NoBoundError:
        return Prepared(vectors, metric, None)
    return completed(Prepared(vectors, metric, coding, codes, sq_norms=sq_norms(vectors)))


def completed(ready: Prepared) -> Prepared:
    """Draw the sample of a gallery with codes, where a scan needs one: thresholds of the compiled one come without."""
    if ready.codes is None or build.library() is not None:
        return ready
    return replace(ready, sample=sample_of(ready.block, Admission(), *ready.vectors.shape))


def fastest() -> str:
    """Name the type that is scanned fastest here: what the compiled scan says, or torch by the processor."""
    if build.library() is not None and (variant := variants.chosen()):
        return variant.fastest
    if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported():
        return "bfloat16"
    return "int8" if torch.cpu._is_vnni_supported() else "float32"


def answer(queries: Tensor, prepared: Prepared, k: int, admission: Admission) -> Neighbors:
    """Find the k nearest admitted rows of each query.

    queries: [Q, D]; 1 <= k <= G. Returns [Q, k]. Memory beyond inputs and result is bounded at any G.
    """
    if prepared.coding and prepared.hurry and queries.shape[0] >= ONE_SHOT:
        prepared = replace(prepared, coding=replace(prepared.coding, dtype=TYPES[fastest()]))
    limits = limits_of(k, admission, torch.float32 if prepared.coding is None else prepared.coding.dtype)
    library = build.library()
    many = limits.queries if library is None else FEWER_BYTES * limits.queries
    step = min(many, QUERIES if prepared.codes is not None else ONE_SHOT_QUERIES)
    run = _by_torch if library is None else partial(_compiled, library)
    parts = []
    for start in range(0, queries.shape[0], step):
        part = slice(start, start + step)
        parts.append(run(queries[part], prepared, k, admission.of(part), limits))
    if len(parts) == 1:
        return parts[0]
    return Neighbors(*(torch.cat([getattr(part, name) for part in parts]) for name in ("score", "row", "proven")))


def _compiled(
    library: CDLL, queries: Tensor, prepared: Prepared, k: int, admission: Admission, limits: Limits
) -> Neighbors:
    """Search with the compiled scan; what it cannot prove is recomputed."""
    h = queries.shape[0]
    try:
        most = max(limits.survivors, survive.PENDING // h)
        guess = k >= GUESS and admission.group is None
        found = native.answer(library, queries, prepared, k, admission, most, guess=guess)
        if guess and not found[2].all():
            left = torch.nonzero(~found[2])[:, 0]
            again = (library, queries[left], prepared, k, admission.of(left), most)
            for whole, part in zip(found, native.answer(*again, guess=False), strict=True):
                whole[left] = part
    except NoBoundError:
        found = torch.empty((h, k)), torch.empty((h, k), dtype=torch.int64), torch.zeros(h, dtype=torch.bool)
    score, row, proven = found
    if not proven.all():
        left = torch.nonzero(~proven)[:, 0]
        score[left], row[left] = exact.search(queries[left], prepared.vectors, k, prepared.metric, admission.of(left))
    return Neighbors(score, row, proven)


def _by_torch(queries: Tensor, prepared: Prepared, k: int, admission: Admission, limits: Limits) -> Neighbors:
    """Search with torch's products, where nothing is compiled."""
    with _ieee_matmul():
        return rounds.answer(
            queries,
            prepared.vectors,
            k,
            prepared.metric,
            admission,
            scan=_scan_of(queries, prepared, admission, limits),
            wanted=limits.wanted,
            scores=partial(pair_scores, gallery_sq_norms=prepared.sq_norms),
        )


def _scan_of(queries: Tensor, prepared: Prepared, admission: Admission, limits: Limits) -> "CpuScan | None":
    """Encode queries [H, D]; None where no bound holds for them or the gallery."""
    try:
        if prepared.coding is None:
            raise NoBoundError
        codes = encode_queries(prepared.coding, queries)
        sample = prepared.sample
        if sample is None or (admission.valid is not None and not prepared.sample_stands):
            sample = sample_of(prepared.block, admission, *prepared.vectors.shape)
    except NoBoundError:
        return None
    return CpuScan(codes, prepared, sample, limits)


@dataclass(frozen=True, eq=False)
class CpuScan:
    """A `rounds.Scan` of a gallery prepared for the CPU."""

    codes: QueryCodes
    prepared: Prepared
    sample: Sample
    limits: Limits

    def threshold(self, wanted: int) -> Tensor:
        """Guess by the sample."""
        return threshold(self.codes, self.sample, wanted)

    def survivors(self, floor: Tensor, admission: Admission) -> tuple[Survivors, Tensor]:
        """Read the gallery once."""
        return survivors(self.codes, floor, self.prepared, admission, self.limits)

    @property
    def scale(self) -> Scale:
        """The queries' scale."""
        return self.codes.scale

    def of(self, queries: Tensor) -> "CpuScan":
        """Narrow to some of the queries."""
        return replace(self, codes=self.codes.of(queries))


class _IeeeMatmul:
    """Keep `torch.set_float32_matmul_precision("medium")`, which means bfloat16 on some CPUs, out of all scans.

    The setting is the process's: the first thread that scans saves it, and the last one puts it back.
    """

    def __init__(self) -> None:
        self.lock, self.scans, self.before = threading.Lock(), 0, ""

    @contextmanager
    def __call__(self) -> Iterator[None]:
        setting = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
        with self.lock:
            if self.scans == 0:
                self.before = setting.fp32_precision
                setting.fp32_precision = "ieee"
            self.scans += 1
        try:
            yield
        finally:
            with self.lock:
                self.scans -= 1
                if self.scans == 0:
                    setting.fp32_precision = self.before


_ieee_matmul = _IeeeMatmul()
