"""Whatever the values and filters: the Triton kernel equals the reference to the bit, compiled or interpreted."""

import pytest
import torch

from kernels.nearest import COMPUTES, Gallery, nearest

hypothesis = pytest.importorskip("hypothesis")

from tests.kernels.on_gpu import DEVICE, gpu  # noqa: E402 (they need hypothesis, and triton)
from tests.kernels.test_nearest_property import problems  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (gpu.INTERPRETED or torch.cuda.is_available()), reason="no CUDA device"),
]


@hypothesis.settings(max_examples=60, derandomize=True, database=None)
@hypothesis.given(problems(), hypothesis.strategies.sampled_from(COMPUTES), hypothesis.strategies.booleans())
def test_the_kernel_finds_what_the_reference_finds(problem, compute, keep):
    queries, gallery, k, metric, filters = problem
    queries, gallery = queries.to(DEVICE), gallery.to(DEVICE)
    filters = {name: value.to(DEVICE) for name, value in filters.items()}
    expected = nearest(queries, gallery, k, metric=metric, backend="reference", **filters)
    if keep:
        ready = Gallery(gallery, metric=metric, compute=compute, backend="triton")
        found = nearest(queries, ready, k, **filters)
    else:
        found = nearest(queries, gallery, k, metric=metric, compute=compute, backend="triton", **filters)
    assert found.row.tolist() == expected.row.tolist()
    assert found.score.tolist() == expected.score.tolist()
