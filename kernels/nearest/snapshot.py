"""What a `LiveGallery` held at one moment: searched by slots, answered by row numbers."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from kernels.nearest.contract import Admission, Neighbors, admit, check_pair, check_vectors, pack_bits, without_autocast
from kernels.nearest.gallery import module
from kernels.nearest.prepared import Prepared
from kernels.nearest.score import nothing
from kernels.nearest.select import best

WIDER = 4  # times as many rows are asked for where the first answer ends within a tie
MORE = 64  # and so many on top
TOGETHER = 65536  # rows that are searched at once where ties are settled in the order of rows


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The slots of one epoch: prepared for a backend, the row in each [S] int64, which are valid, and how many."""

    epoch: int
    backend: str
    metric: str
    prepared: Any
    row: Tensor
    valid: Tensor | None
    count: int

    def __len__(self) -> int:
        """Count the rows."""
        return self.count

    def among(self, valid: Tensor) -> "Snapshot":
        """Narrow to the rows that may answer: [N] bool by their numbers; those from N on may not."""
        if not isinstance(valid, Tensor) or valid.dtype != torch.bool or valid.ndim != 1:
            held = f"{valid.dtype} {tuple(valid.shape)}" if isinstance(valid, Tensor) else type(valid).__name__
            raise ValueError(f"valid is {held}; needed: bool [N], by the numbers of rows")
        known = self.row < valid.numel()
        own = torch.zeros(self.row.numel(), dtype=torch.bool)
        own[known] = valid[self.row[known]]
        if (mask := Admission(self.valid).mask(0, own.numel())) is not None:
            own &= mask
        prepared = self.prepared  # whose sample is of all rows
        if isinstance(prepared, Prepared):
            prepared = replace(prepared, sample_stands=False)
        return replace(self, prepared=prepared, valid=pack_bits(own), count=int(own.sum()))

    @torch.no_grad()
    def search(self, queries: Tensor, k: int, *, exclude: Tensor | None = None) -> Neighbors:
        """Find the k nearest rows of each query [Q, D]; exclude: [Q] int64, a row not to return, -1 for none.

        Returns Neighbors of K = min(k, rows) columns, equal scores in the order of their numbers. ValueError as of
        `nearest`.
        """
        check_vectors("queries", queries, self.metric)
        check_pair(queries, self.prepared.vectors, k)
        admit(queries, self.prepared.vectors, None, None, exclude)
        q, k = queries.shape[0], min(k, self.count)
        least = k + 1 + (exclude is not None)
        with without_autocast(queries.device):
            if q and k:
                # One row more shows whether the answer ends within a tie, where slots do not say who is first.
                score, row, proven, settled = self._by_slots(queries, k, exclude, min(least, self.count))
                if settled.all():
                    return Neighbors(score, row, proven)
                return self._widened(queries, k, exclude, least, Neighbors(score, row, proven), settled)
        return Neighbors(
            torch.full((q, k), nothing(self.metric)),
            torch.full((q, k), -1, dtype=torch.int64),
            torch.ones(q, dtype=torch.bool),
        )

    def _widened(
        self, queries: Tensor, k: int, exclude: Tensor | None, least: int, found: Neighbors, settled: Tensor
    ) -> Neighbors:
        """Settle the ties that are left open: by more rows, at last in the order of numbers."""
        left = torch.nonzero(~settled)[:, 0]
        for asked in (WIDER * least + MORE, None):
            part, own = queries[left], None if exclude is None else exclude[left]
            if asked is None:
                score, row, proven = self._by_rows(part, k, own)
                settled = torch.ones(left.numel(), dtype=torch.bool)
            else:
                score, row, proven, settled = self._by_slots(part, k, own, min(asked, self.count))
            done = left[settled]
            found.score[done], found.row[done], found.proven[done] = score[settled], row[settled], proven[settled]
            left = left[~settled]
            if not left.numel():
                break
        return found

    def _by_slots(
        self, queries: Tensor, k: int, exclude: Tensor | None, asked: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Answer from the first `asked` by slot: score, row [H, k], proven, and whether no tie is left open, [H]."""
        got = module(self.backend).answer(queries, self.prepared, asked, Admission(self.valid))
        row = torch.where(got.row < 0, -1, self.row[got.row])
        if exclude is None and not (got.score[:, 1:] == got.score[:, :-1]).any():  # then slots and rows agree
            score, first = got.score[:, :k].contiguous(), row[:, :k].contiguous()
        else:
            score, first = self._first(got.score, row, k, exclude)
        settled = score[:, -1] != got.score[:, -1]  # of what is as good as the last, some may be missing
        return score, first, got.proven, settled | (got.row[:, -1] < 0) | (asked == self.count)

    def _by_rows(self, queries: Tensor, k: int, exclude: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Answer from the rows in the order of their numbers, part by part: score, row [H, k], proven [H]."""
        slots = torch.arange(self.row.numel())
        if (mask := Admission(self.valid).mask(0, self.row.numel())) is not None:
            slots = slots[mask]
        slots = slots[self.row[slots].argsort()]
        run = module(self.backend)
        score, row = queries.new_empty((queries.shape[0], 0), dtype=torch.float32), slots.new_empty((len(queries), 0))
        proven = torch.ones(queries.shape[0], dtype=torch.bool)
        for start in range(0, slots.numel(), TOGETHER):
            part = slots[start : start + TOGETHER]
            prepared = run.prepare(self.prepared.vectors[part], self.metric, "auto", keep=False)
            got = run.answer(queries, prepared, min(k + (exclude is not None), part.numel()), Admission())
            score, row = torch.cat((score, got.score), 1), torch.cat((row, self.row[part][got.row]), 1)
            score, row = self._first(score, row, k, exclude)
            proven &= got.proven
        return score, row, proven

    def _first(self, score: Tensor, row: Tensor, k: int, exclude: Tensor | None) -> tuple[Tensor, Tensor]:
        """Take the k first by (score, row), without the excluded."""
        if exclude is not None:
            row = torch.where(row == exclude[:, None], -1, row)
        return best(score, row, k, self.metric)
