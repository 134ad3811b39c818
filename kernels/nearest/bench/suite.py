"""Run works one after another: draw the vectors, build the Gallery, measure each peer beside it."""

import gc
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kernels.nearest.bench.beside import Bout, describe
from kernels.nearest.bench.draw import draw
from kernels.nearest.bench.machine import free_bytes
from kernels.nearest.bench.measure import WorkRow, time_alone
from kernels.nearest.bench.ours import Built, build, searcher, serve
from kernels.nearest.bench.peer import Peer
from kernels.nearest.bench.roofs import Roofs, reached
from kernels.nearest.bench.trace import trace
from kernels.nearest.bench.work import Work, group, shrink

SAMPLE = 16_384  # rows whose Gallery tells how many bytes a row takes
RESERVE_BYTES = {"cpu": 3 * 2**30, "cuda": 10 * 2**30}  # for scores and scratch, a peer's too
ALONE_BYTES = 4 * 2**30  # the same where no peer runs
WARM_UP = 2  # searches on a GPU, which is given the second of a kind as a graph
FAILURES = (RuntimeError, ValueError, NotImplementedError)  # out of memory among them


@dataclass(frozen=True)
class Suite:
    """How works are run: where, beside whom, for how many pairs and seconds, and who hears of progress."""

    device: str
    peers: tuple[Peer, ...]
    roofs: Roofs
    log: Callable[[str], None]
    pairs: int = 7
    budget_s: float = 2.0
    serve_s: float = 5.0
    free_bytes: Callable[[str], int] = free_bytes

    def run(self, works: Sequence[Work]) -> Iterator[WorkRow]:
        """Measure works in the order of the table; an interrupt first yields what the current work has."""
        done = 0
        for members in group(works):
            try:
                fitted = self.fit(members)
                vectors, queries = self._draw(fitted)
            except FAILURES as error:
                done += len(members)
                yield from (WorkRow(work, work.g, f"failed: {describe(error)}") for work in members)
                continue
            held: dict[str, Built] = {}
            for asked, work in zip(members, fitted, strict=True):
                done += 1
                self.log(f"[{done}/{len(works)}] {work.title}")
                *_, row = self._measure(WorkRow(work, asked.g), vectors, queries[: work.q], held)
                yield row
                if row.status == "interrupted":
                    raise KeyboardInterrupt
            del vectors, queries, held
            gc.collect()

    def _draw(self, works: list[Work]) -> tuple[Tensor, Tensor]:
        first = works[0]
        self.log(f"drawing {first.g:,} x {first.d:,} {first.dtype}, {first.data}")
        generator = torch.Generator(self.device).manual_seed(0)
        most_q = max(work.q for work in works)
        return draw(first.g, most_q, first.d, first.data, getattr(torch, first.dtype), generator)

    def fit(self, members: list[Work]) -> list[Work]:
        """Cut the gallery of works that share it to what memory allows, judged by the Gallery of a small sample."""
        work = members[0]
        dtype = getattr(torch, work.dtype)
        generator = torch.Generator(self.device).manual_seed(0)
        sample, _ = draw(min(SAMPLE, work.g), 1, work.d, work.data, dtype, generator)
        row_bytes = work.d * dtype.itemsize + build(sample, work).copy_bytes / sample.shape[0]
        if self.device == "cpu":
            row_bytes += work.d * dtype.itemsize  # FAISS keeps a copy, as do the cosines of others
        alone = all(work.peers == () for work in members)
        reserve = ALONE_BYTES if alone else RESERVE_BYTES[self.device]
        fitted = shrink(members, self.free_bytes(self.device), row_bytes, reserve)
        if fitted[0].g != work.g:
            self.log(f"G {work.g:,} does not fit into the memory that is free; {fitted[0].g:,} does")
        return fitted

    def _measure(self, row: WorkRow, vectors: Tensor, queries: Tensor, held: dict[str, Built]) -> Iterator[WorkRow]:
        """Yield a work's row again and again, each time with more in it."""
        work = row.work
        try:
            if work.metric not in held:
                held.clear()  # one copy at a time
                held[work.metric] = build(vectors, work)
            made = held[work.metric]
            row = replace(row, scan=made.scan, build_s=made.build_s, copy_bytes=made.copy_bytes)
            for per_s in work.arrivals_per_s:
                self.log(f"  {per_s:,} queries/s arrive for {self.serve_s:g} s")
                row = replace(row, served=(*row.served, serve(work, made, queries, per_s, self.serve_s)))
                yield row
            if not work.arrivals_per_s:
                for fuller in self._compare(row, made, queries):
                    row = self._reach(fuller)
                    yield row
        except KeyboardInterrupt:
            yield replace(row, status="interrupted")
        except FAILURES as error:
            yield replace(row, status=f"failed: {describe(error)}")

    def _compare(self, row: WorkRow, made: Built, queries: Tensor) -> Iterator[WorkRow]:
        work = row.work
        search = searcher(work, made, queries)
        found = search()
        for _ in range(WARM_UP if self.device == "cuda" and not work.one_shot else 0):
            search()
        row = replace(row, proven=float(found.proven.double().mean()))
        bout = Bout(work, made.gallery.vectors, queries, search, found, self.pairs, self.budget_s)
        for peer in self.peers:
            if work.metric in peer.metrics and (work.peers is None or peer.name in work.peers):
                self.log(f"  {peer.name}")
                row = replace(row, peers=(*row.peers, bout.row(peer)))
                yield row
        if not row.ours_s:
            row = replace(row, alone_s=time_alone(search, self.device, self.pairs, self.budget_s))
            yield row
            if self.device == "cuda":
                yield replace(row, kernels=trace(search))

    def _reach(self, row: WorkRow) -> WorkRow:
        if not row.ours_s:
            return row
        read = row.work.dtype if row.work.one_shot else row.scan
        return replace(row, reached=reached(row.work, statistics.median(row.ours_s), read, row.scan, self.roofs))
