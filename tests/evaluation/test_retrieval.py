"""Retrieval measures against plain loops and another library, where they could flatter, and in how much memory."""

import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.utils import accuracy_calculator as peer

from visnet.evaluation.retrieval import Retrieval, evaluate
from visnet.pipeline.log import SILENT
from visnet.search import products

ROOT = Path(__file__).resolve().parents[2]
KS = (1, 2, 5, 30)


def rankings(x: np.ndarray, labels: np.ndarray, y: np.ndarray | None, y_labels: np.ndarray | None) -> list[list[bool]]:
    """Say of each query which of its neighbours, nearest first, have its label."""
    answers = []
    for i, query in enumerate(x):
        gallery, theirs = (x, labels) if y is None else (y, y_labels)
        order = sorted((float(((query - row) ** 2).sum()), r) for r, row in enumerate(gallery))
        answers.append([bool(theirs[r] == labels[i]) for _, r in order if y is not None or r != i])
    return answers


def slow(ranked: list[list[bool]], ks: tuple[int, ...]) -> dict[str, float]:
    """Average by the definitions, one query and one place at a time."""
    lists: dict[str, list[float]] = {}
    for hits in ranked:
        relevant = sum(hits)
        if not relevant:
            continue
        for k in ks:
            lists.setdefault(f"cmc_at_{k}", []).append(1.0 if any(hits[:k]) else 0.0)
            lists.setdefault(f"precision_at_{k}", []).append(sum(hits[:k]) / k)
        lists.setdefault("r_precision", []).append(sum(hits[:relevant]) / relevant)
        total = 0.0
        for i in range(1, relevant + 1):
            if hits[i - 1]:
                total += sum(hits[:i]) / i
        lists.setdefault("map_at_r", []).append(total / relevant)
    return {name: sum(values) / len(values) for name, values in lists.items()}


def measured(got: Retrieval) -> dict[str, float]:
    values = {f"cmc_at_{k}": value for k, value in got.cmc.items()}
    values |= {f"precision_at_{k}": value for k, value in got.precision.items()}
    return values | {"r_precision": got.r_precision, "map_at_r": got.map_at_r}


@contextmanager
def small_blocks(queries: int, answers: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "BLOCK_QUERIES", queries)
        patch.setattr(products, "BLOCK_ANSWERS", answers)
        yield


@st.composite
def photos(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n, d, seed = draw(st.integers(1, 25)), draw(st.integers(1, 3)), draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    spread, products = draw(st.sampled_from([0, 1, 3])), draw(st.sampled_from([1, 3, 20]))
    return rng.integers(-spread, spread + 1, (n, d)).astype(np.float32), rng.integers(-products, products, n)


@given(photos(), photos(), st.booleans(), st.integers(1, 5), st.sampled_from([1, 40, 1 << 20]))
@settings(max_examples=150)
def test_equals_a_plain_loop_with_any_ties(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], apart: bool, queries: int, answers: int
) -> None:
    x, labels = one
    y, y_labels = (np.resize(other[0], (len(other[0]), x.shape[1])), other[1]) if apart else (None, None)
    ranked = rankings(x, labels, y, y_labels)
    with small_blocks(queries, answers):
        got = evaluate(
            torch.from_numpy(x),
            labels,
            gallery=None if y is None else torch.from_numpy(y),
            gallery_labels=y_labels,
            ks=KS,
        )
    assert (got.queries, got.lone) == (sum(map(any, ranked)), sum(not any(hits) for hits in ranked))
    if got.queries:
        assert measured(got) == pytest.approx(slow(ranked, KS))
    else:
        assert all(math.isnan(value) for value in measured(got).values())


def test_equals_pytorch_metric_learning_where_every_query_has_a_match() -> None:
    rng = np.random.default_rng(1)
    labels = np.concatenate([rng.integers(0, 12, 90), np.full(50, 99)])  # one product of many photos
    x = rng.normal(size=(12, 16))[labels % 12] + rng.normal(size=(140, 16))
    assert np.unique(labels, return_counts=True)[1].min() > 1
    away = ((x.astype(np.float32)[:, None] - x.astype(np.float32)) ** 2).sum(2) + np.diag(np.full(len(x), np.inf))
    own, theirs = torch.from_numpy(labels)[:, None], torch.from_numpy(labels[away.argsort(1)[:, :-1]])
    counts = peer.get_label_match_counts(own, own, peer.EQUALITY)
    last = {"avg_of_avgs": False, "return_per_class": False, "label_comparison_fn": peer.EQUALITY}
    whole = {"ref_includes_query": True, "label_counts": counts, **last}
    expected = {
        "r_precision": peer.r_precision(theirs, own, **whole),
        "map_at_r": peer.mean_average_precision(theirs, own, at_r=True, **whole),
        **{f"precision_at_{k}": peer.precision_at_k(theirs, own, k, **last) for k in KS},
        "cmc_at_1": peer.precision_at_k(theirs, own, 1, **last),
    }
    got = measured(evaluate(torch.from_numpy(x).float(), labels, ks=KS))
    assert {name: got[name] for name in expected} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("places", "r_precision", "map_at_r"), [([1], 0.1, 0.1), ([1, 10], 0.2, 0.12), ([1, 2], 0.2, 0.2)]
)
def test_the_examples_of_a_metric_learning_reality_check(
    places: list[int], r_precision: float, map_at_r: float
) -> None:
    gallery = torch.arange(1.0, 41.0)[:, None]
    labels = np.zeros(40, int)
    labels[[place - 1 for place in places]] = 7
    labels[20 : 30 - len(places)] = 7  # ten photos are relevant; the others are far away
    got = evaluate(torch.zeros(1, 1), np.array([7]), gallery=gallery, gallery_labels=labels, ks=(1,))
    assert got.cmc == got.precision == {1: 1.0}
    assert (got.r_precision, got.map_at_r) == (pytest.approx(r_precision), pytest.approx(map_at_r))


