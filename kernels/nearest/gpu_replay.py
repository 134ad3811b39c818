"""Searches of one kind, one after another: from the second on, the device repeats what it did, from a graph.

A round consists of some 240 launches, of which nearly all take the device less time than Python: with few queries, or a
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
KNOWN = 1024  # kinds of which something is known
TRIED = 8  # replays before one is judged
FIRST_WIDTH, LEAST_WIDTH = 1024, 256  # survivors of a query that there is room for, until it is known, and afterwards

log = logging.getLogger(__name__)
_capturing = threading.Lock()  # of the whole process, in which one capture may be under way
_failed: list[str] = []  # why a capture failed: the allocator may be in no state for another

Kind = tuple[int, int, torch.dtype, bool]  # queries, k, their type, and is a row excluded


@dataclass
class Replay:
    """A round that can be repeated over its own inputs; `run` returns what it wrote, the same memory each time."""

    queries: Tensor
    exclude: Tensor | None
    width: int
    run: Callable[[], Round]
    replays: int = 0
    missed: int = 0  # replays that left a query open
    narrow: int = 0  # of these, those in which a query had more survivors than there is room for

    def fill(self, queries: Tensor, exclude: Tensor | None) -> int:
        """Take the inputs [H, D] of a search, H at most its own; return H."""
        h = queries.shape[0]
        self.queries[:h], self.queries[h:] = queries, queries[-1]
        if self.exclude is not None and exclude is not None:
            self.exclude[:h], self.exclude[h:] = exclude, exclude[-1]
        return h

    def answer(self, queries: Tensor, exclude: Tensor | None) -> tuple[Neighbors, bool]:
        """Answer [H, D]; says whether all of `proven` is set, for which it waits."""
        h = self.fill(queries, exclude)
        found = self.run()
        own = Neighbors(*(part[:h].clone() for part in (found.score, found.row, found.settled)))
        settled = bool(own.proven.all())  # the wait: afterwards the memory may be written again
        self.replays += 1
        if not settled:
            self.missed += 1
            self.narrow += int(found.survivors) > self.width
        return own, settled

    @property
    def in_vain(self) -> bool:
        """Whether more than a quarter of enough replays left a query open."""
        return self.replays >= TRIED and 4 * self.missed > self.replays


@dataclass
class Known:
    """What is known of a kind that has come: the columns it needs at least, and whether to repeat it is in vain."""

    least: int
    hopeless: bool = False


@dataclass(eq=False)
class Replays:
    """The rounds of one gallery that are repeated, by kind; threads take turns."""

    vectors: Tensor
    rows: Rows
    sample: Sample
    _kept: OrderedDict[Kind, Replay] = field(default_factory=OrderedDict)
    _known: OrderedDict[Kind, Known] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _pool: Any = None
    _stream: Any = None  # on which all are captured: only then do they share the memory of a pool

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
            found = replay.answer(queries, exclude)
            if replay.in_vain:
                del self._kept[kind]
                known = self._known[kind]
                known.least, known.hopeless = 2 * replay.width, 2 * replay.narrow < replay.missed
            return found

    def _replay(self, kind: Kind, queries: Tensor, exclude: Tensor | None) -> Replay | None:
        """Return what repeats this kind, made if it comes for the second time."""
        known = self._known.get(kind)
        if known is None:
            self._known[kind] = Known(LEAST_WIDTH)
            if len(self._known) > KNOWN:
                self._forget(next(iter(self._known)))
            return None
        self._known.move_to_end(kind)
        if known.hopeless:
            return None
        if kind not in self._kept:
            made = self._made(kind, known, queries, exclude)
            if made is None:
                known.hopeless = True
                return None
            self._kept[kind] = made
            if len(self._kept) > KEPT:
                self._forget(next(iter(self._kept)))  # to be captured again it must come twice again
        self._kept.move_to_end(kind)
        return self._kept[kind]

    def _forget(self, kind: Kind) -> None:
        self._kept.pop(kind, None)
        del self._known[kind]

    def _made(self, kind: Kind, known: Known, queries: Tensor, exclude: Tensor | None) -> Replay | None:
        """Find out how many columns a kind needs, and capture it; None where that is not worth while."""
        h, k, dtype, _ = kind
        device = self.vectors.device
        with torch.inference_mode(False):  # which is written to in any mode
            own = torch.empty((h, self.vectors.shape[1]), dtype=dtype, device=device)
            own_exclude = None if exclude is None else torch.empty(h, dtype=torch.int64, device=device)
        replay = Replay(own, own_exclude, max(FIRST_WIDTH, known.least, k), lambda: self._once(replay, k))
        replay.fill(queries, exclude)
        while h * replay.width <= MOST_SURVIVORS:
            needed = int(replay.run().survivors)
            roomy = max(known.least, k, 1 << (3 * needed // 2).bit_length())
            if needed <= replay.width:
                replay.width = min(replay.width, roomy)
                return self._captured(replay)
            replay.width = roomy
        return None

    def _once(self, replay: Replay, k: int) -> Round:
        return once(replay.queries, self.vectors, self.rows, self.sample, k, replay.exclude, replay.width)

    def _captured(self, replay: Replay) -> Replay | None:
        """Put a graph in the place of the calls; where there is no GPU they stay."""
        if not self.vectors.is_cuda:
            return replay
        run, before = replay.run, torch.cuda.current_stream(self.vectors.device)
        with _capturing, torch.cuda.device(self.vectors.device):
            if _failed:
                return None
            try:
                graph, wrote = self._graph(run)
            except RuntimeError as error:
                torch.cuda.set_stream(before)  # a capture that fails may leave its own
                why = str(error).splitlines()[0]
                if not isinstance(error, torch.OutOfMemoryError):
                    _failed.append(why)
                log.warning("searches are not repeated from a CUDA graph: %s", why)
                return None

        def again() -> Round:
            graph.replay()
            return wrote

        replay.run = again
        return replay

    def _graph(self, run: Callable[[], Round]) -> tuple[torch.cuda.CUDAGraph, Round]:
        """Capture a round, on the stream and in the pool of all of this gallery."""
        self._stream = self._stream or torch.cuda.Stream(self.vectors.device)  # type: ignore[no-untyped-call]
        if not self._kept:  # the pool of graphs that are gone may be, too
            self._pool = torch.cuda.graph_pool_handle()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            run()  # libraries set themselves up for a stream
        torch.cuda.current_stream().wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            wrote = run()
        return graph, wrote


def rounded(h: int) -> int:
    """Round a number of queries up, to one of few."""
    return 1 << (h - 1).bit_length() if h <= 128 else -(-h // 128) * 128
