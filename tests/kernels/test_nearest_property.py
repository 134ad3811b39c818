"""Whatever the values: the cpu backend and its fallback equal the reference to the bit."""

import pytest
import torch

from kernels.nearest import cpu, exact, nearest

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

NASTY = [0.0, -0.0, 1.0, -1.0, 1e-45, 1e-20, 1e19, -3e38, 1.0000001, 4097.0, 4096.9995]


@st.composite
def problems(draw):
    q, g, d = draw(st.integers(1, 5)), draw(st.integers(1, 60)), draw(st.integers(1, 9))
    values = draw(st.sampled_from(["integers", "normal", "nasty"]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    if values == "integers":
        data = torch.randint(-2, 3, (q + g, d), generator=generator).float()
    elif values == "normal":
        data = torch.randn(q + g, d, generator=generator)
    else:
        data = torch.tensor(NASTY)[torch.randint(len(NASTY), (q + g, d), generator=generator)]
    if values != "nasty":
        data = data * draw(st.sampled_from([1.0, 1e-3, 1e4])) + draw(st.sampled_from([0.0, 100.0, 1e5]))
        data = data.to(draw(st.sampled_from([torch.float32, torch.bfloat16])))
    return data[:q], data[q:], draw(st.integers(1, g))


@hypothesis.settings(max_examples=150, deadline=None, derandomize=True, database=None)
@hypothesis.given(problems())
def test_cpu_and_fallback_equal_the_reference(problem):
    queries, gallery, k = problem
    expected = nearest(queries, gallery, k, backend="reference")
    for found in (cpu.search(queries, gallery, k), exact.search(queries, gallery, k)):
        assert found.row.tolist() == expected.row.tolist()
        assert found.sq_distance.tolist() == expected.sq_distance.tolist()
