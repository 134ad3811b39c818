"""The contract of `nearest`: plain Python loop > reference > cpu."""

import pytest
import torch

from kernels.nearest import METRICS, Gallery, LiveGallery, Neighbors, contract, nearest

SIZES = (1, 7, 33, 257)
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
ONE, NINE = torch.ones(1, 1), torch.ones(9, 1)
COMPUTES = ("float32", "bfloat16", "int8")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reference(queries: torch.Tensor, gallery: torch.Tensor, k: int, **options: object) -> Neighbors:
    return nearest(queries, gallery, k, backend="reference", **options)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("g", SIZES)
def test_integers_equal_the_plain_loop(backend, g, metric, plain):
    queries, gallery = (normal(7, 5) * 2).round(), (normal(g, 5, seed=1) * 2).round()
    scores, rows = plain(queries, gallery, g, metric)
    for k in {1, 2, 10, g, g + 3}:
        found = nearest(queries, gallery, k, backend=backend, metric=metric)
        assert found.row.tolist() == [row[:k] for row in rows]
        assert found.score.tolist() == [score[:k] for score in scores]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("d", [1, 2, 37])
def test_random_values_are_scored_to_the_last_bit(backend, dtype, d, metric, plain):
    # The inputs are exact whatever their dtype; only the one rounding to float32 is allowed.
    queries, gallery = normal(5, d).to(dtype), normal(129, d, seed=1).to(dtype)
    scores, rows = plain(queries, gallery, 33, metric)
    found = nearest(queries, gallery, 33, backend=backend, metric=metric)
    assert found.row.tolist() == rows
    assert found.score.tolist() == scores


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_whole_numbers_of_eight_bits(backend, metric, plain):
    generator = torch.Generator().manual_seed(0)
    queries, gallery = (torch.randint(-128, 128, (n, 600), generator=generator).to(torch.int8) for n in (3, 40))
    scores, rows = plain(queries, gallery, 9, metric)  # beyond 2**24 a sum of squares lies between two float32
    found = nearest(queries, gallery, 9, backend=backend, metric=metric)
    assert (found.score.tolist(), found.row.tolist()) == (scores, rows)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("compute", COMPUTES)
@pytest.mark.parametrize("k", [1, 20, 256])
def test_the_cpu_proves_what_the_reference_finds(k, compute, metric, assert_same):
    for g in SIZES:
        queries, gallery = normal(33, 64), normal(g, 64, seed=g)
        found = nearest(queries, gallery, k, backend="cpu", compute=compute, metric=metric)
        assert_same(found, reference(queries, gallery, k, metric=metric))
        assert found.proven.all()  # by the scan: ordinary data never needs the fallback


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("compute", COMPUTES)
def test_a_gallery_larger_than_its_sample(compute, metric, assert_same):
    queries, gallery = normal(33, 16), normal(20_000, 16, seed=1) + 1.0
    found = nearest(queries, Gallery(gallery, metric=metric, compute=compute), 10)
    assert_same(found, reference(queries, gallery, 10, metric=metric))
    assert found.proven.all()


def test_mixed_dtypes(assert_same):
    queries, gallery = normal(7, 16), normal(33, 16, seed=1)
    for dtype in (torch.bfloat16, torch.float16):
        assert_same(nearest(queries, gallery.to(dtype), 5), reference(queries, gallery.to(dtype).float(), 5))
    whole = (gallery * 20).to(torch.int8)
    assert_same(nearest(queries, whole, 5), reference(queries, whole.float(), 5))


def test_ties_go_to_the_lower_row():
    gallery = torch.tensor([[2.0], [1.0], [0.0], [1.0], [-1.0], [0.0]])
    for backend in ("reference", "cpu"):
        found = nearest(torch.zeros(1, 1), gallery, 4, backend=backend)
        assert found.row.tolist() == [[2, 5, 1, 3]]
        assert found.score.tolist() == [[0.0, 0.0, 1.0, 1.0]]
        found = nearest(torch.ones(1, 1), gallery, 4, backend=backend, metric="cosine")
        assert found.row.tolist() == [[0, 1, 3, 2]]  # a zero row has cosine 0
        assert str(found.score.tolist()) == "[[1.0, 1.0, 1.0, 0.0]]"  # and not -0.0


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_zero_query_is_as_like_everything(backend):
    found = nearest(torch.zeros(1, 4), normal(9000, 4), 3, backend=backend, metric="cosine")
    assert (found.row.tolist(), found.score.tolist()) == ([[0, 1, 2]], [[0.0, 0.0, 0.0]])


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
    for gallery in (torch.zeros(g, 2), Gallery(torch.zeros(g, 2), backend=backend)):
        found = nearest(torch.zeros(q, 2), gallery, 3)
        assert (found.row.shape, found.score.shape, found.proven.shape) == (shape, shape, (q,))
        assert (found.row.dtype, found.score.dtype) == (torch.int64, torch.float32)


