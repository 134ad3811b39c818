"""The hardest examples against plain loops: which photos, in which order, and what is left where there are no more."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.nearest import Neighbors
from visnet.search import mining
from visnet.search import products as search
from visnet.search.mining import hardest_negatives, hardest_positives

METRICS = ("sq_euclidean", "inner_product")  # exact on whole numbers


def cost(a: np.ndarray, b: np.ndarray, metric: str) -> float:
    return float(((a - b) ** 2).sum()) if metric == "sq_euclidean" else -float((a * b).sum())


def slow_negatives(x: np.ndarray, labels: np.ndarray, anchor: int, k: int, distinct: bool, metric: str) -> list[int]:
    seen: list[int] = []
    for _, row in sorted((cost(x[anchor], other, metric), r) for r, other in enumerate(x)):
        if labels[row] == labels[anchor] or (distinct and labels[row] in [labels[r] for r in seen]):
            continue
        seen.append(row)
    return seen[:k]


def slow_positives(x: np.ndarray, labels: np.ndarray, anchor: int, k: int, metric: str) -> list[int]:
    own = [r for r in range(len(x)) if labels[r] == labels[anchor] and r != anchor]
    return sorted(own, key=lambda r: (-cost(x[anchor], x[r], metric), r))[:k]


def check(found: Neighbors, x: np.ndarray, anchors: np.ndarray, rows: list[list[int]], k: int, metric: str) -> None:
    sign, worst = (1, torch.inf) if metric == "sq_euclidean" else (-1, -torch.inf)
    assert found.row.shape == found.score.shape == (len(anchors), min(k, len(x)))
    for i, anchor in enumerate(anchors):
        there = found.row[i] >= 0
        assert found.row[i][there].tolist() == rows[i]
        assert found.score[i][there].tolist() == [sign * cost(x[anchor], x[row], metric) for row in rows[i]]
        assert (found.row[i][len(rows[i]) :] == -1).all()
        assert (found.score[i][len(rows[i]) :] == worst).all()


@given(
    st.integers(1, 30),
    st.sampled_from([1, 2, 6, 30]),
    st.integers(1, 8),
    st.sampled_from(METRICS),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 1000]),
    st.sampled_from([(1, 1), (3, 20), (4096, 1 << 20)]),
)
@settings(max_examples=150)
def test_equals_a_plain_loop_with_any_ties(
    n: int, products: int, k: int, metric: str, seed: int, crowd: int, block: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, (n, 2)).astype(np.float32)
    labels = rng.integers(0, products, n) * 1000 - 500
    anchors = rng.integers(0, n, rng.integers(0, 2 * n))  # some twice, some not at all
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mining, "CROWD", crowd)
        patch.setattr(search, "BLOCK_QUERIES", block[0])
        patch.setattr(search, "BLOCK_ANSWERS", block[1])
        for distinct in (True, False):
            rows = [slow_negatives(x, labels, a, k, distinct, metric) for a in anchors]
            found = hardest_negatives(torch.from_numpy(x), labels, k, anchors=anchors, distinct=distinct, metric=metric)
            check(found, x, anchors, rows, k, metric)
        rows = [slow_positives(x, labels, a, k, metric) for a in anchors]
        check(
            hardest_positives(torch.from_numpy(x), labels, k, anchors=anchors, metric=metric),
            x,
            anchors,
            rows,
            k,
            metric,
        )


@pytest.mark.parametrize("distinct", [True, False])
def test_a_crowded_product_costs_no_answer_of_the_others(distinct: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 12)).astype(np.float32)
    labels = np.where(np.arange(500) < 300, 0, np.arange(500) // 5)
    x[:300] *= 0.01  # the nearest of each of these are the 299 others
    found = hardest_negatives(torch.from_numpy(x), torch.from_numpy(labels), 3, distinct=distinct)
    rows = [slow_negatives(x.astype(np.float64), labels, a, 3, distinct, "sq_euclidean") for a in range(500)]
    assert found.row.tolist() == rows
    assert found.score.diff(dim=1).ge(0).all()


def test_a_single_product_has_no_negatives_and_a_single_photo_no_positives() -> None:
    x = torch.eye(3)
    assert (hardest_negatives(x, np.zeros(3, int), 2).row == -1).all()
    assert (hardest_negatives(x, np.zeros(3, int), 2, distinct=False).row == -1).all()
    assert torch.isneginf(hardest_negatives(x, np.zeros(3, int), metric="cosine").score).all()
    assert (hardest_positives(x, np.arange(3)).row == -1).all()
    assert hardest_negatives(torch.zeros(0, 3), np.zeros(0, int), 2).row.shape == (0, 0)
    assert hardest_positives(torch.zeros(0, 3), np.zeros(0, int), 2).row.shape == (0, 0)


def test_what_does_not_fit_is_named() -> None:
    x, labels = torch.eye(3), np.arange(3)
    with pytest.raises(ValueError, match=r"labels are \(2,\) for vectors \(3, 3\)"):
        hardest_negatives(x, labels[:2])
    with pytest.raises(ValueError, match="k is 0; allowed is 1 or more"):
        hardest_negatives(x, labels, 0)
    with pytest.raises(ValueError, match="anchors run from -1 to 3; rows are 0 to 2"):
        hardest_negatives(x, labels, anchors=np.array([-1, 3]))
    with pytest.raises(ValueError, match=r"anchors are torch.bool \(3,\); needed are row numbers"):
        hardest_positives(x, labels, anchors=labels > 0)
    with pytest.raises(ValueError, match="gallery row 1 holds nan"):
        hardest_positives(torch.tensor([[0.0], [torch.nan]]), labels[:2])
