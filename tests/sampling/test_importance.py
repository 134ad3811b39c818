"""Importance sampling against enumerated laws: whole triplets of a small table."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from tests.sampling.table import TABLE, TRAIN, Row, Triplet, crops, described, relevant, row
from visnet.sampling import importance
from visnet.sampling.relevance import Relevance
from visnet.sampling.sampled import Sampled

torch.set_num_threads(1)


def sample(rows: list[Row], count: int, seed: int = 0, split: str | None = "train", **numbers: float) -> Sampled:
    vectors = described() if rows is TABLE else {"s": torch.arange(2.0 * len(rows)).reshape(-1, 2)}
    return importance.sample(crops(rows), vectors, count, np.random.default_rng(seed), split=split, **numbers)  # type: ignore[arg-type]


def law(kind: str, cap: float, gap: float) -> dict[Triplet, float]:
    """Enumerate the probability of every triplet, for buffers that hold everything."""
    found: dict[Triplet, float] = {}
    for q in TRAIN:
        class_q = [i for i in TRAIN if TABLE[i][1] == TABLE[q][1]]
        weight = {i: min(cap, relevant(q, i)) for i in class_q}
        mine = {TABLE[i][5] for i in TRAIN if TABLE[i][0] == TABLE[q][0]} - {""}
        strange = [i for i in TRAIN if TABLE[i][0] != TABLE[q][0] and TABLE[i][5] not in mine]
        for p in [i for i in class_q if weight[i] > 0]:
            share = weight[p] / sum(weight.values())
            if kind == "importance/out":
                others = [i for i in TRAIN if TABLE[i][1] != TABLE[q][1]]
                odds = {i: 1 / len(others) for i in others if i in strange}
            else:
                lower = [i for i in class_q if i != p and i in strange and relevant(q, i) <= relevant(q, p) - gap]
                whole = sum(weight[i] for i in lower)
                odds = {i: weight[i] / whole for i in lower if weight[i] > 0}
            found |= {(q, p, n): share * odd for n, odd in odds.items()}
    # What failed is drawn anew, and a category is as likely as crops that can ask are in it.
    whole = sum(found.values())
    return {triplet: share / whole for triplet, share in found.items()}


@pytest.mark.parametrize("kind", importance.KINDS)
def test_every_triplet_comes_as_often_as_the_rules_say_and_no_other_comes(kind: str) -> None:
    count, cap, gap = 60_000, 0.6, 0.1001
    expected = law(kind, cap, gap)
    numbers = {"buffer": 50, "relevance_cap": cap, "relevance_gap": gap, "tries": 1000}
    got = sample(TABLE, count, out_of_class=float(kind == "importance/out"), **numbers)
    seen = Counter(map(tuple, got.triplets.tolist()))
    assert got.counts()[kind] == count
    assert len(expected) > 100
    assert seen.keys() <= expected.keys()
    sq = sum((seen[t] - count * e) ** 2 / (count * e) for t, e in expected.items())
    assert abs(sq - (len(expected) - 1)) < 5 * math.sqrt(2 * len(expected))  # chi-square


def test_small_buffers_favour_queries_that_much_is_relevant_to_and_positives_only_by_relevance() -> None:
    table = crops([*(row(f"{i}") for i in range(200)), row("bag", "bag")])
    vectors = torch.randn(201, 2, generator=torch.Generator().manual_seed(1))
    relevant_to = Relevance.of(table, {"s": vectors}, np.random.default_rng(0))
    totals = relevant_to.totals(np.random.default_rng(0))[:200]
    drawn = [
        importance.sample(
            table, {"s": vectors}, 100, np.random.default_rng(seed), split=None, buffer=20, out_of_class=1.0
        ).triplets
        for seed in range(120)
    ]
    q, p, n = np.concatenate(drawn).T
    assert set(n.tolist()) == {200}
    assert (q != p).all()
    # Uniform queries would have the mean total, queries in proportion to it the mean square over the mean.
    uniform, proportional = totals.mean(), (totals**2).mean() / totals.mean()
    assert totals[q].mean() > uniform + 0.6 * (proportional - uniform)
    # What a positive is relevant to besides the query makes it no likelier.
    weight = np.minimum(0.9, relevant_to.between(np.arange(200), np.arange(200)))
    weight /= weight.sum(axis=1, keepdims=True)
    by_relevance = (weight @ totals)[q].mean()
    by_both = ((weight * totals / (weight @ totals)[:, None]) @ totals)[q].mean()
    assert abs(totals[p].mean() - by_relevance) < 0.25 * (by_both - by_relevance)


def test_in_class_negatives_are_by_the_gap_less_relevant_and_never_the_positive() -> None:
    q, p, n = sample(TABLE, 2000, out_of_class=0.0, relevance_gap=0.0).triplets.T
    assert (p != n).all()
    table = crops([row(f"{i}") for i in range(100)])
    vectors = {"s": torch.randn(100, 2, generator=torch.Generator().manual_seed(1))}
    got = importance.sample(table, vectors, 500, np.random.default_rng(0), split=None, buffer=10, out_of_class=0.0)
    q, p, n = got.triplets.T
    near, far = ((vectors["s"][q] - vectors["s"][other]).square().sum(1) for other in (p, n))
    assert (near < far).all()


def test_the_share_of_out_of_class_negatives_is_exact() -> None:
    for count, share, out in [(1000, 0.2, 200), (7, 0.2, 1), (10, 0.25, 3), (5, 0.0, 0), (5, 1.0, 5), (0, 0.2, 0)]:
        got = sample(TABLE, count, out_of_class=share, tries=1000)
        assert got.counts() == {"importance/in": count - out, "importance/out": out}
        assert not got.short


def test_equal_seeds_draw_equal_triplets_and_others_do_not() -> None:
    first, second, other = (sample(TABLE, 60, seed).triplets.tolist() for seed in (1, 1, 2))
    assert first == second != other


def test_what_is_in_no_pool_is_in_no_triplet_and_the_whole_table_can_be_sampled() -> None:
    last = len(TABLE) - 1
    assert last not in sample(TABLE, 2000).triplets
    assert last in sample(TABLE, 2000, split=None).triplets


def test_a_shop_crop_of_a_street_product_serves_but_does_not_ask() -> None:
    rows = [row("a", side="street"), row("a", split=""), row("b", side="street"), row("b", split=""), row("c", "bag")]
    got = sample(rows, 400, out_of_class=1.0)
    assert set(got.triplets[:, 0].tolist()) == {0, 2}  # c has no other bag
    assert {1, 3} <= set(got.triplets[:, 1].tolist())


@pytest.mark.parametrize(
    ("rows", "kind", "reason"),
    [
        ([], "importance/in", "the split has no crop to ask with"),
        ([row("a", split="test"), row("b", split="test")], "importance/out", "the split has no crop to ask with"),
        ([row("a"), row("b", "bag")], "importance/out", "no category has two photos"),
        ([row("a"), row("a"), row("a")], "importance/in", "no crop has a negative in the pool"),
        ([row("a"), row("b"), row("c")], "importance/out", "no crop has a negative in the pool"),
        ([row("a"), row("b", "bag"), row("a")], "importance/in", "no crop has a negative in the pool"),
        ([row("a"), row("b")], "importance/in", "given up, 10 times the buffers held no positive with a negative"),
    ],
)
def test_a_kind_that_cannot_be_had_says_why_and_gives_its_share_to_no_other(
    rows: list[Row], kind: str, reason: str
) -> None:
    got = sample(rows, 10, out_of_class=float(kind == "importance/out"))
    assert len(got.triplets) == 0
    assert dict(got.short) == {f"{kind}: {reason}": 10}


def test_what_is_given_up_is_counted_and_lowers_no_quota_of_the_other_kind() -> None:
    got = sample(TABLE, 1000, relevance_gap=0.9, tries=2)
    assert got.counts()["importance/out"] == 200
    missing = 800 - got.counts()["importance/in"]
    assert 0 < missing < 800
    assert dict(got.short) == {"importance/in: given up, 2 times the buffers held no positive with a negative": missing}
    assert got.skipped == {
        "there is no other photo in its category": 1,
        "there is no other product in its category": 1,
    }


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"buffer": 1}, "buffer is 1; allowed is 2 or more"),
        ({"tries": 0}, "tries is 0; allowed is 1 or more"),
        ({"out_of_class": 1.5}, "out_of_class is 1.5; allowed is 0 to 1"),
        ({"relevance_gap": -0.1}, "relevance_gap is -0.1; allowed is 0 to 1"),
        ({"relevance_cap": 0.0}, "relevance_cap is 0.0; allowed is above 0, up to 1"),
        ({"count": -1}, "count is -1; allowed is 0 or more"),
        ({"split": "none"}, "no split is called 'none'"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(numbers: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sample(**{"rows": TABLE, "count": 1, **numbers})  # type: ignore[arg-type]


def test_descriptors_must_have_a_row_for_every_crop() -> None:
    with pytest.raises(ValueError, match=rf"'s' are \[3, 2\]; needed is \[{len(TABLE)}, D\]"):
        importance.sample(crops(TABLE), {"s": torch.zeros(3, 2)}, 1, np.random.default_rng(0), split=None)