@pytest.mark.parametrize(
    ("queries", "gallery", "k", "options", "message"),
    [
        ([[1.0]], torch.ones(1, 1), 1, {}, r"queries is a list; a torch.Tensor is needed"),
        (torch.ones(3), torch.ones(1, 3), 1, {}, r"queries has shape \(3,\); two axes are needed"),
        (torch.ones(1, 0), torch.ones(1, 1), 1, {}, r"queries has shape \(1, 0\); .* D >= 1"),
        (torch.ones(1, 1), torch.ones(1, 1).double(), 1, {}, r"gallery has dtype torch.float64; allowed: torch"),
        (torch.ones(1, 2), torch.ones(1, 3), 1, {}, r"queries have D = 2 and gallery has D = 3; they must agree"),
        (torch.ones(1, 1), torch.ones(1, 1), 0, {}, r"k is 0; an int of 1 or more is needed"),
        (torch.ones(1, 1), torch.ones(1, 1), 2.0, {}, r"k is 2.0; an int of 1 or more is needed"),
        (torch.ones(1, 1), torch.ones(1, 1), True, {}, r"k is True; an int"),
        (torch.ones(1, 1), torch.ones(1, 1), 1, {"backend": "gpu"}, r"backend is 'gpu'; allowed: auto, reference, cpu"),
        (torch.ones(1, 1), torch.ones(1, 1), 1, {"metric": "l2"}, r"metric is 'l2'; allowed: sq_euclidean"),
        (torch.ones(1, 1), torch.ones(1, 1), 1, {"compute": "int4"}, r"compute is 'int4'; allowed: auto, float32"),
        (ONE, NINE, 1, {"valid": torch.ones(3).bool()}, r"valid is torch.bool \(3,\) on cpu; .* \(9,\)"),
        (ONE, NINE, 1, {"valid": torch.ones(9)}, r"valid is torch.float32 .*; .* packed uint8 \(2,\)"),
        (ONE, NINE, 1, {"group": torch.ones(9)}, r"group is torch.float32 .*; needed: torch.int64"),
        (ONE, NINE, 1, {"exclude": [1]}, r"exclude is a list; needed: torch.int64 \(1,\) on cpu"),
        (ONE, NINE, 1, {"within": torch.tensor([[2, 10]])}, r"within row 0 is 2 to 10; .* G = 9"),
        (ONE, Gallery(torch.ones(1, 1)), 1, {"metric": "cosine"}, r"the Gallery was made for 'sq_euclidean'"),
        (torch.ones(1, 1), Gallery(torch.ones(1, 1)), 1, {"compute": "float32"}, r"a Gallery brings its own"),
    ],
)  # fmt: skip
def test_refusals(queries, gallery, k, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        nearest(queries, gallery, k, **options)
    assert "\n" not in str(caught.value)


def test_tensors_on_two_devices_are_refused():
    with pytest.raises(ValueError, match="queries are on cpu and gallery is on meta; one device is needed"):
        contract.check_pair(torch.ones(1, 1), torch.ones(1, 1, device="meta"), 1)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("value", "text"), [(torch.nan, "nan"), (torch.inf, "inf"), (-torch.inf, "inf")])
@pytest.mark.parametrize("name", ["queries", "gallery"])
def test_the_first_row_that_is_not_finite_is_named(dtype, value, text, name):
    tensors = {"queries": torch.ones(5000, 3, dtype=dtype), "gallery": torch.ones(5000, 3, dtype=dtype)}
    tensors[name][4321, 1] = value
    tensors[name][4600, 0] = value
    message = f"^{name} row 4321 holds {text}; every value must be finite$"
    with pytest.raises(ValueError, match=message):
        nearest(tensors["queries"], tensors["gallery"], 1)
    if name == "gallery":
        with pytest.raises(ValueError, match=message):
            Gallery(tensors["gallery"])


