"""What the compiled scan is made of: codes of queries, and exact scores, as torch and rational numbers have them."""

import ctypes

import pytest
import torch

from kernels.nearest import METRICS, encode, nearest, rational, score
from kernels.nearest.native import build, scores, structures
from tests.kernels.native import COMPILER, normal

pytestmark = pytest.mark.skipif(not COMPILER, reason="there is no C compiler")


def read(at: int, like: torch.Tensor) -> torch.Tensor:
    """Copy what C wrote, of the shape and type of another tensor."""
    memory = (ctypes.c_char * like.nbytes).from_address(at)
    return torch.frombuffer(memory, dtype=like.dtype).view(like.shape).clone()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1, 7, 33, 512])
def test_queries_are_encoded_as_torch_encodes_them(native_way, metric, d):
    # Of all sizes, and a zero; sums of float64 may differ in their order, the codes in nothing.
    queries = normal(40, d) * torch.logspace(-30, 12, 40)[:, None]
    queries[3] = 0.0
    for dtype in (torch.float32, torch.bfloat16, torch.int8):
        coding = encode.coding_of(normal(500, d, seed=1) + 1.0, metric, dtype)
        expected = encode.encode_queries(coding, queries)
        given = structures.Queries(queries, coding, structures.Asked(1, 1))
        library = build.library()
        assert library.search_encode(given.here) == 1
        assert read(given.codes, expected.codes).equal(expected.codes)
        assert read(given.step, expected.step).equal(expected.step)
        for at, part in (
            (given.terms, expected.terms),
            (given.floor, expected.floor),
            (given.constant, expected.scale.constant),
            (given.norm, expected.scale.norm),
        ):
            torch.testing.assert_close(read(at, part), part, rtol=1e-6, atol=0.0)
        library.search_free_queries(given.here)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int8])
def test_listed_pairs_are_scored_as_torch_scores_them(way, dtype, split):
    # Of every type, at any stride, from unaligned memory; half of the pairs are near-duplicates, or none.
    wide = (normal(200, 91) * 40).to(dtype)
    wide[100:] = wide[:100]
    gallery, queries = wide[:, 1:], wide[::25, ::1][:, 1:]
    row = torch.randint(-1, 200, (8, 70), generator=torch.Generator().manual_seed(1))
    for metric in METRICS:
        for norms in (None, score.sq_norms(gallery)):
            for x, y in ((queries, gallery), (queries[:, ::2], gallery[:, ::2])):
                known = None if norms is None or y.shape[1] < 90 else norms
                found = scores.pair_scores(x, y, row, metric, known)
                assert found.tolist() == score.pair_scores(x, y, row, metric).tolist()
                query = torch.arange(8).repeat_interleave(70)
                there = row.view(-1) >= 0
                listed = scores.list_scores(x, y, query[there], row.view(-1)[there], metric)
                assert listed.tolist() == found.view(-1)[there].tolist()


def test_what_float64_cannot_round_is_scored_by_whole_numbers(way):
    # Squares of whole numbers that lie in the middle of two float32, or next to it.
    queries = torch.tensor([[4097.0, 1.0, 0.0], [4097.0, 0.0, 2.0**-20], [4097.0, 2.0**-30, 0.0]])
    gallery = torch.zeros(40, 3)
    found = nearest(queries, gallery, 3, backend="cpu")
    expected = nearest(queries, gallery, 3, backend="reference")
    assert (found.row.tolist(), found.score.tolist()) == (expected.row.tolist(), expected.score.tolist())


@pytest.mark.parametrize("metric", METRICS)
def test_what_float64_cannot_round_is_rounded_without_python(native_way, metric, monkeypatch):
    """Of these 1.2 million pairs at least two are so near to the middle between two float32 that sums must be exact."""
    asked = []
    monkeypatch.setattr(scores, "carefully", lambda *pairs: asked.append(pairs) or score.carefully(*pairs))
    x, y = normal(600, 512, seed=3), normal(2000, 512, seed=4)
    found = scores.pair_scores(x, y, torch.arange(2000).expand(600, -1), metric)
    dot, sizes = x.double() @ y.double().T, (score.sq_norms(x)[:, None] * score.sq_norms(y)).sqrt()
    value, size = dot, sizes
    if metric == "cosine":
        value, size = dot / sizes, torch.ones_like(sizes)
    elif metric == "sq_euclidean":
        size = score.sq_norms(x)[:, None] + score.sq_norms(y)
        value = size - 2.0 * dot
    error = size * 4.0 * 520 * score.FLOAT64
    query, row = torch.nonzero((value - error).float() != (value + error).float(), as_tuple=True)
    assert len(query) >= 2
    expected = rational.scores(x[query].double(), y[row].double(), metric)
    assert found[query, row].tolist() == expected.tolist()
    assert not asked


@pytest.mark.parametrize(
    ("metric", "x", "y", "expected"),
    [
        ("inner_product", [1.0, 2.0**-12, 2.0**-31], [1.0, 2.0**-12, 2.0**-31], 1.0 + 2.0**-23),
        ("inner_product", [1.0, 2.0**-12, 2.0**-31], [1.0, 2.0**-12, 0.0], 1.0),
        ("inner_product", [1.0, 2.0**-12, 2.0**-31], [1.0, 2.0**-12, -(2.0**-31)], 1.0),
        ("sq_euclidean", [1.0, 2.0**-12, 2.0**-31], [0.0, 0.0, 0.0], 1.0 + 2.0**-23),
        ("sq_euclidean", [1.0, 2.0**-12, 0.0], [0.0, 0.0, 0.0], 1.0),
        ("cosine", [1.0, 2.0**-12, 0.0], [0.0, 1.0, 0.0], 2.0**-12),
    ],
)
def test_a_hair_beyond_the_middle_decides_and_the_middle_itself_goes_to_the_even(native_way, metric, x, y, expected):
    """1 + 2^-24 is the middle between 1 and its neighbour; float64 loses 2^-62 beside it."""
    found = scores.pair_scores(torch.tensor([x]), torch.tensor([y]), torch.zeros(1, 1, dtype=torch.int64), metric)
    assert found.item() == expected
