"""The Triton kernel against the reference: compiled on a GPU, or in the interpreter (see test_nearest_interpret.py)."""

import pytest
import torch

from kernels.nearest import METRICS, Gallery, nearest, pack_bits

gpu = pytest.importorskip("kernels.nearest.gpu", reason="triton is not installed", exc_type=ImportError)
from kernels.nearest import exact, gpu_queries, gpu_rows, gpu_scan, gpu_seed  # noqa: E402 (triton may be absent)
from kernels.nearest.contract import Admission  # noqa: E402
from kernels.nearest.tiles import choose  # noqa: E402

DEVICE = "cpu" if gpu.INTERPRETED else "cuda"
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int8)
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (gpu.INTERPRETED or torch.cuda.is_available()), reason="no CUDA device"),
]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return (values.mul(20).round().clamp(-127, 127) if dtype == torch.int8 else values).to(dtype).to(DEVICE)


@pytest.fixture
def no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the scan alone answer: else the fallback mends whatever a broken kernel leaves unproven."""

    def refuse(*args: object) -> None:
        raise AssertionError("the fallback was asked")

    monkeypatch.setattr(exact, "search", refuse)


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


def scanned(queries, gallery, dtype, metric="sq_euclidean"):
    rows = gpu_rows.encode(gallery, metric, dtype)
    return rows, gpu_queries.encode(queries, rows), gpu_seed.sample_of(rows, Admission())


def plain_bounds(queries, rows):
    """Compute the kernel's bounds without its blocks: [H, G] float64."""
    bound = queries.codes.double() @ rows.codes.double().T
    if rows.scale is not None:
        bound *= rows.scale.double()
    if rows.bias is not None:
        bound += queries.inverse.double()[:, None] * rows.bias.double()
    if rows.length is not None:
        reach = rows.length.double()
        if rows.error is not None:
            reach = reach * queries.ratio + rows.error.double()
        bound += queries.lift.double()[:, None] * reach
    return bound


@pytest.mark.parametrize("processors", [0, 1, 3])  # one split of all tiles, or several
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int8])
@pytest.mark.parametrize("filtered", [False, True])
def test_the_kernel_appends_what_reaches_the_threshold(processors, dtype, filtered, monkeypatch):
    monkeypatch.setattr(gpu_scan, "processors", lambda device: processors)
    rows, queries, sample = scanned(normal(3, 20), normal(150, 20, seed=1), dtype)
    expected = plain_bounds(queries, rows)
    least = expected.quantile(0.8, dim=1).float()
    valid = torch.rand(150, generator=torch.Generator().manual_seed(2)).to(DEVICE) < 0.3
    valid[40:100] = False  # whole tiles
    packed = pack_bits(valid) if filtered else None
    row, bound, count, used = gpu_scan._launch(queries, least, packed, sample, 4, 1000, queries.ratio)
    assert used is least
    assert row.shape[1] == max(1, processors) or not gpu.INTERPRETED  # a GPU's tiles are fewer here
    for query in range(3):
        taken = torch.arange(row.shape[2], device=DEVICE) < count[query, :, None]
        found, reached = row[query][taken], bound[query][taken].double()
        true = expected[query]
        slack = gpu_queries.PACKED * (true.abs() + queries.size[query].double() * rows.longest)
        admitted = valid if filtered else torch.ones_like(valid)
        surely, maybe = (admitted & (true + side * slack > least[query]) for side in (-1, 1))
        assert found.numel() == found.unique().numel()
        assert set(surely.nonzero()[:, 0].tolist()) <= set(found.tolist()) <= set(maybe.nonzero()[:, 0].tolist())
        assert ((reached - true[found]).abs() <= slack[found]).all()


def test_thresholds_are_sharpened_on_the_way(monkeypatch, no_fallback, assert_same):
    monkeypatch.setattr(gpu_scan, "SHARPEN_TILES", 2)
    monkeypatch.setattr(gpu_scan, "FEW", 0)
    monkeypatch.setattr(gpu_seed, "rank_of", lambda wanted, share: 60)  # a guess that lets far too many survive
    monkeypatch.setattr(gpu_seed, "SMALLEST", 64)
    sharpened, before = [], gpu_scan._sharpened

    def sharpen(queries: object, least: torch.Tensor, *args: object) -> torch.Tensor:
        sharpened.append((least, before(queries, least, *args)))
        return sharpened[-1][1]

    monkeypatch.setattr(gpu_scan, "_sharpened", sharpen)
    queries, gallery = normal(3, 8), normal(330, 8, seed=1)
    for valid in (None, torch.arange(330, device=DEVICE) % 120 < 50):
        found = nearest(queries, gallery, 2, valid=valid, backend="triton")
        assert_same(found, nearest(queries, gallery, 2, valid=valid, backend="reference"))
    assert all((after >= first).all() for first, after in sharpened)
    assert any((after > first).any() for first, after in sharpened)


