"""The Triton kernel against the reference: compiled on a GPU, or in the interpreter (see test_nearest_interpret.py)."""

import pytest
import torch

from kernels.nearest import nearest

gpu = pytest.importorskip("kernels.nearest.gpu", reason="triton is not installed", exc_type=ImportError)

DEVICE = "cpu" if gpu.INTERPRETED else "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (gpu.INTERPRETED or torch.cuda.is_available()), reason="no CUDA device"),
]


def test_kernel_equals_reference(case, assert_same):
    queries, gallery = case.tensors(DEVICE)
    found = nearest(queries, gallery, case.k, backend="triton")
    assert_same(found, nearest(queries, gallery, case.k, backend="reference"))


@pytest.mark.parametrize("processors", [0, 2])  # one split of all tiles, or several
def test_the_scan_brings_the_nearest_rows_in_order(processors, monkeypatch):
    # The fallback mends whatever a broken scan leaves unproven, so look at the scan alone. Queries that lie on gallery
    # rows have negative scores |g|^2 - 2 q.g as well as positive ones.
    monkeypatch.setattr(gpu, "_processors", lambda device: processors)
    gallery = torch.randn(76, 8, generator=torch.Generator().manual_seed(4)).to(DEVICE)
    queries = gallery[10:70:20] * 1.01
    found = gpu._scan(queries, gallery, 4)
    count = found.row.shape[1]
    assert 8 <= count < 76
    assert found.row.tolist() == nearest(queries, gallery, count, backend="reference").row.tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_scan_itself_proves_the_answer(dtype):
    # Else the fallback answers, and every comparison above would hold with a broken kernel.
    generator = torch.Generator().manual_seed(5)
    queries, gallery = torch.randn(3, 40, generator=generator), torch.randn(40, 40, generator=generator)
    answer = gpu.answer(queries.to(dtype).to(DEVICE), gallery.to(dtype).to(DEVICE), 2)
    assert answer.proven.all()


def test_strided_input(assert_same):
    generator = torch.Generator().manual_seed(1)
    wide = torch.randn(24, 40, generator=generator).to(DEVICE)
    queries, gallery = wide[:9:4, 3:20], wide.T[:33, :17]
    found = nearest(queries, gallery, 3, backend="triton")
    assert_same(found, nearest(queries.contiguous(), gallery.contiguous(), 3, backend="reference"))


def test_a_gallery_of_several_launches(assert_same, monkeypatch):
    generator = torch.Generator().manual_seed(2)
    queries, gallery = (
        torch.randn(3, 4, generator=generator).to(DEVICE),
        torch.randn(30, 4, generator=generator).to(DEVICE),
    )
    expected = nearest(queries, gallery, 5, backend="reference")
    monkeypatch.setattr(gpu, "ROWS_PER_LAUNCH", 11)
    monkeypatch.setattr(gpu, "QUERIES_PER_LAUNCH", 2)
    assert_same(nearest(queries, gallery, 5, backend="triton"), expected)


def test_equal_scores_keep_the_lower_rows_in_the_scan():
    # 40 equal rows: the candidates must be the first ones, as a key's low half is its row.
    queries, gallery = torch.ones(1, 3, device=DEVICE), torch.zeros(40, 3, device=DEVICE)
    found = gpu._scan(queries, gallery, 3)
    assert sorted(found.row[0].tolist()) == list(range(found.row.shape[1]))


@pytest.mark.skipif(gpu.INTERPRETED, reason="nothing is compiled in the interpreter")
def test_another_catalog_size_compiles_nothing():
    def variants() -> int:
        return sum(len(cache[0]) for cache in gpu.nearest_scan_kernel.device_caches.values())

    gallery = torch.randn(5000, 64, device=DEVICE)
    nearest(gallery[:3], gallery, 10, backend="triton")
    before = variants()
    for q, g in ((1, 16), (16, 1), (17, 4097), (32, 4096)):
        nearest(gallery[:q], gallery[:g], 10, backend="triton")
    assert variants() == before
