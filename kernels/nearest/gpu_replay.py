"""Searches of one kind, one after another: from the second on, the device repeats what it did, from a graph.

A round consists of some 150 launches, of which nearly all take the device less time than Python: with few queries, or a
small gallery, they were all the time there was. Captured once as a CUDA graph, they are one launch.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from kernels.nearest.contract import Neighbors
from kernels.nearest.gpu_round import Round, once
from kernels.nearest.gpu_rows import Rows
from kernels.nearest.gpu_seed import Sample

MOST_QUERIES = 512  # of more, what surrounds the scan is a small part
MOST_SURVIVORS = 1 << 21  # of all queries together: some hundred bytes each
KEPT = 16  # graphs of a gallery
TRIED = 8  # replays before one is judged
FIRST_WIDTH, LEAST_WIDTH = 1024, 256  # survivors of a query that there is room for, until it is known, and afterwards

log = logging.getLogger(__name__)

Kind = tuple[int, int, torch.dtype, bool]  # queries, k, their type, and is a row excluded


@dataclass
class Replay:
    """A round that can be repeated over its own inputs; `run` returns what it wrote, the same memory each time."""

    queries: Tensor
    exclude: Tensor | None
    run: Callable[[], Round]
    replays: int = 0
    missed: int = 0  # replays that left a query open

    def answer(self, queries: Tensor, exclude: Tensor | None) -> tuple[Neighbors, bool]:
        """Answer [H, D], H at most its own; says whether all of `proven` is set, for which it waits."""
        h = queries.shape[0]
        self.queries[:h], self.queries[h:] = queries, queries[-1]
        if self.exclude is not None and exclude is not None:
            self.exclude[:h], self.exclude[h:] = exclude, exclude[-1]
        found = self.run()
        own = Neighbors(*(part[:h].clone() for part in (found.score, found.row, found.settled)))
        settled = bool(own.proven.all())  # the wait: afterwards the memory may be written again
        self.replays += 1
        self.missed += not settled
        return own, settled


@dataclass(eq=False)
class Replays:
    """The rounds of one gallery that are repeated, by kind; threads take turns."""

    vectors: Tensor
    rows: Rows
    sample: Sample
    _kept: OrderedDict[Kind, Replay] = field(default_factory=OrderedDict)
    _seen: OrderedDict[Kind, int] = field(default_factory=OrderedDict)  # kind -> columns that it last needed
    _hopeless: set[Kind] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _pool: Any = None

    def answer(self, queries: Tensor, k: int, exclude: Tensor | None) -> tuple[Neighbors, bool] | None:
        """Answer [H, D] as far as a repeated round does, and say whether that is all; None for a kind not repeated."""
        h = queries.shape[0]
        if h > MOST_QUERIES:
            return None
        kind = (rounded(h), k, queries.dtype, exclude is not None)
        with self._lock:
            replay = self._replay(kind, queries, exclude)
            if replay is None:
                return None
            self._kept.move_to_end(kind)
            found = replay.answer(queries, exclude)
            if replay.replays >= TRIED and 4 * replay.missed > replay.replays:
                del self._kept[kind]  # made anew, with more room, if there is room
                self._seen[kind] *= 2
            return found

    def _replay(self, kind: Kind, queries: Tensor, exclude: Tensor | None) -> Replay | None:
        """Return what repeats this kind, made if it comes for the second time."""
        if kind in self._kept or kind in self._hopeless:
            return self._kept.get(kind)
        if kind not in self._seen:
            self._seen[kind] = max(FIRST_WIDTH, kind[1])
            if len(self._seen) > 64 * KEPT:
                self._seen.popitem(last=False)
            return None
        made = self._made(kind, queries, exclude)
        if made is None:
            self._hopeless.add(kind)
            return None
        self._kept[kind] = made
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return made

    def _made(self, kind: Kind, queries: Tensor, exclude: Tensor | None) -> Replay | None:
        """Find out how many columns a kind needs, and capture it; None where that is not worth while."""
        h, k, dtype, _ = kind
        device, width = self.vectors.device, self._seen[kind]
        own = torch.empty((h, self.vectors.shape[1]), dtype=dtype, device=device)
        own_exclude = None if exclude is None else torch.empty(h, dtype=torch.int64, device=device)

        def run() -> Round:
            return once(own, self.vectors, self.rows, self.sample, k, own_exclude, width)

        replay = Replay(own, own_exclude, run)
        while h * width <= MOST_SURVIVORS:
            replay.answer(queries, exclude)
            needed = int(run().survivors)
            roomy = max(LEAST_WIDTH, k, 1 << (3 * needed // 2).bit_length())
            if needed <= width:
                self._seen[kind] = width = min(width, roomy)
                return self._captured(replay)
            width = roomy
        return None

    def _captured(self, replay: Replay) -> Replay | None:
        """Put a graph in the place of the calls; where there is no GPU they stay."""
        if not self.vectors.is_cuda:
            return replay
        run, graph = replay.run, torch.cuda.CUDAGraph()
        try:
            with torch.cuda.device(self.vectors.device):
                if self._pool is None:
                    self._pool = torch.cuda.graph_pool_handle()
                beside = torch.cuda.Stream(self.vectors.device)  # type: ignore[no-untyped-call]
                beside.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(beside):
                    run()  # libraries set themselves up for a stream
                torch.cuda.current_stream().wait_stream(beside)
                with torch.cuda.graph(graph, pool=self._pool, stream=beside, capture_error_mode="thread_local"):
                    wrote = run()
        except RuntimeError as error:
            log.warning("searches are not repeated from a CUDA graph: %s", str(error).splitlines()[0])
            return None

        def again() -> Round:
            graph.replay()
            return wrote

        replay.run = again
        return replay


def rounded(h: int) -> int:
    """Round a number of queries up, to one of few."""
    return 1 << (h - 1).bit_length() if h <= 128 else -(-h // 128) * 128