@pytest.mark.parametrize("metric", ["inner_product", "cosine"])
def test_similarities_rank_from_the_largest(metric: str) -> None:
    rng = np.random.default_rng(2)
    x, labels = rng.normal(size=(60, 8)), rng.integers(0, 9, 60)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True) if metric == "cosine" else x
    order = [[r for r in np.argsort(-(unit @ row), kind="stable") if r != i] for i, row in enumerate(unit)]
    ranked = [[bool(labels[r] == labels[i]) for r in row] for i, row in enumerate(order)]
    assert measured(evaluate(torch.from_numpy(x).float(), labels, metric=metric)) == pytest.approx(
        slow(ranked, (1, 5, 10, 20))
    )


def test_a_photo_never_finds_itself_but_finds_its_copies() -> None:
    x = torch.ones(4, 3)  # all in one point: whoever drops the first answer instead of its own row is wrong
    got = evaluate(x, np.array([0, 0, 1, 1]), ks=(1, 3))
    ranked = [[True, False, False], [True, False, False], [False, False, True], [False, False, True]]
    assert measured(got) == pytest.approx(slow(ranked, (1, 3)))


def test_the_table_has_each_category_and_those_that_nothing_could_answer() -> None:
    x = torch.tensor([[0.0], [1.0], [5.0], [9.0], [9.5]])
    names = np.array(["hats", "hats", "hats", "bags", "bags"])
    table = evaluate(x, np.array([0, 0, 1, 2, 3]), categories=names, ks=(1, 2)).by_category
    scores = ["cmc_at_1", "cmc_at_2", "precision_at_1", "precision_at_2", "r_precision", "map_at_r"]
    assert table.columns.tolist() == ["category", "queries", "lone", *scores]
    assert table[["category", "queries", "lone"]].to_numpy().tolist() == [["bags", 0, 2], ["hats", 2, 1], ["all", 2, 3]]
    assert table.loc[0, scores].isna().all()
    assert table.loc[1, scores].tolist() == table.loc[2, scores].tolist() == [1.0, 1.0, 1.0, 0.5, 1.0, 1.0]


def test_nothing_to_search_for_or_in_is_no_error() -> None:
    for x, y in ((torch.zeros(0, 4), None), (torch.zeros(3, 4), torch.zeros(0, 4))):
        labels = None if y is None else np.zeros(0, int)
        got = evaluate(x, np.zeros(len(x), int), gallery=y, gallery_labels=labels)
        assert (got.queries, got.lone) == (0, len(x))
        assert math.isnan(got.map_at_r)


def test_progress_counts_every_query_that_can_be_answered() -> None:
    said: list[int] = []

    class Counting:
        say, curve, picture = SILENT.say, SILENT.curve, SILENT.picture

        @contextmanager
        def progress(self, what: str, total: int | None, *, done: int = 0, unit: str = "it") -> Iterator["Counting"]:
            said.append(-(total or 0))
            yield self

        def advance(self, n: int = 1, **shown: float | str) -> None:
            said.append(n)

    with small_blocks(4, 1 << 20):
        evaluate(torch.zeros(11, 2), np.array([0] * 10 + [1]), log=Counting())
    assert said == [-10, 4, 4, 2]


def test_sizes_that_do_not_fit_are_named() -> None:
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"labels are \(2,\) for vectors of \(3, 2\)"):
        evaluate(x, np.zeros(2))
    with pytest.raises(ValueError, match=r"categories are \(4,\) for vectors"):
        evaluate(x, np.zeros(3), categories=np.array(["a"] * 4))
    with pytest.raises(ValueError, match="give both or neither"):
        evaluate(x, np.zeros(3), gallery=x)
    with pytest.raises(ValueError, match=r"gallery_labels are \(2,\)"):
        evaluate(x, np.zeros(3), gallery=x, gallery_labels=np.zeros(2))
    with pytest.raises(ValueError, match=r"ks are \(1, 0\); needed: at least one, each 1 or more"):
        evaluate(x, np.zeros(3), ks=(1, 0))


FLAT = """
import sys, time
sys.path.insert(0, "benchmarks")
import torch
from retrieval import peak_mib, photos, resident_mib
from visnet.evaluation.retrieval import evaluate
torch.set_num_threads(1)
x, labels = photos(20_000, 128)
before, started = resident_mib(), time.process_time()
got = evaluate(x, labels)
print(peak_mib() - before, time.process_time() - started, got.queries, got.cmc[1])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
def test_memory_is_flat_and_the_wait_short() -> None:
    ran = subprocess.run([sys.executable, "-c", FLAT], cwd=ROOT, capture_output=True, text=True, check=True)
    grown_mib, cpu_s, queries, cmc = map(float, ran.stdout.split())
    assert queries > 15_000
    assert 0.3 < cmc < 0.99  # neither trivial nor hopeless
    assert grown_mib < 120  # one byte per pair would be 381, one float 1526
    assert cpu_s < 15
