"""Exact search over vectors that change: rows are written and deleted while others search."""

import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from kernels.nearest.contract import DTYPES, MOST_ROWS, Admission, Neighbors, check_choice, check_vectors, pack_bits
from kernels.nearest.encode import NoBoundError
from kernels.nearest.gallery import COMPUTES
from kernels.nearest.score import METRICS
from kernels.nearest.seed import Sample
from kernels.nearest.slab import Slab, check_rows, whole_bytes
from kernels.nearest.snapshot import Snapshot

BACKENDS = ("auto", "reference", "cpu")
LEAST = 1024  # slots
NUMBERS = 1 << 27  # of rows: a table of 1 GiB
GROWTH = 1.5  # room for so many times what is there, when it is made
CROWDED = 4  # slots of a live row from which on the slab is moved together
NONE = torch.empty(0, dtype=torch.int64)
REFRESH = 8  # the sample is drawn again when one row in so many has changed


class LiveGallery:
    """A gallery whose rows come, change and go; a search equals, to the bit, `nearest` over the rows of that moment.

    A row is a number from 0 to 2**32 - 2 that the caller gives, or `append` counts up. Equal scores come in the order
    of these numbers, so that an answer depends on what is there, and not on how it came there. Numbers cost 8 bytes
    each up to the largest, so they should be dense; those from `numbers` on are refused.

    A write costs what its rows cost, and a bit of what is there: a slot is never written while someone may read it, so
    a changed row moves to a free one, and a delete clears a bit. All threads may search and write. A write is seen
    wholly or not at all; a search reads the snapshot that it began with and waits for no writer, nor the other way.
    """

    def __init__(
        self,
        d: int,
        *,
        metric: str = "sq_euclidean",
        dtype: torch.dtype = torch.float32,
        compute: str = "auto",
        backend: str = "auto",
        capacity: int = LEAST,
        numbers: int = NUMBERS,
    ) -> None:
        """Make an empty gallery of vectors [D]; capacity: rows that fit before it grows. ValueError as of `nearest`."""
        check_choice("metric", metric, METRICS)
        check_choice("compute", compute, COMPUTES)
        if backend == "triton":
            raise ValueError('backend "triton" holds no rows that change; use a Gallery there, or backend "cpu" here')
        check_choice("backend", backend, BACKENDS)
        if d < 1 or capacity < 0 or dtype not in DTYPES:
            raise ValueError(f"d, capacity, dtype are {d}, {capacity}, {dtype}; needed: >= 1, >= 0, of {DTYPES}")
        if not 1 <= numbers <= MOST_ROWS + 1:
            raise ValueError(f"numbers is {numbers}; needed: 1 to {MOST_ROWS + 1}")
        self.metric, self.compute, self.numbers = metric, compute, numbers
        self.backend = "cpu" if backend == "auto" else backend
        self._writing = threading.Lock()  # held for a whole write
        self._lock = threading.Lock()  # held for moments: what stands below changes together
        self._slab = Slab.empty(metric, whole_bytes(capacity), d, dtype)
        self._valid = torch.zeros(whole_bytes(capacity), dtype=torch.bool)
        self._bits = pack_bits(self._valid)
        self._slot = torch.full((1,), -1)  # of every row number, -1 for none
        self._count = self._stop = self._next = self._epoch = 0
        self._free: list[int] = []
        self._freed: deque[tuple[int, list[int]]] = deque()  # slots that no snapshot of this epoch or later sees
        self._readers: Counter[int] = Counter()  # by the epoch of their snapshot
        self._sample: Sample | None = None
        self._far = NONE  # slots of rows that were too long for any coding
        self._since_sample = self._since_coding = 0
        self._seen: Snapshot | None = None

    def __len__(self) -> int:
        """Count the rows that are there."""
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of the slab with its codes, of the bits and of the numbers' slots."""
        with self._lock:
            sampled = 0 if self._sample is None else self._sample.codes.nbytes
            parts = (self._valid, self._bits, self._slot)
            return self._slab.nbytes + sampled + sum(part.nbytes for part in parts)

    def rows(self) -> Tensor:
        """Number the rows that are there: [N] int64, ascending."""
        with self._lock:
            return torch.nonzero(self._slot >= 0)[:, 0]

    def append(self, vectors: Tensor) -> Tensor:
        """Write vectors [N, D] as new rows, numbered on from the largest ever used; return the numbers, [N] int64."""
        check_vectors("vectors", vectors, self.metric)
        with self._writing:
            rows = torch.arange(self._next, self._next + vectors.shape[0])
            self._change(rows, vectors, NONE)
            return rows

    def write(self, rows: Tensor, vectors: Tensor, *, delete: Tensor | None = None) -> None:
        """Write vectors [N, D] as rows [N] int64, distinct, new or in place of what was there; all or nothing.

        delete: [M] int64, rows that go in the same moment; one that is written too stays. ValueError for anything else.
        """
        with self._writing:
            self._change(rows, vectors, NONE if delete is None else delete)

    def delete(self, rows: Tensor) -> int:
        """Delete rows [N] int64 and count those that were there; the others are no error."""
        with self._writing:
            return self._change(NONE, self._slab.vectors[:0], rows)

    def search(self, queries: Tensor, k: int, *, exclude: Tensor | None = None) -> Neighbors:
        """Find the k nearest rows of each query [Q, D]; exclude: [Q] int64, a row not to return, -1 for none.

        Returns Neighbors of K = min(k, rows that are there) columns, as `nearest` does.
        """
        with self.snapshot() as seen:
            return seen.search(queries, k, exclude=exclude)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Hold what is there at this moment, for several searches; it must not be used afterwards."""
        with self._lock:
            seen = self._seen = self._seen or self._now()
            self._readers[seen.epoch] += 1
        try:
            yield seen
        finally:
            with self._lock:
                self._readers[seen.epoch] -= 1
                self._readers += Counter()  # drops what is zero

    def _now(self) -> Snapshot:
        stop, count = self._stop, self._count
        valid = None if count == stop else self._bits[: (stop + 7) // 8].clone()
        sample = None if self._sample is None else replace(self._sample, population=count)
        prepared = self._slab.prepared(self.backend, stop, sample)
        return Snapshot(self._epoch, self.backend, self.metric, prepared, self._slab.row[:stop], valid, count)

    def _change(self, rows: Tensor, vectors: Tensor, delete: Tensor) -> int:
        """Write and delete; return how many of `delete` were there. Only one thread at a time is in here."""
        d, dtype = self._slab.vectors.shape[1], self._slab.vectors.dtype
        for name, numbers in (("rows", rows), ("delete", delete)):
            check_rows(name, numbers)
        if rows.numel() and (largest := int(rows.max())) >= self.numbers:
            raise ValueError(
                f"rows holds {largest}; allowed: 0 to {self.numbers - 1}, since each number up to the largest costs 8 "
                "bytes; number rows densely, or make the gallery with more `numbers`"
            )
        check_vectors("vectors", vectors, self.metric)
        if vectors.dtype != dtype or vectors.shape != (rows.numel(), d) or vectors.device.type != "cpu":
            held = f"{vectors.dtype} {tuple(vectors.shape)} on {vectors.device}"
            raise ValueError(f"vectors is {held}; needed: {dtype} {(rows.numel(), d)} on cpu, one of each row")
        if torch.unique(rows).numel() < rows.numel():
            raise ValueError("rows holds a number twice; needed: distinct ones")
        delete = torch.unique(delete[delete < self._slot.numel()])
        there = int((self._slot[delete] >= 0).sum())
        slots = self._take(rows.numel())
        slab = self._slab
        try:
            slab.put(slots, rows, vectors)
        except NoBoundError:
            slab = replace(slab, codes=None)
        self._publish(slab, rows, slots, delete)
        self._tidy(rows.numel() + there)
        return there

    def _take(self, wanted: int) -> Tensor:
        """Find slots that no snapshot sees, or make room: [wanted] int64."""
        with self._lock:
            oldest = min(self._readers, default=self._epoch)
            while self._freed and self._freed[0][0] <= oldest:
                self._free += self._freed.popleft()[1]
        if len(self._free) + self._valid.numel() - self._stop < wanted:
            self._move(wanted)
        with self._lock:
            again = self._free[max(0, len(self._free) - wanted) :]
            del self._free[len(self._free) - len(again) :]
            start, self._stop = self._stop, self._stop + wanted - len(again)
        return torch.cat((torch.tensor(again, dtype=torch.int64), torch.arange(start, self._stop)))

    def _publish(self, slab: Slab, rows: Tensor, slots: Tensor, delete: Tensor) -> None:
        """Let the filled slots be seen, and what they replace no more."""
        slot = self._slot
        if rows.numel() and (largest := int(rows.max())) >= slot.numel():
            slot = torch.full((max(largest + 1, int(GROWTH * slot.numel())),), -1)
            slot[: self._slot.numel()] = self._slot
        with self._lock:
            self._slab, self._slot = slab, slot
            gone = torch.unique(slot[torch.cat((delete, rows))])
            gone = gone[gone >= 0]
            slot[delete] = -1
            slot[rows] = slots
            self._valid[gone] = False
            self._valid[slots] = True
            touched = torch.unique(torch.cat((gone, slots)) // 8)
            self._bits[touched] = pack_bits(self._valid.view(-1, 8)[touched].flatten())
            self._count += slots.numel() - gone.numel()
            self._next = max(self._next, int(rows.max()) + 1 if rows.numel() else 0)
            self._epoch += 1
            self._freed.append((self._epoch, gone.tolist()))
            self._seen = None

    def _tidy(self, changed: int) -> None:
        """Renew, when enough has changed, what only speed depends on: the slab's order, the coding, the sample."""
        self._since_sample += changed
        self._since_coding += changed
        if self._stop > max(LEAST, CROWDED * self._count):
            self._move(0)
        if self.backend == "reference" or self._count == 0:
            return
        if self._since_coding >= max(LEAST, self._count) or (self._slab.codes is None and not self._any_far()):
            slab = self._encoded(self._slab, torch.nonzero(self._valid)[:, 0])
            with self._lock:
                self._slab, self._sample, self._seen = slab, None, None
        if self._sample is None or REFRESH * self._since_sample >= self._count:
            sample = self._slab.sample(Admission(self._bits), self._stop)
            with self._lock:
                self._sample, self._since_sample, self._seen = sample, 0, None

    def _move(self, more: int) -> None:
        """Move what is there to a new slab with room for `more`; readers keep the old one."""
        slots = torch.nonzero(self._valid)[:, 0]
        n = slots.numel()
        capacity = whole_bytes(max(LEAST, int(GROWTH * (n + more))))
        slab, self._far = self._slab.moved(slots, capacity), NONE
        if self.backend == "cpu" and n:
            slab = self._encoded(slab, torch.arange(n))
        valid = torch.arange(capacity) < n
        with self._lock:
            self._slab, self._valid, self._bits, self._stop = slab, valid, pack_bits(valid), n
            self._slot[slab.row[:n]] = torch.arange(n)
            self._free, self._sample, self._seen = [], None, None
            self._freed.clear()
            self._epoch += 1

    def _encoded(self, slab: Slab, slots: Tensor) -> Slab:
        """Choose a coding for what stands in these slots; where none holds them all, searches do without."""
        self._since_coding, self._far = 0, NONE
        try:
            return slab.encoded(slots, self.compute)
        except NoBoundError:
            self._far = slab.far(slots)
            return replace(slab, codes=None)

    def _any_far(self) -> bool:
        """Say whether a row still stands that no coding could hold."""
        far = self._slab.far(self._far)
        return bool(self._valid[far].any())
