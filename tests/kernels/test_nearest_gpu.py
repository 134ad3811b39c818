"""The Triton kernel against the reference: compiled on a GPU, or in the interpreter (see test_nearest_interpret.py)."""

import pytest
import torch

from kernels.nearest import METRICS, Gallery, nearest, pack_bits

gpu = pytest.importorskip("kernels.nearest.gpu", reason="triton is not installed", exc_type=ImportError)
from kernels.nearest import gpu_scan  # noqa: E402 (triton may be absent)
from tests.kernels.on_gpu import DEVICE, DTYPES, normal  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (gpu.INTERPRETED or torch.cuda.is_available()), reason="no CUDA device"),
]


@pytest.mark.parametrize("metric", METRICS)
def test_kernel_equals_reference(case, metric, assert_same):
    queries, gallery = case.tensors(DEVICE)
    found = nearest(queries, gallery, case.k, metric=metric, backend="triton")
    assert_same(found, nearest(queries, gallery, case.k, metric=metric, backend="reference"))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("dtype", "compute"),
    [
        *((dtype, "auto") for dtype in DTYPES),
        *((torch.float32, compute) for compute in ("float32", "bfloat16", "int8")),
        (torch.float16, "int8"),
        (torch.int8, "bfloat16"),
    ],
)
@pytest.mark.parametrize("keep", [False, True])
def test_the_scan_itself_proves_the_answer(metric, dtype, compute, keep, no_fallback, assert_same):
    queries, gallery = normal(5, 20, dtype=dtype), normal(75, 20, seed=1, dtype=dtype)
    expected = nearest(queries, gallery, 4, metric=metric, backend="reference")
    if keep:
        found = nearest(queries, Gallery(gallery, metric=metric, compute=compute, backend="triton"), 4)
    else:
        found = nearest(queries, gallery, 4, metric=metric, compute=compute, backend="triton")
    assert found.proven.all()
    assert_same(found, expected)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.95, 1.0])
@pytest.mark.parametrize("metric", METRICS)
def test_only_valid_rows_answer(share, metric, assert_same):
    queries, gallery = normal(3, 8), normal(90, 8, seed=1)
    valid = torch.rand(90, generator=torch.Generator().manual_seed(2)).to(DEVICE) < share
    for given in (valid, pack_bits(valid)):
        found = nearest(queries, gallery, 7, metric=metric, valid=given, backend="triton")
        assert_same(found, nearest(queries, gallery, 7, metric=metric, valid=given, backend="reference"))
        assert found.proven.all()


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_filters_together(exclude, group, share, assert_same):
    gallery = normal(60, 5).round()
    filters = {"valid": torch.rand(60, generator=torch.Generator().manual_seed(2)).to(DEVICE) < share}
    if group:
        filters["group"] = torch.arange(60, device=DEVICE) % 11
    if exclude:
        filters["exclude"] = torch.tensor([0, 10, -1, 3], device=DEVICE)
    found = nearest(gallery[:40:10], gallery, 6, **filters, backend="triton")
    assert_same(found, nearest(gallery[:40:10], gallery, 6, **filters, backend="reference"))


def test_a_range_of_rows(assert_same):
    queries, gallery = normal(4, 8), Gallery(normal(90, 8, seed=1), compute="int8", backend="triton")
    within = torch.tensor([[0, 90], [17, 51], [17, 51], [40, 43]], device=DEVICE)
    found = nearest(queries, gallery, 5, within=within)
    assert_same(found, nearest(queries, gallery.vectors, 5, within=within, backend="reference"))


def test_a_gallery_says_what_is_scanned():
    for dtype, compute, told in (
        (torch.float32, "int8", "int8"), (torch.bfloat16, "auto", "bfloat16"), (torch.int8, "auto", "int8"),
    ):  # fmt: skip
        assert Gallery(normal(40, 8, dtype=dtype), compute=compute, backend="triton").scan == f"{told} by triton"


def test_strided_input(assert_same):
    wide = normal(24, 40)
    queries, gallery = wide[:9:4, 3:20], wide.T[:33, :17]
    found = nearest(queries, gallery, 3, backend="triton")
    assert_same(found, nearest(queries.contiguous(), gallery.contiguous(), 3, backend="reference"))


SCALES = [1e-45, 1e-30, 1e-22, 1e-10, 1e8, 1e15, 2e17, 1e30, 3e37]


@pytest.mark.parametrize(("scale", "metric"), [(s, m) for s in SCALES for m in METRICS if s < 1e18 or m == "cosine"])
def test_values_near_the_ends_of_float32(scale, metric, assert_same):
    queries, gallery = normal(3, 5) * scale, torch.cat((normal(17, 5, seed=1) * scale, normal(17, 5, seed=2)))
    gallery[3] = 0.0
    for compute in ("float32", "int8"):
        found = nearest(queries, gallery, 6, metric=metric, compute=compute, backend="triton")
        assert_same(found, nearest(queries, gallery, 6, metric=metric, backend="reference"))


def test_broken_arithmetic_is_not_believed(monkeypatch, assert_same):
    # Codes of other vectors stand for a product that errs by more than was proven.
    queries, gallery = normal(3, 8), Gallery(normal(60, 8, seed=1), compute="bfloat16", backend="triton")
    gallery.prepared.scanned.codes.mul_(1.5)
    found = nearest(queries, gallery, 5)
    assert not found.proven.any()
    assert_same(found, nearest(queries, gallery.vectors, 5, backend="reference"))


def test_a_gallery_counts_its_bytes():
    vectors = normal(64, 32)
    kept = 64 * (32 + 8)  # the sample, of all rows here
    sizes = {"bfloat16": 64 * (2 * 32 + 12) + kept + 64 * 32, "int8": 64 * (32 + 16) + kept + 64 * 32}
    for compute, size in sizes.items():
        assert Gallery(vectors, compute=compute, backend="triton").nbytes == size
    in_place = Gallery(vectors.bfloat16(), metric="cosine", backend="triton")
    assert in_place.nbytes == 64 * 4 + kept + 64 * 32
    assert in_place.prepared.scanned.codes.data_ptr() == in_place.vectors.data_ptr()


@pytest.mark.skipif(gpu.INTERPRETED, reason="nothing is compiled in the interpreter")
def test_another_catalog_size_compiles_nothing():
    def variants() -> int:
        return sum(len(cache[0]) for cache in gpu_scan.scan_kernel.device_caches.values())

    gallery = normal(5000, 64)
    for q in (3, 40, 100):  # one of each class of Q
        nearest(gallery[:q], gallery, 10, backend="triton")
    before = variants()
    for q, g in ((1, 16), (16, 1), (17, 4097), (64, 4096), (65, 33)):
        nearest(gallery[:q], gallery[:g], 10, backend="triton")
    assert variants() == before
