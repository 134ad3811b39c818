"""What the Triton kernel reads and keeps: thresholds, tiles, splits, and more candidates than there is room for."""

import pytest
import torch

from kernels.nearest import nearest, pack_bits

gpu = pytest.importorskip("kernels.nearest.gpu", reason="triton is not installed", exc_type=ImportError)
from kernels.nearest import gpu_queries, gpu_rows, gpu_scan, gpu_seed  # noqa: E402 (triton may be absent)
from kernels.nearest.contract import Admission  # noqa: E402
from kernels.nearest.tiles import choose  # noqa: E402
from tests.kernels.on_gpu import DEVICE, normal  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (gpu.INTERPRETED or torch.cuda.is_available()), reason="no CUDA device"),
]


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
            reach = reach * queries.ratio.double() + rows.error.double()
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
        queries, queries.depth, pack_bits(valid) if filtered else None, sample, 1, g, queries.ratio
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
    row, _, count, _ = gpu_scan._launch(encoded, encoded.depth, pack_bits(valid), sample, 5, 6 * width, encoded.ratio)
    taken = torch.arange(row.shape[2], device=DEVICE) < count[:, :, None]
    for query in range(3):
        assert sorted(row[query][taken[query]].tolist()) == valid.nonzero()[:, 0].tolist()


def overflowing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Leave room for a handful of survivors, and count how often that is too little."""
    monkeypatch.setattr(gpu_scan, "ROOM", 4)
    monkeypatch.setattr(gpu_seed, "LEAST_ROOM", 8)
    monkeypatch.setattr(gpu_seed.Sample, "expected", lambda self, wanted: 0)
    monkeypatch.setattr(gpu_seed, "SMALLEST", 24)  # a sample that cannot know
    monkeypatch.setattr(gpu_seed, "rank_of", lambda wanted, share: 20)
    seen, before = [], gpu.scan

    def scan(*args: object, **named: object) -> object:
        table, overflown, survivors = before(*args, **named)
        seen.append(int(overflown.sum()))
        return table, overflown, survivors

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
