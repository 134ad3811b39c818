"""All pairs within a limit by the compiled scan: what reaches its row's limit survives, and is scored exactly."""

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from kernels.nearest.codes import Coding, RowCodes
from kernels.nearest.contract import Admission
from kernels.nearest.encode import FARTHEST, NoBoundError, coding_of
from kernels.nearest.native import pool, search, variants
from kernels.nearest.native.ranges import Range, ranges
from kernels.nearest.native.structures import Asked, Queries, Rows, Vectors, address
from kernels.nearest.prepared import encode

QUERIES = 512  # of one scan
PENDING = 1 << 20  # survivors of one scan
BLOCK_BYTES = 16 << 20  # of codes of rows that are scanned together
EVERYTHING = -(1 << 62)  # a row's number that all others are beyond
METRIC = "sq_euclidean"

Part = tuple[Tensor, Tensor, Tensor]  # query, row: [P] int64; sq_distance: [P] float32


@dataclass(frozen=True, eq=False)
class Sides:
    """What is compared: queries [Q, D] with rows [G, D] within limits [G] float32 of their exact squared distances.

    open: the rows that may be found, whose limits are not negative; None for all. among: are both the same, of which
    only pairs of query < row are wanted?
    """

    queries: Tensor
    rows: Tensor
    limit: Tensor
    open: Tensor | None = None
    among: bool = False


@dataclass(frozen=True, eq=False)
class _Block:
    """Rows that are scanned together: their vectors, limits and codes, and where they stand among the open ones."""

    vectors: Tensor
    limit: Tensor
    codes: RowCodes
    first: int


def pairs(library: ctypes.CDLL, sides: Sides) -> list[Part]:
    """Find all pairs within the limits, by query, then by row, as parts that follow each other; Q and G at least 1.

    Memory beyond the pairs is bounded. Raises NoBoundError where vectors are too long or a bound is not kept, and
    MemoryError.
    """
    variant = variants.chosen()
    assert variant is not None
    coding = coding_of(sides.rows, METRIC, getattr(torch, variant.fastest))
    tops = range(0, len(sides.queries), QUERIES)
    found: list[list[Part]] = [[] for _ in tops]
    height = len(sides.rows)
    for block in _blocks(sides, coding):
        for own, top in zip(found, tops, strict=True):
            after = top - block.first if sides.among else EVERYTHING
            if after < len(block.limit):
                scan = _Scan(library, sides.queries[top : top + QUERIES], block, after)
                height = scan.run(height)
                own += scan.found
    return [
        (query, row if sides.open is None else sides.open[row], score)
        for parts, top in zip(found, tops, strict=True)
        for query, row, score in _joined(parts, top)
    ]


def _blocks(sides: Sides, coding: Coding) -> Iterator[_Block]:
    rows = len(sides.rows) if sides.open is None else len(sides.open)
    height = max(1, BLOCK_BYTES // (coding.width * coding.dtype.itemsize))
    for start in range(0, rows, height):
        block = slice(start, start + height)
        own = block if sides.open is None else sides.open[block]
        vectors, limit = sides.rows[own], sides.limit[own].clamp(max=FARTHEST)
        yield _Block(vectors, limit, encode(coding, vectors, limit), start)


class _Scan:
    """A scan of a block for up to `QUERIES` queries, and the room for its answers."""

    def __init__(self, library: ctypes.CDLL, queries: Tensor, block: _Block, after: int) -> None:
        """Make room; rows up to `after` and the query's own number are left out."""
        self.library, self.queries, self.block, self.after = library, queries, block, after
        coding, h, self.begin, self.end = block.codes.coding, len(queries), max(0, after), len(block.limit)
        size = (h, self.end - self.begin, coding.width * coding.dtype.itemsize)
        self.lanes, self.parts = search.split(library.search_lanes(), *size)
        self.most = max(1, PENDING // (h * self.parts))  # survivors of a query in a part
        self.room = self.parts * self.most  # of those of a query
        self.query, self.row = (torch.empty(h * self.room, dtype=torch.int64) for _ in range(2))
        self.score, self.proven = torch.empty(h * self.room), torch.empty(h, dtype=torch.bool)
        self.rows, self.scored = Rows(block.codes, Admission()), (queries, Vectors(block.vectors), METRIC)
        self.found: list[Part] = []

    def run(self, height: int) -> int:
        """Find all pairs, at most twice so many rows at a time; return how many at a time there was room for."""
        height = max(2 * height, self.room)
        asked = Queries(self.queries, self.block.codes.coding, Asked(self.room + 1, self.most, self.parts))
        begin = self.begin
        while begin < self.end:
            with search.begun(self.library, asked) as handle:
                while begin < self.end:
                    stop = min(begin + height, self.end)
                    if not self._range(handle, (begin, stop)):  # never with so few rows that all of them have room
                        height = max(self.room, (stop - begin) // 2)
                        break
                    begin = stop
        return height

    def _range(self, handle: int, own: Range) -> bool:
        """Find the pairs with these rows; False where a query has more survivors than there is room for."""
        pieces = [(own[0] + start, own[0] + stop) for start, stop in ranges(own[1] - own[0], self.parts)]
        pool.run([partial(self._scan, handle, part, one, on) for part, one in enumerate(pieces) for on in self.lanes])
        queries = ranges(len(self.queries), len(self.lanes) * self.parts)
        counts: list[int] = [0] * len(queries)

        def finish(which: int) -> None:
            counts[which] = self._finish(handle, queries[which])

        pool.run([partial(finish, which) for which in range(len(queries))])
        if -2 in counts:
            raise NoBoundError
        if -1 in counts:
            return False
        if any(counts):
            filled = [slice(own[0] * self.room, own[0] * self.room + n) for own, n in zip(queries, counts, strict=True)]
            query, row, score = (torch.cat([of[here] for here in filled]) for of in (self.query, self.row, self.score))
            self.found.append((query, row.add_(self.block.first), score))
        return True

    def _scan(self, handle: int, part: int, own: Range, lanes: Range) -> None:
        if not self.library.search_scan(handle, self.rows.here, part, *lanes, *own):
            raise MemoryError

    def _finish(self, handle: int, queries: Range) -> int:
        """Score the survivors of these queries, and list those within their limits; return what C says."""
        search.settle(self.library, handle, self.scored, queries, self.proven)
        own = slice(queries[0] * self.room, queries[1] * self.room)
        query, row, score = self.query[own], self.row[own], self.score[own]
        into = (address(query), address(row), address(score), len(score))
        return int(self.library.search_pairs(handle, *queries, address(self.block.limit), self.after, *into))


def _joined(parts: Sequence[Part], top: int) -> Iterator[Part]:
    """Put the pairs of some queries, found range by range, into order, and number the queries from `top`."""
    if len(parts) > 1:
        query, row, score = (torch.cat(some) for some in zip(*parts, strict=True))
        order = torch.argsort(query, stable=True)  # the rows of each query are in order
        parts = [(query[order], row[order], score[order])]
    for query, row, score in parts:
        yield query.add_(top), row, score
