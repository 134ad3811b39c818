"""Any history of a gallery that changes, against a dict and a fresh search at every step."""

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kernels.nearest import LiveGallery, live, snapshot
from tests.kernels.live import FAR, SLOW, D, fresh, same


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class History(RuleBasedStateMachine):
    """Any history of writes, deletes and readers; a dict is what should be there."""

    @initialize(
        metric=st.sampled_from(["sq_euclidean", "inner_product", "cosine"]),
        compute=st.sampled_from(["auto", "float32", "bfloat16", "int8"]),
        backend=st.sampled_from(["cpu", "reference"]),
        scale=st.sampled_from(["ties", "random", "far"]),
        seed=st.integers(0, 2**31),
    )
    def begin(self, metric: str, compute: str, backend: str, scale: str, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.metric, self.scale = metric, scale
        self.live = LiveGallery(D, metric=metric, compute=compute, backend=backend, capacity=0)
        self.rows: dict[int, torch.Tensor] = {}
        self.largest = -1
        self.readers: list[tuple[object, snapshot.Snapshot, dict[int, torch.Tensor]]] = []

    def teardown(self) -> None:
        for reader, _, _ in getattr(self, "readers", []):
            reader.__exit__(None, None, None)

    def draw(self, count: int) -> torch.Tensor:
        vectors = torch.randn(count, D, generator=self.generator)
        if self.scale == "ties":
            return vectors.round()
        if self.scale == "far":  # one in three of another order of magnitude
            choice = torch.randint(3, (count, 1), generator=self.generator)
            return vectors * torch.tensor([1.0, FAR, SLOW])[choice]
        return vectors

    @rule(count=st.integers(0, 30))
    def append(self, count: int) -> None:
        vectors = self.draw(count)
        rows = self.live.append(vectors).tolist()
        assert rows == list(range(self.largest + 1, self.largest + 1 + count))
        self.keep(rows, vectors)

    @rule(rows=st.sets(st.integers(0, 40), max_size=12), gone=st.sets(st.integers(0, 60), max_size=12))
    def write(self, rows: set[int], gone: set[int]) -> None:
        vectors = self.draw(len(rows))
        self.live.write(integers(rows), vectors, delete=integers(gone))
        for row in gone:
            self.rows.pop(row, None)
        self.keep(list(rows), vectors)

    @rule(rows=st.lists(st.integers(0, 200), max_size=50))
    def delete(self, rows: list[int]) -> None:
        there = [self.rows.pop(row) for row in set(rows) if row in self.rows]
        assert self.live.delete(integers(rows)) == len(there)

    @rule()
    def delete_all(self) -> None:
        assert self.live.delete(self.live.rows()) == len(self.rows)
        self.rows = {}

    @rule(q=st.integers(0, 4), k=st.integers(1, 70), exclude=st.booleans())
    def search(self, q: int, k: int, exclude: bool) -> None:
        self.check(self.live, self.rows, q, k, exclude)

    @precondition(lambda self: len(self.readers) < 3)
    @rule()
    def begin_to_read(self) -> None:
        reader = self.live.snapshot()
        self.readers.append((reader, reader.__enter__(), dict(self.rows)))

    @precondition(lambda self: self.readers)
    @rule(q=st.integers(1, 4), k=st.integers(1, 70), last=st.booleans())
    def read_on(self, q: int, k: int, last: bool) -> None:
        reader, seen, rows = self.readers[0]
        self.check(seen, rows, q, k, exclude=False)
        if last:
            reader.__exit__(None, None, None)
            del self.readers[0]

    @invariant()
    def is_as_large_as_it_should_be(self) -> None:
        if hasattr(self, "live"):
            assert len(self.live) == len(self.rows)
            assert self.live.rows().tolist() == sorted(self.rows)

    def keep(self, rows: list[int], vectors: torch.Tensor) -> None:
        self.rows |= dict(zip(rows, vectors, strict=True))
        self.largest = max([self.largest, *rows])

    def check(self, where: object, rows: dict[int, torch.Tensor], q: int, k: int, exclude: bool) -> None:
        queries = self.draw(q)
        own = integers(torch.randint(-1, 40, (q,), generator=self.generator).tolist()) if exclude else None
        if own is not None:  # in a table of the test's size there is no row beyond its last
            own = own.clamp(max=max(rows, default=0))
        same(where.search(queries, k, exclude=own), fresh(rows, queries, k, self.metric, exclude=own))


def integers(rows: object) -> torch.Tensor:
    return torch.tensor(list(rows), dtype=torch.int64)


class TestHistory(History.TestCase):
    """Small slabs, so that they grow, are moved together and coded anew within a few steps."""

    settings = settings(max_examples=100, stateful_step_count=20)

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        torch.set_num_threads(1)
        monkeypatch.setattr(live, "LEAST", 8)
        monkeypatch.setattr(snapshot, "MORE", 2)  # so that ties outlast the second question
        monkeypatch.setattr(snapshot, "TOGETHER", 7)
