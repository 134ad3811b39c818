"""A search by the compiled scan: parts of the gallery and blocks of queries beside each other, then the answer."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from kernels.nearest.codes import QueryCodes
from kernels.nearest.contract import Admission
from kernels.nearest.native import pool
from kernels.nearest.native.ranges import Range, ranges
from kernels.nearest.native.structures import Open, Queries, Rows, Vectors, address
from kernels.nearest.prepared import Prepared
from kernels.nearest.score import carefully

WORTH = 1 << 21  # bytes of codes, times queries, that are worth another thread
PAIRS_WORTH = 1 << 11  # neighbours that are
BLOCK_BYTES = 8 << 20  # of codes that are made for one scan
OPENED = 4096  # pairs that Python may have to score, at first
MOST_FEW = 8  # queries; more stand in the lanes of vectors


@dataclass(frozen=True, eq=False)
class Search:
    """One search in C, and where its answer goes: score [H, k] float32, row [H, k] int64, proven [H] bool."""

    library: ctypes.CDLL
    handle: int
    queries: Tensor
    prepared: Prepared
    admission: Admission
    metric: str
    score: Tensor
    row: Tensor
    proven: Tensor

    def scan(self, rows: Rows, part: int, own: Range, lanes: Range) -> None:
        """Scan the rows of a part for the queries in these lanes."""
        if not self.library.search_scan(self.handle, rows.here, part, *lanes, *own):
            raise MemoryError

    def finish(self, queries: Range) -> None:
        """Score the survivors of these queries, and order them."""
        x, y = Vectors(self.queries), Vectors(self.prepared.vectors, self.prepared.sq_norms)
        group = None if self.admission.group is None else self.admission.group.contiguous()
        settle(self.library, self.handle, (x, y, self.metric), queries, self.proven, group)
        into = (address(self.score), address(self.row), address(self.proven))
        if not self.library.search_order(self.handle, address(group), *queries, *into):
            raise MemoryError

    def both(self, rows: Rows, own: Range, lanes: Range) -> None:
        """Scan all rows for the queries in these lanes, and finish them."""
        self.scan(rows, 0, own, lanes)
        self.finish((lanes[0], min(lanes[1], self.queries.shape[0])))


def settle(
    library: ctypes.CDLL,
    handle: int,
    scored: tuple[Vectors, Vectors, str],
    queries: Range,
    proven: Tensor,
    group: Tensor | None = None,
) -> None:
    """Score the survivors of these queries. scored: queries, gallery and metric; proven: [H] bool, is filled."""
    x, y, metric = scored
    room = OPENED
    while True:
        open_ = (Open * room)()
        given = (x.here, y.here, address(group), *queries, address(proven), open_, room)
        opened = library.search_settle(handle, *given)
        if opened < 0:
            raise MemoryError
        if opened <= room:
            break
        room = opened
    if not opened:
        return
    pairs = open_[:opened]
    query, row = torch.tensor([pair.query for pair in pairs]), torch.tensor([pair.row for pair in pairs])
    scores = carefully(x.kept[0], y.kept[0], query, row, metric).tolist()
    for pair, score in zip(pairs, scores, strict=True):
        library.search_patch(handle, ctypes.addressof(pair), score)


def answer(
    library: ctypes.CDLL,
    queries: Tensor,
    codes: QueryCodes,
    prepared: Prepared,
    k: int,
    admission: Admission,
    most: int,
    *,
    guess: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the k nearest admitted rows of each query [H, D], whose codes these are; most: survivors of one query;
    guess: thresholds, so that queries that it was too high for are not proven.

    Returns score [H, k] float32, row [H, k] int64, proven [H] bool: the others are not answered. Raises NoBoundError
    where rows are encoded in the scan, and MemoryError.
    """
    h, g, bytes_ = queries.shape[0], prepared.vectors.shape[0], codes.codes.shape[1] * codes.codes.itemsize
    lanes, parts = split(library.search_lanes(), h, g, bytes_)
    asked = Queries(codes, k, most, parts, admission.exclude, guess=guess)
    with begun(library, asked, codes) as handle:
        answers = torch.empty((h, k)), torch.empty((h, k), dtype=torch.int64), torch.empty(h, dtype=torch.bool)
        search = Search(library, handle, queries, prepared, admission, prepared.metric, *answers)
        if prepared.codes is not None and parts == 1:  # then nothing has to be waited for
            rows = Rows(prepared.codes, admission)
            pool.run([partial(search.both, rows, (0, g), block) for block in lanes])
            return answers
        for rows in _blocks(prepared, admission):
            own = ranges(rows.rows, parts)
            pool.run(
                [partial(search.scan, rows, part, some, block) for part, some in enumerate(own) for block in lanes]
            )
        threads = min(torch.get_num_threads(), 1 + h * k // PAIRS_WORTH)
        pool.run([partial(search.finish, some) for some in ranges(h, threads)])
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
def begun(library: ctypes.CDLL, asked: Queries, codes: QueryCodes) -> Iterator[int]:
    """Begin a search in C, and free it. MemoryError where there is none."""
    kind, bytes_ = Rows.type_of(codes.codes), codes.codes.shape[1] * codes.codes.itemsize
    handle = library.search_new(asked.here, kind, bytes_)
    if not handle:
        raise MemoryError
    try:
        yield handle
    finally:
        library.search_free(handle)
