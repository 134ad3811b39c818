"""A gallery that changes: what it promises of memory, threads, cost and errors."""

import threading
from collections.abc import Callable

import pytest
import torch

from kernels.nearest import LiveGallery, Neighbors, live, nearest
from tests.kernels.live import FAR, fresh, normal, same


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
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_a_snapshot_narrows_to_some_of_its_rows(backend, share):
    gallery, kept, rng = LiveGallery(8, backend=backend), {}, torch.Generator().manual_seed(3)
    vectors = torch.randint(-2, 3, (5000, 8), generator=rng).float()  # of which many are at one distance
    gallery.append(vectors)
    kept |= dict(enumerate(vectors))
    gallery.write(torch.arange(0, 400, 3), vectors[:134] + 1, delete=torch.arange(1, 900, 3))
    kept |= dict(zip(range(0, 400, 3), vectors[:134] + 1, strict=True))
    valid = torch.rand(4700, generator=rng) < share  # those from 4,700 on are not told of
    left = {row: kept[row] for row in kept if not (row % 3 == 1 and row < 900) and row < 4700 and valid[row]}
    with gallery.snapshot() as seen:
        found = seen.among(valid).search(vectors[:4], 30)
    if left:
        same(found, fresh(left, vectors[:4], 30, "sq_euclidean"))
    assert found.row.shape[1] == min(30, len(left))


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
