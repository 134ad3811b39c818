"""Time one search beside another: pairs in turn after a warm-up, and what they say."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from kernels.nearest.bench.arrivals import Served
from kernels.nearest.bench.roofs import Reached
from kernels.nearest.bench.trace import KernelTime
from kernels.nearest.bench.work import Work

LEAST = 2  # pairs, however slow a peer is


@dataclass(frozen=True)
class PeerRow:
    """A peer beside `nearest` on one work. status: "measured", or why not. Times are in pairs, in the order of time.

    agree: share of our answer that it has too, which is its recall where it is not exact.
    """

    peer: str
    status: str
    build_s: float | None = None
    ours_s: tuple[float, ...] = ()
    peer_s: tuple[float, ...] = ()
    agree: float | None = None
    exact: bool = True

    @property
    def ratio(self) -> float | None:
        """How many times as long as `nearest` the peer takes: the median over pairs."""
        pairs = zip(self.peer_s, self.ours_s, strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs) if self.peer_s else None


@dataclass(frozen=True)
class WorkRow:
    """One work, measured: our times with every peer or alone, what they reach, and the peers.

    asked_g: the rows of the table, where memory allowed fewer. copy_bytes: of the gallery's copy for the scan, beside
    the vectors. proven: share of queries whose scan proved its answer. status: "measured", or why not or not wholly.
    """

    work: Work
    asked_g: int
    status: str = "measured"
    scan: str = ""
    build_s: float | None = None
    copy_bytes: int | None = None
    proven: float | None = None
    alone_s: tuple[float, ...] = ()
    reached: Reached | None = None
    peers: tuple[PeerRow, ...] = ()
    served: tuple[Served, ...] = field(default=())
    kernels: tuple[KernelTime, ...] = ()

    @property
    def ours_s(self) -> tuple[float, ...]:
        """All our times."""
        return (*self.alone_s, *(seconds for row in self.peers for seconds in row.ours_s))

    @property
    def best_peer(self) -> PeerRow | None:
        """The exact peer that is fastest beside us; None if none ran."""
        ran = [row for row in self.peers if row.ratio is not None and row.exact]
        return min(ran, key=lambda row: row.ratio or 0.0) if ran else None


def wall_s(call: Callable[[], object], device: str) -> float:
    """Time a call from start to end, the device's queue empty at both."""
    settle(device)
    start = time.perf_counter()
    call()
    settle(device)
    return time.perf_counter() - start


def settle(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def time_pairs(
    ours: Callable[[], object],
    peer: Callable[[], object],
    device: str,
    most: int,
    budget_s: float,
    rest_s: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Time ours, the peer, ours, the peer, …: up to `most` pairs, fewer (not below 2) once the budget is spent.

    Both rest before each call.
    """

    def rested(call: Callable[[], object]) -> float:
        time.sleep(rest_s)
        return wall_s(call, device)

    pairs: list[tuple[float, float]] = []
    start = clock()
    while len(pairs) < most and (len(pairs) < LEAST or clock() - start < budget_s):
        pairs.append((rested(ours), rested(peer)))
    return tuple(mine for mine, _ in pairs), tuple(theirs for _, theirs in pairs)


def time_alone(call: Callable[[], object], device: str, most: int, budget_s: float) -> tuple[float, ...]:
    """Time a call that nothing is compared with."""
    times: list[float] = []
    while len(times) < most and (len(times) < LEAST or sum(times) < budget_s):
        times.append(wall_s(call, device))
    return tuple(times)
