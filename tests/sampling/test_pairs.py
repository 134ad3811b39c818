"""Negatives for every pair of a street and a shop photo, against the plain reading of the rules."""

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
    crops,
    other_product,
    pool,
    row_of,
    same_photo,
)
from visnet.sampling import street2shop


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
@settings(max_examples=250)
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
@settings(max_examples=100)
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
