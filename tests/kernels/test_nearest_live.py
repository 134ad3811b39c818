"""A gallery that changes answers, at every moment, as a fresh `nearest` over the rows of that moment does."""

import threading
from collections.abc import Callable

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kernels.nearest import LiveGallery, Neighbors, live, nearest, snapshot

D = 3
FAR = 2.0**60  # of float32, but longer than a scan's arithmetic holds
SLOW = 2.0**-70  # whose square is no normal float32


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def fresh(rows: dict[int, torch.Tensor], queries: torch.Tensor, k: int, metric: str, **options: object) -> Neighbors:
    """Search a table in which row r stands at r, and what is not there is not valid."""
    table = torch.zeros(max(rows, default=0) + 1, queries.shape[1])
    valid = torch.zeros(len(table), dtype=torch.bool)
    for row, vector in rows.items():
        table[row], valid[row] = vector, True
    found = nearest(queries, table, k, metric=metric, backend="reference", valid=valid, **options)
    return Neighbors(found.score[:, : len(rows)], found.row[:, : len(rows)], found.proven)


def same(found: Neighbors, expected: Neighbors) -> None:
    assert found.row.tolist() == expected.row.tolist()
    assert found.score.tolist() == expected.score.tolist()


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

    settings = settings(max_examples=100, stateful_step_count=20, deadline=None)

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        torch.set_num_threads(1)
        monkeypatch.setattr(live, "LEAST", 8)
        monkeypatch.setattr(snapshot, "MORE", 2)  # so that ties outlast the second question
        monkeypatch.setattr(snapshot, "TOGETHER", 7)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_an_empty_gallery_answers_nothing(backend):
    gallery = LiveGallery(4, backend=backend)
    for _ in range(2):
        found = gallery.search(normal(3, 4), 5)
        assert (found.row.shape, found.score.shape, found.proven.tolist()) == ((3, 0), (3, 0), [True] * 3)
        gallery.append(normal(7, 4))
        gallery.delete(gallery.rows())
    assert gallery.append(normal(1, 4)).tolist() == [14]  # a number is given once


def test_ordinary_churn_is_proven_by_the_scan(assert_same):
    # 3,000 rows, all of them replaced twice over, by rows from somewhere else: the coding and the sample must follow.
    gallery, kept = LiveGallery(32), {}
    for step in range(60):
        rows = torch.arange(100) + 100 * (step % 30)
        vectors = normal(100, 32, seed=step) + step / 4.0
        gallery.write(rows, vectors)
        kept |= dict(zip(rows.tolist(), vectors, strict=True))
        queries = normal(5, 32, seed=-step) + step / 4.0
        found = gallery.search(queries, 10)
        assert found.proven.all()
        if step % 10 == 9:
            assert_same(found, fresh(kept, queries, 10, "sq_euclidean"))


def test_a_row_that_no_code_holds_costs_the_proof_while_it_stands():
    gallery = LiveGallery(8)
    gallery.append(normal(50, 8))
    queries = normal(3, 8, seed=1)
    before = gallery.search(queries, 5)
    assert before.proven.all()
    gallery.write(torch.tensor([99]), normal(1, 8) * FAR)
    with_it = gallery.search(queries, 5)
    same(with_it, before)
    assert not with_it.proven.any()
    assert gallery.search(normal(1, 8) * FAR, 1).row.tolist() == [[99]]
    gallery.delete(torch.tensor([99]))
    after = gallery.search(queries, 5)
    same(after, before)
    assert after.proven.all()


def test_a_change_encodes_its_own_rows_only(monkeypatch):
    gallery = LiveGallery(8)
    gallery.append(normal(2000, 8))
    encoded, encode = [], live.Slab._encode

    def counted(slab: live.Slab, codes: object, slots: torch.Tensor) -> None:
        encoded.append(slots.numel())
        encode(slab, codes, slots)

    monkeypatch.setattr(live.Slab, "_encode", counted)
    vector = normal(1, 8)
    for step in range(300):
        gallery.write(torch.tensor([step]), vector, delete=torch.tensor([1999 - step]))
    assert encoded == [1] * 300
    for step in range(2500):
        gallery.write(torch.tensor([step % 300]), vector)
    assert sorted(encoded)[-3:] == [1, 1, 1700]  # all anew once in so many changes as there are rows


