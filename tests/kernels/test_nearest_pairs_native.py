"""All pairs within a limit, by every variant of the compiled scan that this processor runs, and by torch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernels.nearest import Pairs, nearest, pairs_among, pairs_within
from kernels.nearest import pairs as module
from kernels.nearest.codes import RowCodes
from kernels.nearest.native import pairs as native
from kernels.nearest.native import search
from kernels.nearest.prepared import encode
from tests.kernels import test_nearest_pairs as pairs_tests
from tests.kernels.native import COMPILER, forced

pytestmark = pytest.mark.skipif(not COMPILER, reason="there is no C compiler")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def native_way(native_way: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A variant, with nothing to fall back to."""
    for name in ("_within_by_torch", "_among_by_torch"):
        monkeypatch.setattr(module, name, None)
    return native_way


@pytest.fixture
def split(split: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Split even small work among three threads, in blocks of few queries and few rows."""
    monkeypatch.setattr(native, "QUERIES", 40)
    monkeypatch.setattr(native, "BLOCK_BYTES", 1 << 14)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def listed(found: Pairs) -> list[tuple[int, int, float]]:
    return list(zip(found.query.tolist(), found.row.tolist(), found.sq_distance.tolist(), strict=True))


def expected(queries: Tensor, gallery: Tensor, limit: Tensor, among: bool = False) -> list[tuple[int, int, float]]:
    """What the ranking of all rows says."""
    every = nearest(queries, gallery, len(gallery), backend="reference")
    score = torch.empty_like(every.score).scatter_(1, every.row, every.score)
    near = score <= limit
    if among:
        near &= torch.arange(len(queries))[:, None] < torch.arange(len(gallery))
    query, row = near.nonzero().unbind(1)
    return list(zip(query.tolist(), row.tolist(), score[near].tolist(), strict=True))


@pytest.mark.usefixtures("split")
def test_what_holds_of_pairs_holds_of_every_variant(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs_tests.test_it_finds_the_pairs_that_a_loop_finds()
    pairs_tests.test_among_themselves_pairs_are_found_once_and_as_within()
    pairs_tests.test_bad_limits_are_refused()
    for scale in (1e-30, 1e-18, 1.0, 1e15):
        pairs_tests.test_it_says_what_nearest_says_whatever_the_size(scale, torch.bfloat16, monkeypatch)
    for scale in (1e-18, 1.0, 1e15):
        pairs_tests.test_a_limit_that_is_a_distance_takes_the_pair_in(scale)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (2, 1), (7, 300), (131, 7), (250, 1), (170, 65)])
def test_odd_sizes_and_limits_that_are_distances(native_way: str, split: None, n: int, d: int) -> None:
    vectors = normal(n, d) + 1.0
    vectors[n // 2 :: 5] = vectors[: len(vectors[n // 2 :: 5])].clone()  # duplicates
    distances = torch.tensor([score for _, _, score in expected(vectors, vectors, torch.full((n,), torch.inf), True)])
    for quantile in (0, len(distances) // 50, len(distances) // 2):
        limit = float(distances.sort().values[quantile]) if len(distances) else 1.0
        assert listed(pairs_among(vectors, limit)) == expected(vectors, vectors, torch.full((n,), limit), True)
    limits = torch.rand(n, generator=torch.Generator().manual_seed(1)) * 3 * d
    limits[::3], limits[1::7] = -1.0, torch.inf
    for q in {1, min(9, n), n}:
        assert listed(pairs_within(vectors[:q], vectors, limits)) == expected(vectors[:q], vectors, limits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int8])
def test_every_type_at_any_stride(native_way: str, split: None, dtype: torch.dtype) -> None:
    wide = (normal(190, 83) * 20).to(dtype)
    rows, queries = wide[:, 1::2], wide[::3, 1:].flip(0)[:, ::2]
    limit = torch.full((190,), float(nearest(queries, rows, 20, backend="reference").score[:, -1].median()))
    assert listed(pairs_within(queries, rows, limit)) == expected(queries, rows, limit)
    assert listed(pairs_among(rows, float(limit[0]))) == expected(rows, rows, limit, True)


def test_none_of_either(way: str) -> None:
    none, one = torch.empty(0, 3), torch.ones(1, 3)
    for queries, gallery in ((none, none), (none, one), (one, none), (one, one)):
        found = pairs_within(queries, gallery, torch.zeros(len(gallery)))
        assert listed(found) == [(0, 0, 0.0)] * min(len(queries), len(gallery))
        assert (found.query.dtype, found.row.dtype, found.sq_distance.dtype) == (
            torch.int64, torch.int64, torch.float32,
        )  # fmt: skip
    assert listed(pairs_among(none, 1.0)) == listed(pairs_among(one, 1.0)) == []
    assert listed(pairs_within(one, one, torch.tensor([-1.0]))) == []


def test_where_all_survive_fewer_rows_are_scanned_at_a_time(
    native_way: str, split: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, begin = [], search.begun
    monkeypatch.setattr(search, "begun", lambda *asked: begun.append(asked) or begin(*asked))
    monkeypatch.setattr(native, "PENDING", 1000)
    n = 150
    vectors = torch.cat([torch.ones(n, 5), normal(n, 5) * 100])
    assert listed(pairs_among(vectors, 0.0)) == [(i, j, 0.0) for i in range(n) for j in range(i + 1, n)]
    assert len(begun) > len(vectors) // 40 + 1
    limit = torch.tensor([3e38, torch.inf, 0.0]).repeat(2 * n // 3)
    assert listed(pairs_within(vectors, vectors, limit)) == expected(vectors, vectors, limit)
    assert len(listed(pairs_among(vectors[:50], 1e39))) == 25 * 49


def test_a_bound_that_is_not_kept_is_not_believed(native_way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    vectors = normal(300, 64)
    limit = torch.full((300,), 150.0)
    wanted = expected(vectors, vectors, limit, True)

    def broken(*rows: Tensor) -> RowCodes:
        codes = encode(*rows)
        codes.codes[:, :40] = -codes.codes[:, :40]  # as a miscompiled product would have it
        return codes

    monkeypatch.setattr(native, "encode", broken)
    with forced(native_way):
        assert listed(pairs_among(vectors, 150.0)) == wanted


def test_memory_beyond_the_pairs_is_bounded() -> None:
    # Peak memory in a process of its own: of pairs that all survive, as codes tell nothing apart, none or all are kept.
    code = """
import resource, torch
from kernels.nearest import pairs_among, pairs_within
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
rows = 1e-2 * torch.randn(90_000, 32)
rows[:, 0] = torch.tensor([0.0, 1000.0, -1000.0]).repeat(30_000)
limit = torch.full((90_000,), 1e-6)
pairs_within(rows[:9], rows, limit)
before = peak()
assert len(pairs_within(rows[1:1500:3], rows, limit).row) == 500
few = peak() - before
found = pairs_among(torch.ones(3000, 32), 0.0)
print(few, peak() - before - 2 * 20 * len(found.row) / 2**20)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    few, many = (float(word) for word in done.stdout.split())
    assert few < 128
    assert many < 192
