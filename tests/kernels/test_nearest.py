"""The contract of `nearest`: plain Python loop > reference > cpu."""

import pytest
import torch

from kernels.nearest import Neighbors, contract, cpu, exact, nearest, score

SIZES = (1, 7, 33, 257)
FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reference(queries: torch.Tensor, gallery: torch.Tensor, k: int) -> Neighbors:
    return nearest(queries, gallery, k, backend="reference")


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("g", SIZES)
@pytest.mark.parametrize("q", [1, 7, 33])
def test_integers_equal_the_plain_loop(backend, q, g, plain):
    queries, gallery = (normal(q, 5) * 2).round(), (normal(g, 5, seed=1) * 2).round()
    scores, rows = plain(queries, gallery, g)
    for k in {1, 2, 10, g, g + 3}:
        found = nearest(queries, gallery, k, backend=backend)
        assert found.row.tolist() == [row[:k] for row in rows]
        assert found.sq_distance.tolist() == [score[:k] for score in scores]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("d", [1, 2, 37])
def test_random_values_are_scored_to_the_last_bit_but_one(backend, dtype, d, plain):
    # The inputs are exact whatever their dtype; only the one rounding to float32 is allowed.
    queries, gallery = normal(7, d).to(dtype), normal(257, d, seed=1).to(dtype)
    scores, rows = plain(queries, gallery, 33)
    found = nearest(queries, gallery, 33, backend=backend)
    assert found.row.tolist() == rows
    torch.testing.assert_close(found.sq_distance, torch.tensor(scores), rtol=2**-23, atol=0.0)


@pytest.mark.parametrize("k", [1, 20, 256])
def test_cpu_equals_reference_at_every_size(k, assert_same):
    for g in SIZES:
        queries, gallery = normal(33, 64), normal(g, 64, seed=g)
        answer = cpu.answer(queries, gallery, min(k, g))
        assert_same(answer.neighbors, reference(queries, gallery, k))
        assert answer.proven.all()  # by the float32 scan: ordinary data never needs the fallback


def test_mixed_dtypes(assert_same):
    queries, gallery = normal(7, 16), normal(33, 16, seed=1).bfloat16()
    assert_same(nearest(queries, gallery, 5), reference(queries, gallery.float(), 5))


def test_ties_go_to_the_lower_row():
    gallery = torch.tensor([[2.0], [1.0], [0.0], [1.0], [-1.0], [0.0]])
    for backend in ("reference", "cpu"):
        found = nearest(torch.zeros(1, 1), gallery, 4, backend=backend)
        assert found.row.tolist() == [[2, 5, 1, 3]]
        assert found.sq_distance.tolist() == [[0.0, 0.0, 1.0, 1.0]]


@pytest.mark.parametrize("k", [1, 5, 320])
def test_more_duplicates_than_candidates(k, assert_same):
    # The k-th neighbour ties with rows that the scan left out, so its answer must be recomputed, and is.
    gallery = normal(8, 6).repeat(100, 1)
    answer = cpu.answer(gallery[:7], gallery, k)
    assert not answer.proven.any()
    assert_same(answer.neighbors, reference(gallery[:7], gallery, k))


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_near_duplicates_far_from_the_origin(offset, assert_same, plain):
    gallery = normal(257, 8) + offset
    queries = gallery[::40] + 0.125
    found = nearest(queries, gallery, 7, backend="cpu")
    assert found.row.tolist() == plain(queries, gallery, 7)[1]
    assert_same(found, reference(queries, gallery, 7))


def test_far_clusters_of_near_duplicates(assert_same):
    # No centre serves both clusters: norms are 1e16 times the distances, and float32 expansion sees only noise.
    gallery = normal(257, 8) * 1e-4
    gallery[::2] += 1e4
    naive = torch.cdist(gallery, gallery, compute_mode="use_mm_for_euclid_dist").topk(7, largest=False).indices
    expected = reference(gallery, gallery, 7)
    assert (naive != expected.row).any()
    assert_same(nearest(gallery, gallery, 7, backend="cpu"), expected)