def test_memory_follows_the_rows():
    gallery = LiveGallery(16)
    empty = gallery.nbytes
    gallery.append(normal(40_000, 16))
    full, row = gallery.nbytes, 16 * 4 + 32 * 4 + 8 + 8 + 8 + 1
    assert 40_000 * row / 2 < full < 2 * 40_000 * row
    for step in range(20):  # churn takes no more
        gallery.write(torch.arange(step * 500, step * 500 + 500), normal(500, 16))
    assert gallery.nbytes < 1.1 * full
    gallery.delete(torch.arange(10, 40_000))
    assert gallery.nbytes < empty + 40_000 * 8 * 2  # the numbers' slots stay
    assert gallery.search(normal(1, 16), 20).row.shape == (1, 10)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_readers_see_whole_writes_while_they_happen(backend, monkeypatch):
    # Version v has the rows of one of five shelves, all at distance v from the origin, and no others.
    monkeypatch.setattr(live, "LEAST", 64)
    gallery, size, versions = LiveGallery(8, backend=backend, capacity=0), 40, 400
    edge = torch.eye(8)
    stop, problems, seen = threading.Event(), [], set()

    def shelf(version: int) -> torch.Tensor:
        return torch.arange(size) + size * (version % 5)

    def stands(version: int, found: Neighbors) -> bool:
        return found.score.tolist() == [[version**2] * size] and found.row.tolist() == [shelf(version).tolist()]

    gallery.write(shelf(1), edge[1].expand(size, 8))

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            problems.append(repr(error))
            stop.set()
            raise

    def read() -> None:
        while not stop.is_set():
            with gallery.snapshot() as held:
                first = held.search(torch.zeros(1, 8), 2 * size)
                version = round(float(first.score[0, 0]) ** 0.5)
                again = held.search(torch.zeros(1, 8), 2 * size)
            seen.add(version)
            assert stands(version, first), (version, first)
            assert stands(version, again), (version, again)

    def write() -> None:
        for version in range(2, versions):
            gallery.write(shelf(version), version * edge[version % 8].expand(size, 8), delete=shelf(version - 1))
        stop.set()

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (write, read, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not problems
    assert len(seen) > 3
    assert stands(versions - 1, gallery.search(torch.zeros(1, 8), 2 * size))


def test_writers_at_once_lose_nothing():
    gallery = LiveGallery(4, capacity=0)

    def work(number: int) -> None:
        for step in range(50):
            own = number * 1000 + torch.arange(step, step + 3)
            gallery.write(own, own[:, None].expand(3, 4).float(), delete=own[:1] - 1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    expected = [number * 1000 + row for number in range(1, 5) for row in range(49, 52)]
    assert gallery.rows().tolist() == expected
    found = gallery.search(gallery.rows()[:, None].expand(12, 4).float(), 1)
    assert found.row[:, 0].tolist() == expected
    assert not found.score.any()


def test_threads_that_scan_leave_the_precision_of_matmul_as_it_was():
    setting, vectors = torch.backends.mkldnn.matmul, normal(3000, 16)
    before, setting.fp32_precision = setting.fp32_precision, "bf16"

    def scan() -> None:
        for _ in range(20):
            nearest(vectors[:4], vectors, 3)

    try:
        threads = [threading.Thread(target=scan) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        assert setting.fp32_precision == "bf16"
    finally:
        setting.fp32_precision = before


ONE = torch.ones(1, 4)


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        ('backend "triton" holds no rows', lambda gallery: LiveGallery(4, backend="triton")),
        ("backend is 'gpu'", lambda gallery: LiveGallery(4, backend="gpu")),
        ("metric is 'l1'", lambda gallery: LiveGallery(4, metric="l1")),
        ("compute is 'fp8'", lambda gallery: LiveGallery(4, compute="fp8")),
        ("d, capacity, dtype are 0", lambda gallery: LiveGallery(0)),
        ("rows is list", lambda gallery: gallery.write([1], ONE)),
        ("rows is torch.int32", lambda gallery: gallery.write(torch.tensor([1], dtype=torch.int32), ONE)),
        ("rows holds -1 to -1", lambda gallery: gallery.write(torch.tensor([-1]), ONE)),
        ("rows holds 4294967295", lambda gallery: gallery.write(torch.tensor([2**32 - 1]), ONE)),
        ("delete holds -3", lambda gallery: gallery.delete(torch.tensor([-3]))),
        ("rows holds a number twice", lambda gallery: gallery.write(torch.tensor([1, 1]), ONE.expand(2, 4))),
        ("vectors is torch.float32 (1, 4)", lambda gallery: gallery.write(torch.tensor([1, 2]), ONE)),
        ("vectors is torch.float16", lambda gallery: gallery.append(ONE.half())),
        ("vectors row 0 holds nan", lambda gallery: gallery.append(ONE * torch.nan)),
        ("queries have D = 3", lambda gallery: gallery.search(torch.ones(1, 3), 1)),
        ("k is 0", lambda gallery: gallery.search(ONE, 0)),
        ("exclude is torch.int64 (2,)", lambda gallery: gallery.search(ONE, 1, exclude=torch.tensor([0, 1]))),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_changes_nothing(message, wrong):
    gallery = LiveGallery(4)
    gallery.append(ONE)
    with pytest.raises(ValueError, match=r"^[^\n]*$") as raised:
        wrong(gallery)
    assert message in str(raised.value)
    assert gallery.rows().tolist() == [0]