@pytest.mark.parametrize("tiles", [1, 15, 16, 17, 33])
@pytest.mark.parametrize("filtered", [False, True])
def test_every_tile_is_read_once(tiles, filtered, monkeypatch):
    monkeypatch.setattr(gpu_scan, "SHARPEN_TILES", 1)
    monkeypatch.setattr(gpu_scan, "FEW", 0)
    monkeypatch.setattr(gpu_scan, "_sharpened", lambda queries, least, *args: least)
    width = choose(gpu_scan.arch(torch.device(DEVICE)), 2, 1, 8)[0].block_g
    g = width * tiles - 3
    _, queries, sample = scanned(normal(1, 8), normal(g, 8, seed=1), torch.bfloat16)
    valid = torch.arange(g, device=DEVICE) % 5 == 0
    if filtered:
        valid[: tiles // 3 * width] = False
    row, _, count, _ = gpu_scan._launch(
        queries, queries.depth, pack_bits(valid) if filtered else None, sample, 1, g, 1.0
    )
    taken = torch.arange(row.shape[2], device=DEVICE) < count[:, :, None]
    expected = valid.nonzero()[:, 0].tolist() if filtered else list(range(g))
    assert sorted(row[taken].tolist()) == expected


def test_a_tile_without_a_valid_row_is_not_read():
    # Rows 32 to 63 are whole tiles of the interpreter, 256 to 511 of any GPU.
    width = 16 if gpu.INTERPRETED else 256
    queries, gallery = normal(3, 8), normal(6 * width, 8, seed=1)
    valid = torch.ones(6 * width, dtype=torch.bool, device=DEVICE)
    valid[2 * width : 4 * width] = False
    rows, encoded, sample = scanned(queries, gallery, torch.float32)
    rows.codes[2 * width : 4 * width] = torch.nan
    row, _, count, _ = gpu_scan._launch(encoded, encoded.depth, pack_bits(valid), sample, 5, 6 * width, 1.0)
    taken = torch.arange(row.shape[2], device=DEVICE) < count[:, :, None]
    for query in range(3):
        assert sorted(row[query][taken[query]].tolist()) == valid.nonzero()[:, 0].tolist()


def overflowing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Leave room for a handful of survivors, and count how often that is too little."""
    monkeypatch.setattr(gpu_scan, "ROOM", 4)
    monkeypatch.setattr(gpu, "LEAST_MOST", 8)
    monkeypatch.setattr(gpu_seed.Sample, "expected", lambda self, wanted: 0)
    monkeypatch.setattr(gpu_seed, "SMALLEST", 24)  # a sample that cannot know
    monkeypatch.setattr(gpu_seed, "rank_of", lambda wanted, share: 20)
    seen, before = [], gpu.scan

    def scan(*args: object) -> object:
        table, overflown = before(*args)
        seen.append(int(overflown.sum()))
        return table, overflown

    monkeypatch.setattr(gpu, "scan", scan)
    return seen


@pytest.mark.parametrize("kind", ["random", "sorted", "duplicates", "equal"])
def test_overflow_is_noticed_and_the_answer_exact(kind, monkeypatch, assert_same):
    seen = overflowing(monkeypatch)
    gallery = normal(150, 6)
    queries = gallery[:5] * 1.01
    if kind == "sorted":
        gallery = gallery[torch.cdist(gallery, queries[:1])[:, 0].argsort(descending=True)]
    if kind == "duplicates":
        gallery = gallery[:6].repeat(25, 1)
    if kind == "equal":
        gallery = gallery[:1].expand(150, 6)
    found = nearest(queries, gallery, 3, backend="triton")
    assert_same(found, nearest(queries, gallery, 3, backend="reference"))
    assert seen[0] > 0
    if kind == "random":
        assert found.proven.any()  # what was kept of too many taught a threshold that left few
    if kind == "equal":
        assert not found.proven.any()


def test_splits_change_nothing(monkeypatch):
    queries, gallery = normal(20, 8), normal(100, 8, seed=1).bfloat16()
    answers = []
    for processors in (1, 2, 5):
        monkeypatch.setattr(gpu_scan, "processors", lambda device, count=processors: count)
        answers.append(nearest(queries, gallery, 5, backend="triton"))
    assert all(answer.row.equal(answers[0].row) and answer.score.equal(answers[0].score) for answer in answers)


def test_several_launches(assert_same, monkeypatch):
    queries, gallery = normal(7, 4), normal(40, 4, seed=1)
    monkeypatch.setattr(gpu, "MOST_QUERIES", 3)
    assert_same(nearest(queries, gallery, 5, backend="triton"), nearest(queries, gallery, 5, backend="reference"))


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
