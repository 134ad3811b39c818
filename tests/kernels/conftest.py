"""Fixtures of the kernel tests: the case table of the Triton kernel, the plainest oracle, and poisoned memory."""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from kernels.nearest import Neighbors, exact
from kernels.nearest.native import scores, search
from tests.kernels.native import RUNNING, forced


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
        types = "-".join(str(dtype)[6:] for dtype in (self.dtype, self.gallery_dtype) if dtype is not None)
        return f"Q{self.q}-G{self.g}-D{self.d}-k{self.k}-{types}-{self.kind}"

    def tensors(self, device: str) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(self.q * 1000 + self.g)
        queries = torch.randn(self.q, self.d, generator=generator)
        gallery = torch.randn(self.g, self.d, generator=generator)
        if torch.int8 in (self.dtype, self.gallery_dtype):
            queries, gallery = queries * 20, gallery * 20
        if self.kind == "integer" or torch.int8 in (self.dtype, self.gallery_dtype):
            queries, gallery = queries.round(), gallery.round()
        if self.kind == "equal":
            gallery = gallery[:1].expand(self.g, self.d)
        return queries.to(self.dtype).to(device), gallery.to(self.gallery_dtype or self.dtype).to(device)


# At most three of the interpreter's tiles each way; ragged on every edge.
INTERPRETER_CASES = (
    Case(1, 1, 1, 1),
    Case(7, 33, 7, 3),
    Case(17, 33, 33, 1, kind="random"),
    Case(3, 33, 16, 33),  # k = G
    Case(2, 40, 5, 15),
    Case(5, 20, 3, 4, kind="equal"),
    Case(3, 33, 17, 4, torch.float16),
    Case(3, 33, 17, 4, torch.float16, kind="random"),
    Case(3, 33, 17, 4, torch.bfloat16),
    Case(3, 33, 17, 3, torch.bfloat16, kind="random"),
    Case(3, 17, 9, 2, torch.float32, torch.float16, kind="random"),
    Case(3, 33, 17, 4, torch.int8),
    Case(3, 33, 37, 4, torch.float32, torch.int8),
    Case(3, 33, 17, 4, torch.int8, torch.bfloat16),
)

GPU_CASES = tuple(
    Case(q, g, d, k, dtype, kind=kind)
    for q, g, d, k in ((1, 257, 512, 10), (7, 7, 7, 7), (33, 257, 33, 24), (257, 4099, 100, 100), (65, 3001, 64, 700))
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.int8)
    for kind in ("integer", "random")
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for `case` the interpreter's table, and the larger one too where there is a GPU."""
    if "case" in metafunc.fixturenames:
        cases = INTERPRETER_CASES + (GPU_CASES if torch.cuda.is_available() else ())
        metafunc.parametrize("case", cases, ids=str)


def to_float32(value: Fraction) -> float:
    """Round a rational number to the nearest float32, ties to even."""
    if value == 0:
        return 0.0
    exponent = math.floor(math.log2(abs(value.numerator)) - math.log2(value.denominator))
    exponent += (abs(value) >= Fraction(2) ** (exponent + 1)) - (abs(value) < Fraction(2) ** exponent)
    step = Fraction(2) ** (max(exponent, -126) - 23)
    rounded = round(value / step) * step
    return float(rounded) if abs(rounded) < 2**128 else math.copysign(math.inf, rounded)


def plain_score(x: list[Fraction], y: list[Fraction], metric: str) -> float:
    """Score one pair by rational numbers; a cosine by a root of 60 digits more than float32 has."""
    if metric == "sq_euclidean":
        return to_float32(sum(((a - b) ** 2 for a, b in zip(x, y, strict=True)), Fraction(0)))
    dot = sum((a * b for a, b in zip(x, y, strict=True)), Fraction(0))
    sq_norms = sum(a * a for a in x) * sum(b * b for b in y)
    if metric == "inner_product" or sq_norms == 0:
        return to_float32(dot)
    square = dot * dot / sq_norms
    root = Fraction(math.isqrt((square.numerator << 400) // square.denominator), 1 << 200)
    return to_float32(root if dot >= 0 else -root)


def plain_nearest(
    queries: Tensor, gallery: Tensor, k: int, metric: str = "sq_euclidean"
) -> tuple[list[list[float]], list[list[int]]]:
    """Answer in plain Python: rational sums, each rounded once, a sort of (score, row) pairs."""
    rows = [[Fraction(value) for value in row] for row in gallery.double().tolist()]
    sign = 1 if metric == "sq_euclidean" else -1
    scores, order = [], []
    for query in queries.double().tolist():
        x = [Fraction(value) for value in query]
        ranked = sorted((sign * plain_score(x, y, metric), row) for row, y in enumerate(rows))[:k]
        scores.append([sign * score + 0.0 for score, _ in ranked])
        order.append([row for _, row in ranked])
    return scores, order


@pytest.fixture
def plain() -> Callable[..., tuple[list[list[float]], list[list[int]]]]:
    return plain_nearest


@pytest.fixture
def assert_same() -> Callable[[Neighbors, Neighbors], None]:
    """Two answers agree to the bit, ties and infinities included."""

    def check(found: Neighbors, expected: Neighbors) -> None:
        assert found.row.tolist() == expected.row.tolist()
        assert found.score.tolist() == expected.score.tolist()
        assert (found.score.dtype, found.row.dtype) == (torch.float32, torch.int64)

    return check


@pytest.fixture(autouse=True)
def _poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill what the kernels allocate uninitialised with NaN, or with integers that would sort first."""

    def poisoned(allocate: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*args: object, **kwargs: object) -> Tensor:
            tensor = allocate(*args, **kwargs)
            if sys._getframe(1).f_globals["__name__"].startswith("kernels.") and tensor.dtype != torch.bool:
                tensor.fill_(torch.nan if tensor.is_floating_point() else torch.iinfo(tensor.dtype).min // 2)
            return tensor

        return call

    for name in ("empty", "empty_like"):
        monkeypatch.setattr(torch, name, poisoned(getattr(torch, name)))
    monkeypatch.setattr(Tensor, "new_empty", poisoned(Tensor.new_empty))


@pytest.fixture
def no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the scan alone answer: else the fallback mends whatever a broken kernel leaves unproven."""

    def refuse(*args: object) -> None:
        raise AssertionError("the fallback was asked")

    monkeypatch.setattr(exact, "search", refuse)


@pytest.fixture(params=[*RUNNING, "none"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each variant of the compiled scan that runs here, and torch's scan."""
    with forced(request.param):
        yield request.param


@pytest.fixture(params=RUNNING)
def native_way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each variant of the compiled scan that runs here."""
    with forced(request.param):
        yield request.param


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Split even small work among three threads: blocks of queries, and parts of the gallery."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    monkeypatch.setattr(search, "WORTH", 1)
    monkeypatch.setattr(search, "PAIRS_WORTH", 1)
    monkeypatch.setattr(scores, "WORTH", 1)
    yield
    torch.set_num_threads(before)
