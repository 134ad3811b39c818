"""Both samplers against the plain reading of their rules: which triplets are admissible, how many, and how often."""

import itertools
from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visnet.sampling import SAMPLERS, Crops, metadata, street2shop
from visnet.sampling.metadata import KINDS, MIX, quotas

SPLITS = ("train", "test")


class Row(NamedTuple):
    """One crop of a small table."""

    product_id: str
    category: str
    colour: str
    side: str
    split: str
    photo_id: str


def crops(rows: list[Row]) -> Crops:
    return Crops.from_frame(pd.DataFrame(rows, columns=Row._fields))


def row_of(
    product: str, category: str = "hat", colour: str = "red", side: str = "shop", split: str = "train", photo: str = ""
) -> Row:
    return Row(product, category, colour, side, split, photo)


ROWS = st.builds(
    Row,
    product_id=st.sampled_from("aaabbcd"),
    category=st.sampled_from(["hat", "hat", "bag"]),
    colour=st.sampled_from(["red", "blue", ""]),
    side=st.sampled_from(["street", "shop", "shop"]),
    split=st.sampled_from(["train", "train", "test", ""]),
    photo_id=st.sampled_from(["", "", "", "1", "2", "3"]),
)
TABLES = st.lists(ROWS, max_size=14)
SEEDS = st.integers(0, 2**32 - 1)


def same_photo(a: Row, b: Row) -> bool:
    return a is b or (a.photo_id != "" and a.photo_id == b.photo_id)


def pool(rows: list[Row], split: str) -> list[int]:
    """List the rows a split may use."""
    usable = []
    for i, row in enumerate(rows):
        own = [r for r in rows if r.product_id == row.product_id]
        street = [r for r in own if r.side == "street"]
        belongs = any(r.split == split for r in street or own)
        if belongs and (row.split == split or (row.side == "shop" and street)):
            usable.append(i)
    return usable


def other_product(rows: list[Row], usable: list[int], q: int, n: int) -> bool:
    """Whether crop n shows another product than crop q, on a photo that does not show the product of q."""
    mine = [rows[i] for i in usable if rows[i].product_id == rows[q].product_id]
    return rows[n].product_id != rows[q].product_id and not any(same_photo(rows[n], r) for r in mine)


def admissible(rows: list[Row], split: str, kind: str) -> dict[int, tuple[list[int], list[int]]]:
    """List for each query its positives and its negatives, both never empty."""
    usable = pool(rows, split)
    found = {}
    for q in usable:
        if rows[q].split != split:
            continue
        a, others = rows[q], [i for i in usable if other_product(rows, usable, q, i)]
        if kind.startswith("product"):
            p = [i for i in usable if rows[i].product_id == a.product_id and not same_photo(rows[i], a)]
        else:
            p = [i for i in others if a.colour and (rows[i].category, rows[i].colour) == (a.category, a.colour)]
        if kind.endswith("out"):
            n = [i for i in others if rows[i].category != a.category]
        else:
            n = [i for i in others if rows[i].category == a.category]
        if kind == "colour/in":
            n = [i for i in n if rows[i].colour not in ("", a.colour)]
        if p and n:
            found[q] = (p, n)
    return found


@given(TABLES, st.integers(0, 60), st.sampled_from(SPLITS), SEEDS)
@settings(max_examples=250, deadline=None)
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
@settings(max_examples=60, deadline=None)
def test_equal_seeds_draw_equal_triplets(rows: list[Row], seed: int) -> None:
    table = crops(rows)
    first, second = (metadata.sample(table, 50, MIX, np.random.default_rng(seed), split="train") for _ in range(2))
    assert first.triplets.tolist() == second.triplets.tolist()
    first, second = (street2shop.sample(table, 3, np.random.default_rng(seed), split="train") for _ in range(2))
    assert first.triplets.tolist() == second.triplets.tolist()


@given(TABLES, SEEDS)
@settings(max_examples=100, deadline=None)
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


TINY = [
    row_of("a", photo="1"),
    row_of("a", photo="1"),  # the same photo again: no positive for the first
    row_of("a", colour="blue"),  # one product in two colours
    row_of("a", category="bag"),  # and in two categories
    row_of("b"),
    row_of("b", colour="blue"),
    row_of("c", colour="blue", photo="1"),  # on a photo of a: no negative for a
    row_of("d", category="bag", side="street"),
    row_of("d", category="bag", split="test"),
    row_of("e", category="bag", colour="blue"),
    row_of("e", category="bag", colour=""),
]


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
@settings(deadline=None)
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


def pairs_and_pools(rows: list[Row], split: str) -> tuple[list[tuple[int, int]], dict[int, set[int]]]:
    """List the pairs, and for each street query of the split its negatives."""
    usable = pool(rows, split)
    shop = [i for i in usable if rows[i].side == "shop"]
    asking = [i for i in usable if rows[i].side == "street" and rows[i].split == split]
    pairs = [
        (q, p)
        for q, p in itertools.product(asking, shop)
        if rows[q].product_id == rows[p].product_id and not same_photo(rows[q], rows[p])
    ]
    pools = {
        q: {n for n in shop if rows[n].category == rows[q].category and other_product(rows, usable, q, n)}
        for q in asking
    }
    return pairs, pools


