"""The Triton kernel that scores pairs, against whole numbers: compiled on a GPU, or in the interpreter."""

import pytest
import torch

from kernels.nearest import METRICS, score

gpu = pytest.importorskip("kernels.nearest.gpu", reason="triton is not installed", exc_type=ImportError)
from kernels.nearest import gpu_score, rational  # noqa: E402 (triton may be absent)
from tests.kernels.on_gpu import DEVICE, DTYPES, normal  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (gpu.INTERPRETED or torch.cuda.is_available()), reason="no CUDA device"),
]


def listed(h: int, c: int, g: int) -> torch.Tensor:
    """List rows [H, C], of which a third are none, and of the second query all."""
    generator = torch.Generator().manual_seed(5)
    row = torch.randint(0, g, (h, c), generator=generator)
    row[torch.rand(h, c, generator=generator) < 0.3] = -1
    row[1] = -1
    return row.to(DEVICE)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 7, 64, 150])
def test_scores_are_those_of_whole_numbers(metric, dtype, d):
    queries, gallery = normal(3, d, dtype=dtype), normal(40, d, seed=1, dtype=dtype)
    gallery[7], gallery[8] = queries[0], 0
    row = listed(3, 35, 40)
    row[0, :2] = torch.tensor([7, 8])
    found = gpu_score.pair_scores(queries, gallery, row, metric)
    query, column = torch.nonzero(row >= 0, as_tuple=True)
    true = rational.scores(queries[query].double().cpu(), gallery[row[query, column]].double().cpu(), metric)
    assert found[query, column].tolist() == true.tolist()
    assert (found[row < 0] == score.nothing(metric)).all()
    assert found.tolist() == score.pair_scores(queries, gallery, row, metric).tolist()


@pytest.mark.skipif(gpu.INTERPRETED, reason="it takes two gigabytes of a GPU")
def test_a_gallery_that_lies_by_columns_may_be_larger_than_32_bits_count():
    gallery = torch.zeros((512, 4_300_000), dtype=torch.int8, device=DEVICE).T
    rows = torch.tensor([[0, 4_299_999, 77]], device=DEVICE)
    gallery[rows[0]] = torch.randint(-127, 128, (3, 512), dtype=torch.int8, device=DEVICE)
    queries = normal(1, 512)
    found = gpu_score.pair_scores(queries, gallery, rows, "sq_euclidean")
    assert found.tolist() == score.pair_scores(queries, gallery, rows, "sq_euclidean").tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_nearly_all_are_known_without_another_look(metric):
    queries, gallery = normal(4, 96), normal(500, 96, seed=1)
    gallery[3] = queries[2]  # a photo that is in the catalog
    row = torch.arange(500, device=DEVICE).expand(4, -1)
    low, high = gpu_score.brackets(queries, gallery, row, metric)
    # The sums' order alone decides: a product of 1 that float32 rounds to either side is the one that may be open.
    assert int((low != high).sum()) <= (0 if metric == "sq_euclidean" else 1)


def test_strides_and_values_at_the_ends_of_float32():
    for size in (1e-45, 1e-30, 1e15, 1e18):
        wide = normal(40, 60) * size
        queries, gallery = wide[:7:3, 3:40:2], wide.T[:37, 2:21]
        row = listed(3, 20, 37)
        for metric in METRICS:
            found = gpu_score.pair_scores(queries, gallery, row, metric)
            assert found.tolist() == score.pair_scores(queries, gallery, row, metric).tolist()