def test_one_huge_row_does_not_spoil_the_others(assert_same):
    gallery = normal(257, 16)
    gallery[100] = 1e6
    answer = cpu.answer(normal(7, 16, seed=1), gallery, 5)
    assert answer.proven.all()
    assert_same(answer.neighbors, reference(normal(7, 16, seed=1), gallery, 5))


@pytest.mark.parametrize("scale", [1e-45, 1e-30, 1e-22, 1e-10, 1e15, 1e19, 1e30, 3e37])
def test_values_near_the_ends_of_float32(scale, assert_same):
    queries, gallery = normal(7, 9) * scale, normal(33, 9, seed=1) * scale
    assert_same(nearest(queries, gallery, 5, backend="cpu"), reference(queries, gallery, 5))
    mixed = torch.cat((gallery, normal(33, 9, seed=2)))
    assert_same(nearest(queries, mixed, 40, backend="cpu"), reference(queries, mixed, 40))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_strided_input(backend, assert_same):
    wide = normal(40, 40)
    for queries, gallery in (
        (wide[:9:4, 3:20], wide.T[:33, :17]),
        (wide[::2, ::2], wide[1::2, 1::2]),
        (wide[:1].expand(5, 40), wide[:1].expand(9, 40)),
    ):
        found = nearest(queries, gallery, 3, backend=backend)
        assert_same(found, reference(queries.contiguous(), gallery.contiguous(), 3))


@pytest.mark.parametrize("backend", ["auto", "reference", "cpu"])
@pytest.mark.parametrize(("q", "g", "shape"), [(0, 5, (0, 3)), (4, 0, (4, 0)), (0, 0, (0, 0))])
def test_empty(backend, q, g, shape):
    found = nearest(torch.zeros(q, 2), torch.zeros(g, 2), 3, backend=backend)
    assert (found.row.shape, found.sq_distance.shape) == (shape, shape)
    assert (found.row.dtype, found.sq_distance.dtype) == (torch.int64, torch.float32)


