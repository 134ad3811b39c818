"""The scan's bounds are bounds, and whatever they cannot prove is recomputed: on data made to break them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kernels.nearest import METRICS, Gallery, Neighbors, cpu, exact, nearest, prepared, resolve, score, seed, survive
from kernels.nearest.contract import Admission
from kernels.nearest.encode import coding_of, encode_queries

ROOT = Path(__file__).parents[2]
TYPES = ("float32", "bfloat16", "int8")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reference(queries: torch.Tensor, gallery: torch.Tensor, k: int, metric: str = "sq_euclidean") -> Neighbors:
    return nearest(queries, gallery, k, metric=metric, backend="reference")


KINDS = {
    "normal": lambda: (normal(9, 40), normal(300, 40, seed=1)),
    "skewed": lambda: (normal(9, 40) * 3, normal(300, 40, seed=1).exp()),
    "far": lambda: (normal(9, 40) + 1e4, normal(300, 40, seed=1) + 1e4),
    "one huge row": lambda: (normal(9, 40), torch.cat((normal(299, 40, seed=1), normal(1, 40) * 1e9))),
    "zeros": lambda: (torch.zeros(9, 40), torch.cat((torch.zeros(150, 40), normal(150, 40, seed=1)))),
    "tiny": lambda: (normal(9, 40) * 1e-30, normal(300, 40, seed=1) * 1e-30),
    "denormal": lambda: (normal(9, 40) * 1e-41, normal(300, 40, seed=1) * 1e-41),
    "sparse": lambda: (normal(9, 40) * (normal(9, 40, seed=2) > 1), normal(300, 40) * (normal(300, 40, seed=3) > 1.5)),
    "one hot": lambda: (torch.eye(40)[:9] * 1.003, torch.eye(40).repeat(8, 1)[:300] * 0.997),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("compute", TYPES)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_bounds_hold_for_every_pair_and_are_tight(kind, compute, metric):
    queries, gallery = KINDS[kind]()
    ready = Gallery(gallery, metric=metric, compute=compute).prepared
    codes = encode_queries(ready.coding, queries)
    everything = torch.full((9,), -torch.inf, dtype=torch.float64)
    found, overflown = survive.survivors(codes, everything, ready, Admission(), survive.limits_of(300, Admission()))
    assert not overflown.any()
    assert found.row.tolist() == [list(range(300))] * 9
    true = score.sign(metric) * score.pair_scores(queries, gallery, found.row, metric).double()
    assert (found.near.float() <= true).all()
    assert (true <= found.far.float()).all()
    if kind == "normal":
        size = 1.0 if metric == "cosine" else 2.0 * queries.norm(dim=1).max() * gallery.norm(dim=1).max()
        assert (found.far - found.near).max() < {"float32": 1e-3, "bfloat16": 3e-2, "int8": 3e-1}[compute] * size


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("compute", TYPES)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_difficult_data_has_the_same_answer(kind, compute, metric, assert_same):
    queries, gallery = KINDS[kind]()
    found = nearest(queries, gallery, 7, metric=metric, compute=compute, backend="cpu")
    assert_same(found, reference(queries, gallery, 7, metric))
    if kind in ("normal", "skewed", "far", "one huge row"):
        assert found.proven.all()


SCALES = [1e-45, 1e-30, 1e-22, 1e-10, 1e15, 2e17, 1e19, 1e30, 3e37]


@pytest.mark.parametrize(("scale", "metric"), [(s, m) for s in SCALES for m in METRICS if s < 1e18 or m == "cosine"])
def test_values_near_the_ends_of_float32(scale, metric, assert_same):
    queries, gallery = normal(7, 9) * scale, normal(33, 9, seed=1) * scale
    mixed = torch.cat((gallery, normal(33, 9, seed=2)))
    for rows, k in ((gallery, 5), (mixed, 40)):
        assert_same(nearest(queries, rows, k, backend="cpu", metric=metric), reference(queries, rows, k, metric))
        again = exact.search(queries, rows, k, metric, Admission())
        assert_same(Neighbors(*again, torch.ones(7)), reference(queries, rows, k, metric))


def test_far_clusters_of_near_duplicates(assert_same):
    # No centre serves both clusters: norms are 1e16 times the distances, and float32 expansion sees only noise.
    gallery = normal(257, 8) * 1e-4
    gallery[::2] += 1e4
    naive = torch.cdist(gallery, gallery, compute_mode="use_mm_for_euclid_dist").topk(7, largest=False).indices
    expected = reference(gallery, gallery, 7)
    assert (naive != expected.row).any()
    assert_same(nearest(gallery, gallery, 7, backend="cpu"), expected)


@pytest.mark.parametrize("k", [1, 5, 40])
def test_more_duplicates_than_survivors(k, monkeypatch, assert_same):
    # The k-th neighbour ties with more rows than a scan may keep.
    monkeypatch.setattr(survive, "LEAST_SURVIVORS", 8)
    monkeypatch.setattr(survive, "PENDING", 56)
    gallery = normal(8, 6).repeat(400, 1)
    found = nearest(gallery[:7], gallery, k, backend="cpu")
    assert not found.proven.any()
    assert_same(found, reference(gallery[:7], gallery, k))


@pytest.mark.parametrize("gallery", ["equal", "sorted", "reversed", "two values"])
def test_galleries_made_to_overflow(gallery, monkeypatch, assert_same):
    monkeypatch.setattr(survive, "LEAST_SURVIVORS", 64)
    monkeypatch.setattr(survive, "PENDING", 256)
    line = torch.linspace(0.0, 1.0, 9000)[:, None] * torch.ones(1, 4)
    rows = {
        "equal": line[:1].expand(9000, 4) + 3.0,
        "sorted": line,
        "reversed": line.flip(0),
        "two values": (line > 0.5).float(),
    }[gallery]
    queries = torch.tensor([[0.0], [0.3], [1.0], [7.0]]).expand(4, 4)
    for metric in METRICS:
        found = nearest(queries, Gallery(rows, metric=metric), 20)
        assert_same(found, reference(queries, rows, 20, metric))


@pytest.mark.parametrize("guess", ["far too high", "a little too high", "far too low"])
def test_a_wrong_guess_costs_a_round_and_no_neighbour(guess, monkeypatch, assert_same):
    queries, gallery = normal(9, 16), normal(6000, 16, seed=1)
    threshold, calls = cpu.threshold, []

    def wrong(codes, sample, wanted):
        calls.append(wanted)
        if len(calls) > 1:
            return threshold(codes, sample, wanted)
        return threshold(codes, sample, {"far too high": 1, "a little too high": 9, "far too low": 3000}[guess]) + (
            50.0 if guess == "far too high" else 0.0
        )

    monkeypatch.setattr(cpu, "threshold", wrong)
    found = nearest(queries, Gallery(gallery), 20)
    assert found.proven.all()
    assert_same(found, reference(queries, gallery, 20))


def test_an_arithmetic_that_breaks_the_bound_is_not_believed(monkeypatch, assert_same):
    # As TF32 or bfloat16 matrix units would behind our back.
    queries, gallery = normal(7, 64), normal(257, 64, seed=1)
    mm = torch.mm

    def rounded(x: torch.Tensor, y: torch.Tensor, *, out: torch.Tensor | None = None) -> torch.Tensor:
        return mm(x.bfloat16().to(x.dtype), y.bfloat16().to(y.dtype), out=out)

    monkeypatch.setattr(torch, "mm", rounded)
    monkeypatch.setenv("NEAREST_NATIVE", "none")  # test_nearest_native.py has the same of the compiled scan
    found = cpu.answer(queries, cpu.prepare(gallery, "sq_euclidean", "float32", keep=False), 5, Admission())
    assert not found.proven.any()
    monkeypatch.setattr(torch, "mm", mm)
    assert_same(found, reference(queries, gallery, 5))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["normal", "integer", "clusters"])
def test_blocks_of_any_size_give_the_same_answer(kind, metric, monkeypatch, assert_same):
    queries, gallery = normal(33, 7), normal(257, 7, seed=1)
    if kind == "integer":
        queries, gallery = queries.round(), gallery.round()
    if kind == "clusters":
        gallery[::2] += 1e6
    expected = reference(queries, gallery, 12, metric)
    for size in (64, 300, 5000):
        monkeypatch.setattr(survive, "SCORE_BYTES", size)
        monkeypatch.setattr(survive, "LEAST_ROWS", 16)
        monkeypatch.setattr(survive, "FEW_SCORES", size)
        monkeypatch.setattr(prepared, "ENCODE_BYTES", size)
        monkeypatch.setattr(cpu, "QUERIES", size // 60)
        monkeypatch.setattr(cpu, "ONE_SHOT_QUERIES", size // 60)
        monkeypatch.setattr(exact, "SCAN_BYTES", 2 * size)
        monkeypatch.setattr(score, "BLOCK_BYTES", size)
        monkeypatch.setattr(seed, "LEAST", size // 10)
        assert_same(nearest(queries, gallery, 12, backend="cpu", metric=metric), expected)
        assert_same(nearest(queries, Gallery(gallery, metric=metric), 12), expected)
        assert_same(Neighbors(*exact.search(queries, gallery, 12, metric, Admission()), expected.proven), expected)


def test_a_row_outside_that_ties_is_not_lost():
    # The cut must be strictly beyond the k-th score: a row that ties with it and has a lower number belongs.
    found = resolve.Survivors(
        torch.tensor([[1]]),
        *(torch.full((1, 1), cost, dtype=torch.float64) for cost in (4.0, 4.0)),
        torch.tensor([4.0]),
    )
    gallery = torch.tensor([[2.0], [-2.0]])
    result = resolve.resolve(torch.zeros(1, 1), gallery, 1, "sq_euclidean", Admission(), found, score.pair_scores)
    assert not result.proven.any()
    assert float(resolve.beyond(result.limit)) > 4.0


def test_the_centre_shortens_what_is_scanned():
    gallery = normal(500, 8) + 100.0
    coding = coding_of(gallery, "inner_product", torch.bfloat16)
    assert (gallery - coding.centre).norm(dim=1).max() < 10.0


@pytest.mark.parametrize("metric", METRICS)
def test_the_centre_of_one_row_expanded_is_that_row(metric):
    row = normal(1, 8)
    centre = coding_of(row.expand(500, 8), metric, torch.bfloat16).centre
    assert torch.allclose(centre, row[0] / (row.norm() if metric == "cosine" else 1.0))


def test_memory_does_not_grow_with_the_gallery():
    # Peak memory above the inputs, in a process of its own: ordinary rows, and rows that all tie.
    code = """
import resource, sys, torch
from kernels.nearest import Gallery, nearest
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
rows = torch.randn(400_000, 64) if sys.argv[1] == "normal" else torch.ones(400_000, 64)
ready = Gallery(rows) if sys.argv[2] == "gallery" else rows
queries = torch.randn(256, 64)
nearest(queries, rows[:1000], 20); nearest(queries[:1], ready, 1)
before = peak()
nearest(queries, ready, int(sys.argv[3]))
print(peak() - before)
"""
    for rows, ready, k in (("normal", "gallery", 20), ("normal", "tensor", 1000), ("equal", "gallery", 20)):
        command = [sys.executable, "-c", code, rows, ready, str(k)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
        assert float(result.stdout) < 256, (rows, ready, k, result.stdout)