@given(TABLES, st.integers(1, 4), st.sampled_from(SPLITS), SEEDS)
@settings(max_examples=250, deadline=None)
def test_each_pair_gets_its_negatives_distinct_where_there_are_enough(
    rows: list[Row], negatives: int, split: str, seed: int
) -> None:
    got = street2shop.sample(crops(rows), negatives, np.random.default_rng(seed), split=split)
    pairs, pools = pairs_and_pools(rows, split)
    drawn: dict[tuple[int, int], list[int]] = {pair: [] for pair in pairs if pools[pair[0]]}
    for q, p, n in got.triplets.tolist():
        drawn[q, p].append(n)
    for (q, _), found in drawn.items():
        assert len(found) == negatives
        assert set(found) <= pools[q]
        assert len(set(found)) == negatives or len(pools[q]) < negatives
    alone = pools.keys() - {q for q, _ in pairs}
    hopeless = [q for q, _ in pairs if not pools[q]]
    assert got.short.get(f"street2shop: {street2shop.NO_POSITIVE}", 0) == len(alone) * negatives
    assert got.short.get(f"street2shop: {street2shop.NO_NEGATIVE}", 0) == len(hopeless) * negatives
    assert len(got.triplets) + sum(got.short.values()) == (len(pairs) + len(alone)) * negatives
    assert got.skipped.get(street2shop.NO_POSITIVE, 0) == len(alone)
    assert got.skipped.get(street2shop.NO_NEGATIVE, 0) == len(set(hopeless))


@given(TABLES, st.integers(1, 4), st.integers(0, 40), SEEDS)
@settings(max_examples=100, deadline=None)
def test_a_limit_cuts_to_exactly_that_many_of_the_same_triplets(
    rows: list[Row], negatives: int, limit: int, seed: int
) -> None:
    table = crops(rows)
    whole = street2shop.sample(table, negatives, np.random.default_rng(seed), split="train")
    cut = street2shop.sample(table, negatives, np.random.default_rng(seed), split="train", limit=limit)
    assert len(cut.triplets) == min(limit, len(whole.triplets))
    assert cut.skipped == whole.skipped
    assert dict(cut.short) == (dict(whole.short) if len(whole.triplets) <= limit else {})
    pairs, pools = pairs_and_pools(rows, "train")
    times = Counter((q, p) for q, p, _ in cut.triplets.tolist())
    assert times.keys() <= set(pairs)
    assert max(times.values(), default=0) <= negatives
    for (q, p, n), repeats in Counter(map(tuple, cut.triplets.tolist())).items():
        assert n in pools[q]
        assert repeats == 1 or len(pools[q]) < times[q, p]


BUSY = [row_of("a", side="street")] * 2000 + [row_of("a")] + [row_of("bcd"[i % 3]) for i in range(8)]
BUSY += [row_of("b", "bag"), row_of("e", photo="1"), row_of("a", photo="1")]  # e's only photo also shows a


@pytest.mark.parametrize("negatives", [1, 2, 3, 8, 12])  # pools far above, near, at and below what is asked
def test_every_negative_is_as_likely_however_many_are_asked(negatives: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(street2shop, "CHUNK", 999)  # several pieces, not of one size
    got = street2shop.sample(crops(BUSY), negatives, np.random.default_rng(2), split="train")
    assert len(got.triplets) == 2000 * 2 * negatives
    times = Counter(got.triplets[:, 2].tolist())
    assert times.keys() == set(range(2001, 2009))
    for n, many in times.items():
        assert abs(many - len(got.triplets) / 8) < 5 * (len(got.triplets) / 8) ** 0.5, n


def test_a_limit_takes_pairs_evenly() -> None:
    counts = np.zeros(4000)
    for seed in range(30):
        got = street2shop.sample(crops(BUSY), 5, np.random.default_rng(seed), split="train", limit=4000)
        counts += np.bincount(got.triplets[:, 0] * 2 + (got.triplets[:, 1] == 2000), minlength=4000)
    assert abs(counts.mean() - 30) < 1e-9
    assert counts.var() < 30 * 1.3  # a draw of slots without replacement: below Poisson's 30


@pytest.mark.parametrize(("total", "size"), [(0, 0), (7, 0), (7, 3), (7, 7), (10_000, 11), (10**15, 1000)])
def test_a_subset_has_distinct_members_within_range(total: int, size: int) -> None:
    found = street2shop.subset(total, size, np.random.default_rng(1))
    assert len(set(found.tolist())) == size == len(found)
    assert size == 0 or (found.min() >= 0 and found.max() < total)


def test_a_subset_has_each_member_as_likely() -> None:
    rng = np.random.default_rng(3)
    times = Counter(int(i) for _ in range(4000) for i in street2shop.subset(9, 2, rng))
    assert times.keys() == set(range(9))
    assert all(abs(many - 8000 / 9) < 5 * (8000 / 9) ** 0.5 for many in times.values())


@pytest.mark.parametrize(
    ("negatives", "limit", "said"), [(0, None, "negatives is 0; allowed is 1"), (1, -1, "limit is -1; allowed is 0")]
)
def test_numbers_that_make_no_sense_are_refused(negatives: int, limit: int | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        street2shop.sample(crops(TINY), negatives, np.random.default_rng(0), split="train", limit=limit)


def test_the_samplers_are_known_by_name() -> None:
    assert SAMPLERS["metadata"] is metadata.sample
    assert SAMPLERS["street2shop"] is street2shop.sample
