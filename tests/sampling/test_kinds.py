"""Triplets by kind and quota against the plain reading of the rules: which are admissible, how many, how often."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sampling.rows import (
    SEEDS,
    SPLITS,
    TABLES,
    TINY,
    Row,
    admissible,
    crops,
    row_of,
)
from visnet.sampling import metadata, street2shop
from visnet.sampling.metadata import KINDS, MIX, quotas


@given(TABLES, st.integers(0, 60), st.sampled_from(SPLITS), SEEDS)
@settings(max_examples=250)
def test_every_triplet_is_admissible_and_every_missing_one_is_accounted_for(
    rows: list[Row], count: int, split: str, seed: int
) -> None:
    mix = {"product/out": 3, "product/in": 3, "colour/out": 2, "colour/in": 2}
    got = metadata.sample(crops(rows), count, mix, np.random.default_rng(seed), split=split)
    assert got.triplets.dtype == np.int64
    assert got.triplets.shape == (len(got.kind), 3)
    assert len(got.triplets) + sum(got.short.values()) == count
    for number, (kind, quota) in enumerate(quotas(count, mix).items()):
        allowed = admissible(rows, split, kind)
        triplets = got.triplets[got.kind == number].tolist()
        assert len(triplets) == (quota if allowed else 0)
        assert sum(n for why, n in got.short.items() if why.startswith(f"{kind}: ")) == quota - len(triplets)
        for q, p, n in triplets:
            assert p in allowed[q][0]
            assert n in allowed[q][1]


@given(TABLES, SEEDS)
@settings(max_examples=60)
def test_equal_seeds_draw_equal_triplets(rows: list[Row], seed: int) -> None:
    table = crops(rows)
    first, second = (metadata.sample(table, 50, MIX, np.random.default_rng(seed), split="train") for _ in range(2))
    assert first.triplets.tolist() == second.triplets.tolist()
    first, second = (street2shop.sample(table, 3, np.random.default_rng(seed), split="train") for _ in range(2))
    assert first.triplets.tolist() == second.triplets.tolist()


@given(TABLES, SEEDS)
@settings(max_examples=100)
def test_no_street_photo_serves_two_splits_and_with_disjoint_products_no_product_does(
    rows: list[Row], seed: int
) -> None:
    disjoint = [r._replace(split="train" if r.product_id in "ab" else "test") for r in rows]
    for table in (rows, disjoint):
        used = {}
        for split in SPLITS:
            rng = np.random.default_rng(seed)
            drawn = [
                metadata.sample(crops(table), 80, MIX, rng, split=split).triplets,
                street2shop.sample(crops(table), 3, rng, split=split).triplets,
            ]
            used[split] = set(np.concatenate(drawn).ravel().tolist())
        street = {split: {i for i in used[split] if table[i].side == "street"} for split in SPLITS}
        assert not street["train"] & street["test"]
        if table is disjoint:
            products = {split: {table[i].product_id for i in used[split]} for split in SPLITS}
            assert not products["train"] & products["test"]


@pytest.mark.parametrize("kind", KINDS)
def test_query_positive_and_negative_are_each_drawn_uniformly(kind: str) -> None:
    allowed = admissible(TINY, "train", kind)
    count = 40_000
    got = metadata.sample(crops(TINY), count, {kind: 1}, np.random.default_rng(5), split="train")
    seen = Counter(map(tuple, got.triplets.tolist()))
    expected = {
        (q, p, n): count / len(allowed) / len(ps) / len(ns)
        for q, (ps, ns) in allowed.items()
        for p, n in itertools.product(ps, ns)
    }
    assert len(expected) > 5
    assert seen.keys() == expected.keys()
    for triplet, times in expected.items():
        assert abs(seen[triplet] - times) < 5 * times**0.5, triplet


def test_a_product_that_fills_nearly_all_of_what_could_be_drawn_still_gets_its_few_negatives() -> None:
    rows = [row_of("a", "hat")] * 3000 + [row_of("a", "bag")] * 3000 + [row_of("b", "bag")] * 2
    got = metadata.sample(crops(rows), 500, {"product/out": 1}, np.random.default_rng(0), split="train")
    assert got.counts()["product/out"] == 500
    times = Counter(got.triplets[:, 2].tolist())
    assert times.keys() == {6000, 6001}
    assert abs(times[6000] - times[6001]) < 5 * 500**0.5
    assert set(got.triplets[:, 0].tolist()) <= {*range(3000)}  # a bag of a has no other category with another product


@pytest.mark.parametrize(
    ("rows", "kind", "reason"),
    [
        ([row_of("a"), row_of("b", "bag")], "product/out", "no product has two photos"),
        ([row_of("a", photo="1"), row_of("a", photo="1"), row_of("b")], "product/in", "no product has two photos"),
        ([row_of("a"), row_of("a"), row_of("b")], "product/out", "no two products have different categories"),
        ([row_of("a"), row_of("a"), row_of("b", "bag")], "product/in", "no category has two products"),
        (
            [row_of("a", colour=""), row_of("b", colour="")],
            "colour/out",
            "no two products share a category and a known",
        ),
        ([row_of("a"), row_of("b")], "colour/in", "no category has two products in two known colours"),
        ([row_of("a"), row_of("a"), row_of("b", "bag"), row_of("c", "bag")], "product/in", "no query has both"),
        (
            [row_of("a", split="test"), row_of("b", "bag", split="test")],
            "colour/in",
            "the split has no crop to ask with",
        ),
        ([], "product/in", "the split has no crop to ask with"),
    ],
)
def test_a_kind_that_cannot_be_had_says_why_and_gives_its_share_to_no_other(
    rows: list[Row], kind: str, reason: str
) -> None:
    got = metadata.sample(crops(rows), 10, {kind: 1}, np.random.default_rng(0), split="train")
    assert len(got.triplets) == 0
    assert list(got.short.values()) == [10]
    assert next(iter(got.short)).startswith(f"{kind}: {reason}")


def test_crops_that_can_be_no_query_are_counted() -> None:
    rows = [row_of("a"), row_of("a"), row_of("b", "bag"), row_of("c", "bag", split="test")]
    got = metadata.sample(crops(rows), 10, {"product/out": 1}, np.random.default_rng(0), split="train")
    assert got.skipped == {"there is no other photo of the product": 1}
    assert got.counts() == {"product/out": 10, "product/in": 0, "colour/out": 0, "colour/in": 0}


def test_the_quotas_are_exact_and_the_default_mix_is_the_blogs() -> None:
    assert quotas(800_000, MIX) == dict(zip(KINDS, (504_000, 216_000, 56_000, 24_000), strict=True))
    assert quotas(3, {"product/out": 1, "product/in": 1}) == dict(zip(KINDS, (2, 1, 0, 0), strict=True))
    assert quotas(100, {"product/out": 0.57, "product/in": 0.29, "colour/in": 0.14})["product/in"] == 29


@given(st.integers(0, 10**6), st.lists(st.floats(0, 1e3), min_size=4, max_size=4).filter(any))
def test_quotas_add_up_and_lie_within_one_of_their_share(count: int, weights: list[float]) -> None:
    shares = quotas(count, dict(zip(KINDS, weights, strict=True)))
    assert sum(shares.values()) == count
    for kind, weight in zip(KINDS, weights, strict=True):
        assert abs(shares[kind] - count * weight / sum(weights)) < 1 + 1e-6


@pytest.mark.parametrize(
    ("count", "mix", "said"),
    [
        (1, {"product": 1.0}, "no kind is called 'product'; allowed are product/out"),
        (1, {"product/in": -1.0}, "product/in is -1.0; a weight is a finite number of 0 or more"),
        (1, {"product/in": float("nan")}, "product/in is nan"),
        (1, {"product/in": 0.0}, "all weights are 0"),
        (-1, MIX, "count is -1; allowed is 0 or more"),
    ],
)
def test_a_mix_or_count_that_makes_no_sense_is_refused(count: int, mix: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        metadata.sample(crops(TINY), count, mix, np.random.default_rng(0), split="train")
