"""Whatever the values and filters: the cpu backend, its Gallery and its fallback equal the reference to the bit."""

import pytest
import torch

from kernels.nearest import METRICS, Gallery, exact, nearest, pack_bits
from kernels.nearest.contract import Admission

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

NASTY = [0.0, -0.0, 1.0, -1.0, 1e-45, 1e-20, 1e19, -3e38, 1.0000001, 4097.0, 4096.9995]


@st.composite
def problems(draw):
    q, g, d = draw(st.integers(1, 5)), draw(st.integers(1, 60)), draw(st.integers(1, 9))
    values = draw(st.sampled_from(["integers", "normal", "nasty", "equal", "int8"]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    if values == "int8":
        data = torch.randint(-128, 128, (q + g, d), generator=generator).to(torch.int8)
    elif values == "integers":
        data = torch.randint(-2, 3, (q + g, d), generator=generator).float()
    elif values == "nasty":
        data = torch.tensor(NASTY)[torch.randint(len(NASTY), (q + g, d), generator=generator)]
    else:
        data = torch.randn(q + g, d, generator=generator)
        if values == "equal":
            data = data[:1].expand(q + g, d).clone()
    if values in ("integers", "normal", "equal"):
        data = data * draw(st.sampled_from([1.0, 1e-3, 1e4])) + draw(st.sampled_from([0.0, 100.0, 1e5]))
        data = data.to(draw(st.sampled_from([torch.float32, torch.float16, torch.bfloat16])))
        data = data if torch.isfinite(data).all() else data.nan_to_num(0.0, 1.0, -1.0)
    if draw(st.booleans()):
        data = data.repeat_interleave(2, dim=1)[:, ::2]  # strided
    filters = {}
    if draw(st.booleans()):
        valid = torch.rand(g, generator=generator) < draw(st.sampled_from([0.0, 0.3, 1.0]))
        filters["valid"] = pack_bits(valid) if draw(st.booleans()) else valid
    if draw(st.booleans()):
        filters["group"] = torch.randint(0, draw(st.integers(1, g)), (g,), generator=generator)
    if draw(st.booleans()):
        filters["exclude"] = torch.randint(-1, g, (q,), generator=generator)
    if draw(st.booleans()):
        filters["within"] = torch.randint(0, g + 1, (q, 2), generator=generator).sort(dim=1).values
    metric = draw(st.sampled_from(METRICS))
    if values == "nasty" and metric != "cosine":
        data = data.clamp(-1e18, 1e18)  # longer vectors are refused
    return data[:q], data[q:], draw(st.integers(1, g + 2)), metric, filters


@hypothesis.settings(max_examples=300, derandomize=True, database=None)
@hypothesis.given(problems(), st.sampled_from(["float32", "bfloat16", "int8"]))
def test_every_way_to_the_answer_is_the_same(problem, compute):
    queries, gallery, k, metric, filters = problem
    expected = nearest(queries, gallery, k, metric=metric, backend="reference", **filters)
    ready = Gallery(gallery, metric=metric, compute=compute)
    for found in (
        nearest(queries, gallery, k, metric=metric, compute=compute, backend="cpu", **filters),
        nearest(queries, ready, k, **filters),
    ):
        assert found.row.tolist() == expected.row.tolist()
        assert found.score.tolist() == expected.score.tolist()
    if not filters:
        score, row = exact.search(queries, gallery, min(k, len(gallery)), metric, Admission())
        assert (row.tolist(), score.tolist()) == (expected.row.tolist(), expected.score.tolist())


@hypothesis.settings(max_examples=60, derandomize=True, database=None)
@hypothesis.given(problems(), st.data())
def test_a_value_that_is_not_finite_is_named(problem, data):
    queries, gallery, k, metric, _ = problem
    gallery = gallery.float().clone()
    row, column = (data.draw(st.integers(0, size - 1)) for size in gallery.shape)
    gallery[row, column] = data.draw(st.sampled_from([torch.nan, torch.inf, -torch.inf]))
    with pytest.raises(ValueError, match=f"^gallery row {row} holds (nan|inf); every value must be finite$"):
        nearest(queries.float(), gallery, k, metric=metric)
