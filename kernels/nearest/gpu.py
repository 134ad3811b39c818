"""The GPU: a scan by the Triton kernel whose bounds prove the answer, in rounds, and a fallback that needs no luck."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kernels.nearest import rounds
from kernels.nearest.contract import Admission, Neighbors
from kernels.nearest.encode import NoBoundError
from kernels.nearest.gpu_queries import Queries
from kernels.nearest.gpu_queries import encode as encode_queries
from kernels.nearest.gpu_replay import Replays
from kernels.nearest.gpu_rows import Rows, scanned_type
from kernels.nearest.gpu_rows import encode as encode_rows
from kernels.nearest.gpu_scan import INTERPRETED, scan
from kernels.nearest.gpu_score import pair_scores
from kernels.nearest.gpu_seed import Sample, room_for, sample_of, threshold
from kernels.nearest.resolve import Survivors
from kernels.nearest.scale import Scale

SLOTS = 1 << 24  # survivors that one scan has room for; 12 bytes each
MOST_QUERIES = 8192
PER_GROUP = 4  # rows looked for per group wanted


@dataclass(frozen=True, eq=False)
class Prepared:
    """A gallery as the scan reads it; `scanned` is None where no bound holds for these vectors.

    replays: for a gallery that is searched many times, and in whole.
    """

    vectors: Tensor
    metric: str
    scanned: Rows | None
    sample: Sample | None = None
    replays: Replays | None = None

    @property
    def scan(self) -> str:
        """Name the type that is scanned; float64 where no bound holds."""
        return "float64" if self.scanned is None else str(self.scanned.codes.dtype).removeprefix("torch.")

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept beside the vectors."""
        kept = 0 if self.sample is None else self.sample.codes.nbytes + self.sample.row.nbytes
        return kept + (0 if self.scanned is None else self.scanned.nbytes)

    def rows(self, start: int, stop: int) -> "Prepared":
        """Narrow to some of the rows, without a copy."""
        scanned = None if self.scanned is None else self.scanned.of(start, stop)
        return Prepared(self.vectors[start:stop], self.metric, scanned)


def why_not(device: torch.device) -> str:
    """Say in a few words why the kernel cannot run on this device; empty where it can."""
    if INTERPRETED:
        return (
            "" if device.type == "cpu" else f"TRITON_INTERPRET=1 is for tensors on the cpu, and these are on {device}"
        )
    if device.type != "cuda":
        return f"the tensors are on {device}; move them to cuda, or set TRITON_INTERPRET=1 before triton is imported"
    if torch.version.cuda is None:
        return "it is untried on anything but NVIDIA GPUs"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "it needs an NVIDIA GPU of compute capability 8.0 or more"
    return ""


def prepare(vectors: Tensor, metric: str, compute: str, *, keep: bool) -> Prepared:
    """Make a gallery [G, D] ready: columns for its rows, and a copy where the type asked for is not its own."""
    if vectors.shape[0] == 0:
        return Prepared(vectors, metric, None)
    try:
        scanned = encode_rows(vectors, metric, scanned_type(vectors.dtype, compute, keep=keep))
    except NoBoundError:
        return Prepared(vectors, metric, None)
    sample = sample_of(scanned, Admission())
    return Prepared(vectors, metric, scanned, sample, Replays(vectors, scanned, sample) if keep else None)


def answer(queries: Tensor, prepared: Prepared, k: int, admission: Admission) -> Neighbors:
    """Find the k nearest admitted rows of each query.

    queries: [Q, D]; 1 <= k <= G. Returns [Q, k]. Memory beyond inputs and result is bounded at any G.
    """
    replayed = None
    if prepared.replays is not None and admission.valid is None and admission.group is None:
        replayed = prepared.replays.answer(queries, k, admission.exclude)
    if replayed is None:
        return _in_rounds(queries, prepared, k, admission)
    found, all_settled = replayed
    if not all_settled:
        left = torch.nonzero(~found.proven)[:, 0]
        rest = _in_rounds(queries[left], prepared, k, admission.of(left))
        found.score[left], found.row[left], found.proven[left] = rest.score, rest.row, rest.proven
    return found


def _in_rounds(queries: Tensor, prepared: Prepared, k: int, admission: Admission) -> Neighbors:
    """Scan, and again for what that leaves open, some thousand queries at a time."""
    wanted = k * (1 if admission.group is None else PER_GROUP) + (admission.exclude is not None)
    sample, most = prepared.sample, 0
    if prepared.scanned is not None:
        if sample is None or admission.valid is not None:
            sample = sample_of(prepared.scanned, admission)
        most = room_for(wanted, sample)
    step = max(1, min(MOST_QUERIES, SLOTS // max(1, 2 * most) // 128 * 128))
    parts = []
    for start in range(0, queries.shape[0], step):
        part = slice(start, start + step)
        of, made = admission.of(part), _scan_of(queries[part], prepared, sample, wanted, most)
        parts.append(
            rounds.answer(
                queries[part], prepared.vectors, k, prepared.metric, of, scan=made, wanted=wanted, scores=pair_scores
            )
        )
    if len(parts) == 1:
        return parts[0]
    return Neighbors(*(torch.cat([getattr(part, name) for part in parts]) for name in ("score", "row", "proven")))


def _scan_of(queries: Tensor, prepared: Prepared, sample: Sample | None, wanted: int, most: int) -> "GpuScan | None":
    """Encode queries [H, D]; None where no bound holds for them or the gallery."""
    if prepared.scanned is None or sample is None:
        return None
    made = encode_queries(queries, prepared.scanned)
    return GpuScan(made, sample, wanted, most) if made.bounded.all() else None


@dataclass(frozen=True, eq=False)
class GpuScan:
    """A `rounds.Scan` by the Triton kernel; wanted: rows that must be found; most: survivors a query has room for."""

    queries: Queries
    sample: Sample
    wanted: int
    most: int

    def threshold(self, wanted: int) -> Tensor:
        """Guess by the sample."""
        return threshold(self.queries, self.sample, wanted)

    def survivors(self, floor: Tensor, admission: Admission) -> tuple[Survivors, Tensor]:
        """Launch the kernel."""
        least = self.queries.least(floor)
        found, overflown, _ = scan(self.queries, least, admission, self.sample, self.wanted, most=self.most)
        return found, overflown

    @property
    def scale(self) -> Scale:
        """The queries' scale."""
        return self.queries.scale

    def of(self, queries: Tensor) -> "GpuScan":
        """Narrow to some of the queries."""
        return replace(self, queries=self.queries.of(queries))