@pytest.mark.parametrize(
    ("queries", "gallery", "k", "options", "message"),
    [
        ([[1.0]], torch.ones(1, 1), 1, {}, r"queries is a list; a torch.Tensor is needed"),
        (torch.ones(3), torch.ones(1, 3), 1, {}, r"queries has shape \(3,\); two axes are needed"),
        (torch.ones(1, 0), torch.ones(1, 0), 1, {}, r"queries has shape \(1, 0\); .* D >= 1"),
        (
            torch.ones(1, 1),
            torch.ones(1, 1).double(),
            1,
            {},
            r"gallery has dtype torch.float64; allowed: torch.float32",
        ),
        (torch.ones(1, 2), torch.ones(1, 3), 1, {}, r"queries have D = 2 and gallery has D = 3; they must agree"),
        (torch.ones(1, 1), torch.ones(1, 1, device="meta"), 1, {}, r"queries are on cpu and gallery is on meta"),
        (torch.ones(1, 1), torch.ones(1, 1), 0, {}, r"k is 0; an int of 1 or more is needed"),
        (torch.ones(1, 1), torch.ones(1, 1), 2.0, {}, r"k is 2.0; an int of 1 or more is needed"),
        (torch.ones(1, 1), torch.ones(1, 1), True, {}, r"k is True; an int"),
        (
            torch.ones(1, 1),
            torch.ones(1, 1),
            1,
            {"backend": "gpu"},
            r"backend is 'gpu'; allowed: auto, reference, cpu, triton",
        ),
    ],
)
def test_refusals(queries, gallery, k, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        nearest(queries, gallery, k, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("value", "text"), [(torch.nan, "nan"), (torch.inf, "inf"), (-torch.inf, "inf")])
@pytest.mark.parametrize("name", ["queries", "gallery"])
def test_the_first_row_that_is_not_finite_is_named(dtype, value, text, name):
    tensors = {"queries": torch.ones(5000, 3, dtype=dtype), "gallery": torch.ones(5000, 3, dtype=dtype)}
    tensors[name][4321, 1] = value
    tensors[name][4600, 0] = value
    with pytest.raises(ValueError, match=f"^{name} row 4321 holds {text}; every value must be finite$"):
        nearest(tensors["queries"], tensors["gallery"], 1)


def test_largest_finite_values_are_not_taken_for_infinite():
    contract.check(torch.full((3, 9), torch.finfo(torch.float16).max, dtype=torch.float16), torch.ones(1, 9), 1)


def test_triton_on_a_cpu_says_why_not():
    gpu = pytest.importorskip("kernels.nearest.gpu", reason="triton is not installed", exc_type=ImportError)
    assert not gpu.INTERPRETED
    with pytest.raises(ValueError, match=r'backend "triton" cannot run: the tensors are on cpu; .*TRITON_INTERPRET=1'):
        nearest(torch.ones(1, 1), torch.ones(1, 1), 1, backend="triton")


@pytest.mark.parametrize("kind", ["random", "integer", "clusters"])
def test_blocks_of_any_size_give_the_same_answer(kind, monkeypatch, assert_same):
    queries, gallery = normal(33, 7), normal(257, 7, seed=1)
    if kind == "integer":
        queries, gallery = queries.round(), gallery.round()
    if kind == "clusters":
        gallery[::2] += 1e6
    expected = reference(queries, gallery, 12)
    largest = 0
    addmm = torch.addmm

    def watched(bias: torch.Tensor, x: torch.Tensor, y: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, out.untyped_storage().nbytes())
        return addmm(bias, x, y, out=out)

    monkeypatch.setattr(torch, "addmm", watched)
    for scores_bytes in (4, 300, 5000):
        largest = 0
        monkeypatch.setattr(cpu, "SCORE_BYTES", scores_bytes)
        monkeypatch.setattr(exact, "SCAN_BYTES", 2 * scores_bytes)
        monkeypatch.setattr(score, "BLOCK_BYTES", scores_bytes)
        monkeypatch.setattr(cpu, "CACHE_BYTES", scores_bytes)
        assert_same(nearest(queries, gallery, 12, backend="cpu"), expected)
        assert_same(exact.search(queries, gallery, 12), expected)
        assert 0 < largest <= scores_bytes


def test_the_bound_is_a_bound_and_a_tight_one():
    queries, gallery = normal(33, 100) * 3, normal(257, 100, seed=1).exp()  # skewed: norms differ by tenfold
    found = cpu._scan(queries, gallery, 100)
    true = (queries.double()[:, None] - gallery.double()[found.row]).square().sum(dim=2)
    slack = true - found.lower
    assert (slack >= 0).all()
    assert slack.max() < 1e-4 * (queries.square().sum(dim=1).max() + gallery.square().sum(dim=1).max())


def test_an_arithmetic_that_breaks_the_bound_is_not_believed(monkeypatch, assert_same):
    # As TF32 or bfloat16 matrix units would behind our back.
    queries, gallery = normal(7, 64), normal(257, 64, seed=1)
    addmm = torch.addmm

    def rounded(bias: torch.Tensor, x: torch.Tensor, y: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
        return addmm(bias, x.bfloat16().float(), y.bfloat16().float(), out=out)

    monkeypatch.setattr(torch, "addmm", rounded)
    answer = cpu.answer(queries, gallery, 5)
    assert not answer.proven.any()
    assert_same(answer.neighbors, reference(queries, gallery, 5))


def test_global_precision_settings_do_not_reach_the_scan(assert_same):
    queries, gallery = normal(7, 64), normal(257, 64, seed=1)
    expected = reference(queries, gallery, 5)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")  # bfloat16 on a CPU that has it
    try:
        answer = cpu.answer(queries, gallery, 5)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert answer.proven.all()
    assert_same(answer.neighbors, expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same(nearest(queries, gallery, 5, backend="cpu"), expected)


def test_inputs_that_require_gradients_and_inputs_left_alone():
    queries = normal(7, 4).requires_grad_()
    gallery = normal(33, 4, seed=1)
    copy = gallery.clone()
    found = nearest(queries, gallery, 3)
    assert not found.sq_distance.requires_grad
    assert torch.equal(gallery, copy)
