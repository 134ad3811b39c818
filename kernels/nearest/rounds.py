"""Scan in rounds until the answers are proven; what is left over is recomputed."""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from kernels.nearest import exact
from kernels.nearest.contract import Admission, Neighbors
from kernels.nearest.encode import NoBoundError
from kernels.nearest.resolve import PairScores, Resolved, Survivors, beyond, kth, resolve
from kernels.nearest.scale import Scale
from kernels.nearest.score import nothing

ROUNDS = 4
WIDER = 8  # times as many rows are wanted where a guess was too high to tell how high


class Scan(Protocol):
    """Queries encoded for one gallery, and the scan that reads it; a threshold is in terms of the similarity s."""

    def threshold(self, wanted: int) -> Tensor:
        """Guess for each query an s that its `wanted` best rows exceed, and not many more: [H] float64."""

    def survivors(self, floor: Tensor, admission: Admission) -> tuple[Survivors, Tensor]:
        """Find the rows that reach floor [H], and say for which queries there was no room, [H] bool."""

    @property
    def scale(self) -> Scale:
        """Say how scores follow from similarities."""

    def of(self, queries: Tensor) -> "Scan":
        """Narrow to some of the queries."""


def answer(
    queries: Tensor,
    vectors: Tensor,
    k: int,
    metric: str,
    admission: Admission,
    *,
    scan: Scan | None,
    wanted: int,
    scores: PairScores,
) -> Neighbors:
    """Find the k nearest admitted rows of each query, by this scan as far as it proves them.

    queries: [H, D]; vectors: [G, D]; scan: of these queries, None where no bound holds for them; wanted: rows to look
    for; scores: what scores listed pairs. Returns [H, k].
    """
    h, device = queries.shape[0], queries.device
    parts: list[tuple[Tensor, Resolved]] = []

    def resolved(found: Survivors, left: Tensor) -> Resolved:
        return resolve(queries[left], vectors, k, metric, admission.of(left), found, scores)

    if scan is not None:
        try:
            for part in _proven(scan, k, admission, wanted, resolved):
                parts.append(part)
        except NoBoundError:  # of a block of the gallery that is encoded in the scan
            pass
    if len(parts) == 1 and parts[0][0].numel() == h:  # nearly always, and then there is nothing to put together
        return Neighbors(parts[0][1].score, parts[0][1].row, torch.ones(h, dtype=torch.bool, device=device))
    score = torch.full((h, k), nothing(metric), device=device)
    row = torch.full((h, k), -1, dtype=torch.int64, device=device)
    proven = torch.zeros(h, dtype=torch.bool, device=device)
    for which, result in parts:
        score[which], row[which], proven[which] = result.score, result.row, True
    left = torch.nonzero(~proven)[:, 0]
    if left.numel():
        score[left], row[left] = exact.search(queries[left], vectors, k, metric, admission.of(left))
    return Neighbors(score, row, proven)


def _proven(
    scan: Scan, k: int, admission: Admission, wanted: int, resolved: Callable[[Survivors, Tensor], Resolved]
) -> Iterator[tuple[Tensor, Resolved]]:
    """Scan, and again for what that did not prove: yields numbers of proven queries, and their answers."""
    floor = scan.threshold(wanted)
    left = torch.arange(floor.numel(), device=floor.device)
    for _ in range(ROUNDS):
        found, overflown = scan.survivors(floor, admission.of(left))
        if crowded := bool(overflown.any()):
            limit = kth(found, k, admission)  # of what was found already, k rows are at least as good
            found.row.masked_fill_(overflown[:, None], -1)
        result = resolved(found, left)
        done = result.proven & ~overflown if crowded else result.proven
        if done.all():
            yield left, result
            return
        yield left[done], result.of(done)
        limit = torch.where(overflown, limit, result.limit) if crowded else result.limit
        lower = scan.scale.similarities(beyond(limit))
        again = ~done & ~(overflown & ~(lower > floor))  # where there was no room, only a higher threshold helps
        if not again.any():
            return
        wanted *= WIDER
        floor = torch.where(limit < torch.inf, lower, scan.threshold(wanted))[again]
        left, scan = left[again], scan.of(again)