def test_largest_finite_values_are_not_taken_for_infinite():
    contract.check_vectors("gallery", torch.full((3, 9), torch.finfo(torch.float16).max, dtype=torch.float16), "cosine")


def test_triton_on_a_cpu_says_why_not():
    gpu = pytest.importorskip("kernels.nearest.gpu", reason="triton is not installed", exc_type=ImportError)
    assert not gpu.INTERPRETED
    with pytest.raises(ValueError, match=r'backend "triton" cannot run: the tensors are on cpu; .*TRITON_INTERPRET=1'):
        nearest(torch.ones(1, 1), torch.ones(1, 1), 1, backend="triton")


def test_global_precision_settings_do_not_reach_the_scan(assert_same):
    queries, gallery = normal(7, 64), normal(257, 64, seed=1)
    expected = reference(queries, gallery, 5)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")  # bfloat16 on a CPU that has it
    try:
        found = nearest(queries, gallery, 5, backend="cpu", compute="float32")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert found.proven.all()
    assert_same(found, expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same(nearest(queries, gallery, 5, backend="cpu", compute="float32"), expected)


def test_inputs_that_require_gradients_and_inputs_left_alone():
    queries = normal(7, 4).requires_grad_()
    gallery = normal(33, 4, seed=1)
    copy = gallery.clone()
    for ready in (gallery, Gallery(gallery)):
        found = nearest(queries, ready, 3)
        assert not found.score.requires_grad
        assert torch.equal(gallery, copy)


def test_a_gallery_is_made_once_and_says_what_it_costs(assert_same):
    vectors = normal(300, 64)
    ready = Gallery(vectors, compute="bfloat16")
    assert ready.nbytes == 300 * (96 * 2 + 8)  # 64 values and 5 columns, aligned to 32; a norm
    for seed in range(3):
        queries = normal(5, 64, seed=seed)
        assert_same(nearest(queries, ready, 7), reference(queries, vectors, 7))


@pytest.mark.parametrize("metric", ["sq_euclidean", "inner_product"])
@pytest.mark.parametrize("value", [1e19, 1e30, 3e38])
def test_vectors_whose_scores_float32_cannot_hold_are_refused_by_name(value, metric):
    # Every distance would be inf, and the first k rows the answer, whatever they are.
    short, long = torch.eye(9), torch.eye(9)
    long[4] *= value
    live = LiveGallery(9, metric=metric)
    for asked in (
        lambda: nearest(short, long, 3, metric=metric),
        lambda: nearest(short, long, 3, metric=metric, backend="reference"),
        lambda: Gallery(long, metric=metric),
        lambda: live.append(long),
    ):
        with pytest.raises(ValueError, match=rf"^(gallery|vectors) row 4 has norm {value:.3g}".replace("+", r"\+")):
            asked()
    with pytest.raises(ValueError, match=r"^queries row 4 has norm .*; allowed: at most 4.61e\+18, so scale all"):
        nearest(long, short, 3, metric=metric)
    assert nearest(long, long, 1, metric="cosine").row[:, 0].tolist() == list(range(9))


@pytest.mark.parametrize("metric", ["sq_euclidean", "inner_product"])
def test_the_longest_vectors_that_are_allowed_have_finite_scores(metric):
    longest = torch.tensor([[2.0**62], [-(2.0**62)], [0.0], [1e-30], [1e-45]])
    found = nearest(longest, longest, 5, metric=metric)
    assert torch.isfinite(found.score).all()
    if metric == "sq_euclidean":
        assert found.row[:, 0].tolist()[:3] == [0, 1, 2]


def test_one_large_row_number_is_refused_before_memory_is_taken():
    live = LiveGallery(2)
    with pytest.raises(ValueError, match=r"^rows holds 1000000000; allowed: 0 to 134217727, since each number"):
        live.write(torch.tensor([10**9]), torch.ones(1, 2))
    assert len(live) == 0
    assert live.nbytes < 1 << 20
    few = LiveGallery(2, numbers=8)
    few.write(torch.tensor([7]), torch.ones(1, 2))
    with pytest.raises(ValueError, match="allowed: 0 to 7"):
        few.append(torch.ones(1, 2))
    assert few.rows().tolist() == [7]
