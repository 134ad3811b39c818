"""Fixtures of the kernel tests: the case table of the Triton kernel, the plainest oracle, and poisoned memory."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from kernels.nearest import Neighbors


@dataclass(frozen=True)
class Case:
    """One comparison: shapes, and values that are "integer" (many ties), "random" or "equal" (one row repeated)."""

    q: int
    g: int
    d: int
    k: int
    dtype: torch.dtype = torch.float32
    gallery_dtype: torch.dtype | None = None
    kind: str = "integer"

    def __str__(self) -> str:
        return f"Q{self.q}-G{self.g}-D{self.d}-k{self.k}-{str(self.dtype)[6:]}-{self.kind}"

    def tensors(self, device: str) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(self.q * 1000 + self.g)
        queries = torch.randn(self.q, self.d, generator=generator)
        gallery = torch.randn(self.g, self.d, generator=generator)
        if self.kind == "integer":
            queries, gallery = queries.round(), gallery.round()
        if self.kind == "equal":
            gallery = gallery[:1].expand(self.g, self.d)
        return queries.to(self.dtype).to(device), gallery.to(self.gallery_dtype or self.dtype).to(device)


# At most three of the interpreter's tiles each way; ragged on every edge.
INTERPRETER_CASES = (
    Case(1, 1, 1, 1),
    Case(7, 33, 7, 3),
    Case(17, 33, 33, 1, kind="random"),
    Case(3, 33, 16, 33),  # k = G, in several passes
    Case(2, 40, 5, 15),  # several passes, fewer rows than keys in the last
    Case(5, 20, 3, 4, kind="equal"),
    Case(3, 33, 17, 4, torch.float16),
    Case(3, 33, 17, 4, torch.float16, kind="random"),
    Case(3, 33, 17, 4, torch.bfloat16),
    Case(3, 33, 17, 3, torch.bfloat16, kind="random"),
    Case(3, 17, 9, 2, torch.float32, torch.float16, kind="random"),
)

GPU_CASES = tuple(
    Case(q, g, d, k, dtype, kind=kind)
    for q, g, d, k in ((1, 257, 512, 10), (7, 7, 7, 7), (33, 257, 33, 24), (257, 4099, 100, 100), (65, 3001, 64, 700))
    for dtype in (torch.float32, torch.float16, torch.bfloat16)
    for kind in ("integer", "random")
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for `case` the interpreter's table, and the larger one too where there is a GPU."""
    if "case" in metafunc.fixturenames:
        cases = INTERPRETER_CASES + (GPU_CASES if torch.cuda.is_available() else ())
        metafunc.parametrize("case", cases, ids=str)


def plain_nearest(queries: Tensor, gallery: Tensor, k: int) -> tuple[list[list[float]], list[list[int]]]:
    """Answer in plain Python: exact sums, a sort of (score, row) pairs."""
    rows = gallery.double().tolist()
    scores, order = [], []
    for query in queries.double().tolist():
        sums = [math.fsum((a - b) ** 2 for a, b in zip(query, row, strict=True)) for row in rows]
        ranked = sorted((float(np.float32(total)), row) for row, total in enumerate(sums))[:k]
        scores.append([score for score, _ in ranked])
        order.append([row for _, row in ranked])
    return scores, order


@pytest.fixture
def plain() -> Callable[[Tensor, Tensor, int], tuple[list[list[float]], list[list[int]]]]:
    return plain_nearest


@pytest.fixture
def assert_same() -> Callable[[Neighbors, Neighbors], None]:
    """Two answers agree to the bit, ties and infinities included."""

    def check(found: Neighbors, expected: Neighbors) -> None:
        assert found.row.tolist() == expected.row.tolist()
        assert found.sq_distance.tolist() == expected.sq_distance.tolist()
        assert (found.sq_distance.dtype, found.row.dtype) == (torch.float32, torch.int64)

    return check


@pytest.fixture(autouse=True)
def _poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill what the kernels allocate uninitialised with NaN, or with integers that would sort first."""

    def poisoned(allocate: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*args: object, **kwargs: object) -> Tensor:
            tensor = allocate(*args, **kwargs)
            if sys._getframe(1).f_globals["__name__"].startswith("kernels."):
                tensor.fill_(torch.nan if tensor.is_floating_point() else torch.iinfo(tensor.dtype).min // 2)
            return tensor

        return call

    for name in ("empty", "empty_like"):
        monkeypatch.setattr(torch, name, poisoned(getattr(torch, name)))
    monkeypatch.setattr(Tensor, "new_empty", poisoned(Tensor.new_empty))
