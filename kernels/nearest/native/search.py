"""A search by the compiled scan: parts of the gallery and blocks of queries beside each other, then the answer."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from kernels.nearest.contract import Admission
from kernels.nearest.encode import NoBoundError
from kernels.nearest.native import pool
from kernels.nearest.native.ranges import Range, ranges
from kernels.nearest.native.structures import Asked, Open, Queries, Rows, Vectors, address
from kernels.nearest.prepared import Prepared
from kernels.nearest.score import carefully

WORTH = 1 << 21  # bytes of codes, times queries, that are worth another thread
PAIRS_WORTH = 1 << 11  # neighbours that are
BLOCK_BYTES = 8 << 20  # of codes that are made for one scan
OPENED = 256  # pairs that Python may have to score, at first
MOST_FEW = 8  # queries; more stand in the lanes of vectors


@dataclass(frozen=True, eq=False)
class Search:
    """Queries, what they ask of which gallery, and where the answer goes: score, row [H, k], proven [H]."""

    library: ctypes.CDLL
    queries: Tensor
    prepared: Prepared
    admission: Admission
    asked: Asked
    score: Tensor
    row: Tensor
    proven: Tensor

    def of(self, own: Range) -> "Search":
        """Narrow to some of the queries."""
        part = slice(*own)
        into = {name: getattr(self, name)[part] for name in ("score", "row", "proven")}
        return replace(self, queries=self.queries[part], admission=self.admission.of(part), **into)

    def whole(self, rows: Rows) -> None:
        """Scan all rows, and finish."""
        with begun(self.library, self.given()) as handle:
            self.finish(handle, (0, self.queries.shape[0]), rows)

    def given(self) -> Queries:
        """Say what C is given."""
        assert self.prepared.coding is not None
        return Queries(self.queries, self.prepared.coding, self.asked, self.admission.exclude)

    def scan(self, handle: int, rows: Rows, part: int, own: Range, lanes: Range) -> None:
        """Scan the rows of a part for the queries in these lanes."""
        if not self.library.search_scan(handle, rows.here, part, *lanes, *own):
            raise MemoryError

    def finish(self, handle: int, queries: Range, rows: Rows | None = None) -> None:
        """Score the survivors of these queries, and order them; before that, scan rows for them if there are any."""
        gallery = Vectors(self.prepared.vectors, self.prepared.sq_norms)
        group = None if self.admission.group is None else self.admission.group.contiguous()
        into = (address(self.score), address(self.row), address(self.proven))
        scanned = None if rows is None else rows.here
        opened = self.library.search_answer(handle, scanned, gallery.here, address(group), *queries, *into)
        if opened < 0:
            raise MemoryError
        if opened:
            settle(self.library, handle, (self.queries, gallery, self.prepared.metric), queries, self.proven, group)
            if not self.library.search_order(handle, address(group), *queries, *into):
                raise MemoryError


def settle(
    library: ctypes.CDLL,
    handle: int,
    scored: tuple[Tensor, Vectors, str],
    queries: Range,
    proven: Tensor,
    group: Tensor | None = None,
) -> None:
    """Score the survivors of these queries. scored: queries, gallery and metric; proven: [H] bool, is filled."""
    x, y, metric = scored
    room = OPENED
    while True:
        open_ = (Open * room)()
        opened = library.search_settle(handle, y.here, address(group), *queries, address(proven), open_, room)
        if opened < 0:
            raise MemoryError
        if opened <= room:
            break
        room = opened
    if not opened:
        return
    pairs = open_[:opened]
    query, row = torch.tensor([pair.query for pair in pairs]), torch.tensor([pair.row for pair in pairs])
    scores = carefully(x, y.kept[0], query, row, metric).tolist()
    for pair, score in zip(pairs, scores, strict=True):
        library.search_patch(handle, ctypes.addressof(pair), score)


def answer(
    library: ctypes.CDLL,
    queries: Tensor,
    prepared: Prepared,
    k: int,
    admission: Admission,
    most: int,
    *,
    guess: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the k nearest admitted rows of each query [H, D]; most: survivors of one query; guess: thresholds, so that
    queries that it was too high for are not proven.

    Returns score [H, k] float32, row [H, k] int64, proven [H] bool: the others are not answered. Raises NoBoundError
    where no bound holds for these vectors, and MemoryError.
    """
    coding = prepared.coding
    if coding is None:
        raise NoBoundError
    h, g = queries.shape[0], prepared.vectors.shape[0]
    lanes, parts = split(library.search_lanes(), h, g, coding.width * coding.dtype.itemsize)
    answers = torch.empty((h, k)), torch.empty((h, k), dtype=torch.int64), torch.empty(h, dtype=torch.bool)
    search = Search(library, queries, prepared, admission, Asked(k, most, parts, guess), *answers)
    if prepared.codes is not None and parts == 1:  # then nothing has to be waited for
        rows = Rows(prepared.codes, admission)
        if len(lanes) == 1:
            search.whole(rows)
        else:
            pool.run([partial(search.of((start, min(stop, h))).whole, rows) for start, stop in lanes if start < h])
        return answers
    with begun(library, search.given()) as handle:
        for rows in _blocks(prepared, admission):
            own = enumerate(ranges(rows.rows, parts))
            pool.run([partial(search.scan, handle, rows, part, some, block) for part, some in own for block in lanes])
        threads = min(torch.get_num_threads(), 1 + h * k // PAIRS_WORTH)
        pool.run([partial(search.finish, handle, some) for some in ranges(h, threads)])
    return answers


def split(lanes: int, h: int, g: int, bytes_: int) -> tuple[list[Range], int]:
    """Split the work among threads: the lanes of queries as far as two vectors each go, then parts of the gallery."""
    threads = min(torch.get_num_threads(), 1 + g * h * bytes_ // WORTH)
    whole = -(-h // lanes) * lanes
    blocks = ranges(whole, min(threads, -(-whole // (2 * lanes))) if h > MOST_FEW else 1, lanes)
    return blocks, max(1, threads // len(blocks))


def _blocks(prepared: Prepared, admission: Admission) -> Iterator[Rows]:
    """Point to the codes of all rows, or make them, block by block."""
    if prepared.codes is not None or prepared.coding is None:
        yield Rows(prepared.block(slice(None)), admission)
        return
    height = max(1, BLOCK_BYTES // (prepared.coding.width * prepared.coding.dtype.itemsize))
    for start in range(0, prepared.vectors.shape[0], height):
        yield Rows(prepared.block(slice(start, start + height)), admission, start)


@contextmanager
def begun(library: ctypes.CDLL, queries: Queries) -> Iterator[int]:
    """Begin a search in C, and free it. Raises NoBoundError where a query is too long, and MemoryError."""
    unbounded = ctypes.c_int64()
    handle = library.search_new(queries.here, ctypes.addressof(unbounded))
    if not handle:
        raise NoBoundError if unbounded.value else MemoryError
    try:
        yield handle
    finally:
        library.search_free(handle)
