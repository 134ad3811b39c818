"""`pairs_within`: all pairs that are near enough, by a limit for each row."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels.nearest import nearest, pairs_among, pairs_within
from kernels.nearest import pairs as module
from kernels.nearest.native import pairs as native


def exact(x: Tensor, y: Tensor) -> float:
    """The squared distance as a fraction, rounded once."""
    whole = sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return float(np.float32(float(whole)))  # double rounding cannot tell for whole numbers this small


@settings(max_examples=60)
@given(q=st.integers(0, 9), g=st.integers(1, 40), d=st.integers(1, 5), seed=st.integers(0, 10**6), far=st.booleans())
def test_it_finds_the_pairs_that_a_loop_finds(q: int, g: int, d: int, seed: int, far: bool) -> None:
    rng = np.random.default_rng(seed)
    offset = 4096 if far else 0  # whole numbers either way: distances are equal, and equal to limits
    queries, gallery = (torch.tensor(rng.integers(-3, 4, (n, d)) + offset, dtype=torch.float32) for n in (q, g))
    limit = torch.tensor(rng.choice([-1.0, 0.0, 1.0, 4.0, 9.0, np.inf], g), dtype=torch.float32)
    found = pairs_within(queries, gallery, limit)
    wanted = [(i, j, exact(queries[i], gallery[j])) for i in range(q) for j in range(g)]
    wanted = [(i, j, distance) for i, j, distance in wanted if distance <= limit[j]]
    assert list(zip(found.query.tolist(), found.row.tolist(), found.sq_distance.tolist(), strict=True)) == wanted


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1.0, 1e15])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_says_what_nearest_says_whatever_the_size(
    scale: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SCAN_BYTES", 1 << 12)  # many blocks
    made = torch.Generator().manual_seed(3)
    gallery = (scale * torch.randn(257, 24, generator=made)).to(dtype)
    queries = torch.cat([gallery[:5], (scale * torch.randn(28, 24, generator=made)).to(dtype)])
    answer = nearest(gallery, queries, 6, backend="reference")  # roles swapped: each row's sixth nearest query
    limit = answer.score[:, -1].contiguous()
    found = pairs_within(queries, gallery, limit)
    wanted = {(int(i), j): float(s) for j in range(257) for i, s in zip(answer.row[j], answer.score[j], strict=True)}
    ours = dict(
        zip(zip(found.query.tolist(), found.row.tolist(), strict=True), found.sq_distance.tolist(), strict=True)
    )
    assert {pair: ours.get(pair) for pair in wanted} == wanted
    assert all(distance == limit[row] for (query, row), distance in ours.items() if (query, row) not in wanted)  # ties


def test_bad_limits_are_refused() -> None:
    some = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"sq_limit is torch.float64 \(3,\) on cpu; needed: float32 \(3,\) on cpu"):
        pairs_within(some, some, torch.zeros(3, dtype=torch.float64))
    with pytest.raises(ValueError, match="without NaN"):
        pairs_within(some, some, torch.full((3,), torch.nan))
    with pytest.raises(ValueError, match="queries row 0 holds nan"):
        pairs_within(torch.full((1, 2), torch.nan), some, torch.zeros(3))


@settings(max_examples=40)
@given(n=st.integers(1, 60), d=st.integers(1, 70), seed=st.integers(0, 10**6), rows=st.integers(1, 64))
def test_among_themselves_pairs_are_found_once_and_as_within(n: int, d: int, seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    offset = float(rng.choice([0, 4096]))
    vectors = torch.tensor(rng.integers(-2, 3, (n, d)) + offset, dtype=torch.float32)
    limit = float(rng.choice([0.0, 1.0, 4.0, 2.0 * d]))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "AMONG_ROWS", rows)
        patched.setattr(native, "QUERIES", 8 + rows // 2)  # of up to 8 and of more, products are of another kind
        patched.setattr(native, "PENDING", 3 * rows)
        patched.setattr(native, "BLOCK_BYTES", 4096)
        found = pairs_among(vectors, limit)
    every = pairs_within(vectors, vectors, torch.full((n,), limit))
    once = every.query < every.row
    assert torch.equal(found.query, every.query[once])
    assert torch.equal(found.row, every.row[once])
    assert torch.equal(found.sq_distance, every.sq_distance[once])


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e15])
def test_a_limit_that_is_a_distance_takes_the_pair_in(scale: float) -> None:
    vectors = scale * torch.randn(90, 80, generator=torch.Generator().manual_seed(4))
    every = pairs_within(vectors, vectors, torch.full((90,), torch.inf))
    limit = float(every.sq_distance[every.query != every.row].kthvalue(200).values)
    found = pairs_among(vectors, limit)
    assert len(found.row) == 100
    assert float(found.sq_distance.max()) == limit
    for bad in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="sq_limit is"):
            pairs_among(vectors, bad)
