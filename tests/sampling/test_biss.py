"""The BISS sampler against the plain reading of its rules: lists sorted in Python, and every draw enumerated."""

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch

from visnet.sampling import biss, ranked
from visnet.sampling.crops import Crops
from visnet.sampling.sampled import Sampled

torch.set_num_threads(1)
RANKS = {"positives": 3, "first": 5, "last": 8}
COLUMNS = ("product_id", "category", "colour", "side", "split", "photo_id")
Row = tuple[str, str, str, str, str, str]


def row(product: str, category: str = "hat", split: str = "train", photo: str = "", side: str = "shop") -> Row:
    return (product, category, "", side, split, photo)


def crops(rows: list[Row]) -> Crops:
    return Crops.from_frame(pd.DataFrame(rows, columns=COLUMNS))


def described(rows: list[Row], seed: int = 0, scorers: int = 2) -> dict[str, torch.Tensor]:
    """Few values, so that many distances are equal."""
    rng = np.random.default_rng(seed)
    return {f"s{i}": torch.tensor(rng.integers(0, 4, (len(rows), 2)), dtype=torch.float32) for i in range(scorers)}


def sample(rows: list[Row], count: int, seed: int = 0, split: str | None = "train", **numbers: float) -> Sampled:
    options = {**RANKS, "in_class": 0.5, **numbers}
    return biss.sample(crops(rows), described(rows), count, np.random.default_rng(seed), split=split, **options)


# 20 hats (the lists are longer than `last`), 7 bags (their ranks shrink), and photos that show several products.
HATS = [row(p, photo=f) for p, f in zip("aabbccddeefghijklmno", "1122" + " " * 16, strict=True)]
BAGS = [row(p, "bag", photo=f) for p, f in zip("apqrsta", ["3", "", "", "", "3", "", ""], strict=True)]
OTHERS = [row("u", "shoe", photo="1"), row("v", "shoe"), row("w", "hat", "test"), row("x", "bag", "")]
TABLE = [(*r[:5], r[5].strip()) for r in HATS + BAGS + OTHERS]


def lists(rows: list[Row], q: int) -> list[list[int]]:
    """Sort the crops of q's category on other photos, once for each scorer."""

    def photo(i: int) -> str:
        return rows[i][5] or f"own {i}"

    members = [i for i, r in enumerate(rows) if r[4] == "train" and r[1] == rows[q][1] and photo(i) != photo(q)]
    vectors = [d.tolist() for d in described(rows).values()]
    return [sorted(members, key=lambda i, v=v: (math.dist(v[i], v[q]) ** 2, i)) for v in vectors]


def law(rows: list[Row], kind: str) -> dict[tuple[int, int, int], Fraction]:
    """Enumerate the probability of every triplet of a kind."""
    drawn: dict[int, dict[tuple[int, int, int], Fraction]] = {}
    for q in [i for i, r in enumerate(rows) if r[4] == "train"]:
        found = lists(rows, q)
        size = min(len(found[0]), RANKS["last"])
        scale = Fraction(size, RANKS["last"])
        top = max(1, math.floor(RANKS["positives"] * scale))
        first = max(2, math.ceil(RANKS["first"] * scale))
        mine = {r[5] for r in rows if r[0] == rows[q][0] and r[4] == "train"} - {""}
        strange = [
            i for i, r in enumerate(rows) if r[4] == "train" and r[0] != rows[q][0] and (not r[5] or r[5] not in mine)
        ]
        if kind == "biss/in":
            near = {i for entries in found for i in entries[:top]}
            photos = {rows[i][5] for i in near} - {""}
            middles = [
                [i for i in entries[first - 1 : size] if i in strange and i not in near and rows[i][5] not in photos]
                for entries in found
            ]
        else:
            middles = [[i for i in strange if rows[i][1] != rows[q][1]]]
        middles = [middle for middle in middles if middle]
        if not found[0] or not middles:
            continue
        here: Counter[tuple[int, int, int]] = Counter()
        for entries in found:
            for p in entries[:top]:
                for middle in middles:
                    for n in middle:
                        share = Fraction(1, len(found) * top * len(middles) * len(middle))
                        here[q, p, n] = here[q, p, n] + share  # type: ignore[assignment]
        drawn[q] = dict(here)  # type: ignore[arg-type]
    return {triplet: share / len(drawn) for here in drawn.values() for triplet, share in here.items()}


@pytest.mark.parametrize("kind", biss.KINDS)
def test_every_triplet_comes_as_often_as_the_rules_say_and_no_other_comes(kind: str) -> None:
    count = 60_000
    expected = law(TABLE, kind)
    assert sum(expected.values()) == 1
    assert len({q for q, _, _ in expected}) > 20
    got = sample(TABLE, count, in_class=float(kind == "biss/in"))
    seen = Counter(map(tuple, got.triplets.tolist()))
    assert got.counts()[kind] == count
    assert seen.keys() <= expected.keys()
    sq = sum((seen[t] - count * float(e)) ** 2 / (count * float(e)) for t, e in expected.items())
    assert abs(sq - (len(expected) - 1)) < 5 * math.sqrt(2 * len(expected))  # chi-square


@pytest.mark.parametrize("kind", biss.KINDS)
def test_searching_block_by_block_changes_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranked, "BLOCK_ANSWERS", 100)  # a few queries at once
    got = sample(TABLE, 500, in_class=float(kind == "biss/in"))
    assert got.counts()[kind] == 500
    assert set(map(tuple, got.triplets.tolist())) <= law(TABLE, kind).keys()


def test_a_query_without_an_in_class_negative_is_drawn_anew() -> None:
    rows = [row("a")] * 9 + [row("b")]
    expected = law(rows, "biss/in")
    assert 1 <= len({q for q, _, _ in expected}) <= 5
    for seed in range(20):
        assert tuple(sample(rows, 1, seed, in_class=1.0).triplets[0].tolist()) in expected


def test_the_share_of_in_class_negatives_is_exact() -> None:
    for count, share, inside in [(1000, 0.3, 300), (7, 0.3, 2), (10, 0.25, 3), (5, 0.0, 0), (5, 1.0, 5), (0, 0.3, 0)]:
        got = sample(TABLE, count, in_class=share)
        assert got.counts() == {"biss/in": inside, "biss/out": count - inside}
        assert got.triplets.dtype == np.int64
        assert got.kind.dtype == np.int8
        assert not got.short


def test_equal_seeds_draw_equal_triplets_and_others_do_not() -> None:
    first, second, other = (sample(TABLE, 60, seed).triplets.tolist() for seed in (1, 1, 2))
    assert first == second != other


def test_what_is_in_no_pool_is_in_no_triplet_and_the_whole_table_can_be_sampled() -> None:
    outside = {i for i, r in enumerate(TABLE) if r[4] != "train"}
    assert not outside & set(sample(TABLE, 3000).triplets.ravel().tolist())
    assert outside <= set(sample(TABLE, 3000, split=None).triplets.ravel().tolist())


def test_a_shop_crop_of_a_street_product_serves_but_does_not_ask() -> None:
    rows = [row("a", side="street"), row("a", split=""), row("b", side="street"), row("b", split=""), row("c", "bag")]
    got = sample(rows, 400, in_class=0.0)
    assert set(got.triplets[:, 0].tolist()) == {0, 2}  # c has no other bag
    assert {1, 3} <= set(got.triplets[:, 1].tolist())


@pytest.mark.parametrize(
    ("rows", "kind", "reason"),
    [
        ([], "biss/in", "the split has no crop to ask with"),
        ([row("a", split="test"), row("b", split="test")], "biss/out", "the split has no crop to ask with"),
        ([row("a"), row("b", "bag")], "biss/out", "every crop has no other photo in its category"),
        ([row("a"), row("a"), row("a")], "biss/in", "every crop has no other product in its category"),
        ([row("a"), row("b"), row("c")], "biss/out", "every crop has no product of another category"),
        ([row("a"), row("b")], "biss/in", "of every query the in-class ranks hold only its product"),
        ([row("a"), row("a"), row("b", photo="1"), row("c", photo="1")], "biss/in", ""),  # a has one: b or c
        ([row("a"), row("a"), row("a", "bag")], "biss/out", "every crop has no product of another category"),
    ],
)
def test_a_kind_that_cannot_be_had_says_why_and_gives_its_share_to_no_other(
    rows: list[Row], kind: str, reason: str
) -> None:
    got = sample(rows, 10, in_class=float(kind == "biss/in"))
    if not reason:
        assert got.counts()[kind] == 10
        return
    assert len(got.triplets) == 0
    assert list(got.short.values()) == [10]
    assert next(iter(got.short)).startswith(f"{kind}: {reason}")


def test_crops_that_can_be_no_query_are_counted() -> None:
    got = sample([row("a"), row("b"), row("c"), row("d", "bag")], 20, in_class=0.5)
    assert got.skipped == {
        "there is no other photo in its category": 1,
        "there is no other product in its category": 1,
    }
    assert got.counts() == {"biss/in": 10, "biss/out": 10}


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"positives": 5}, "positives, first, last are 5, 5, 8; needed is 1 <= positives < first <= last"),
        ({"positives": 0}, "needed is 1 <= positives"),
        ({"last": 4}, "needed is 1 <= positives < first <= last"),
        ({"in_class": 1.5}, "in_class is 1.5; allowed is 0 to 1"),
        ({"in_class": float("nan")}, "in_class is nan"),
        ({"count": -1}, "count is -1; allowed is 0 or more"),
        ({"split": "none"}, "no split is called 'none'"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(numbers: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sample(**{"rows": TABLE, "count": 1, **numbers})  # type: ignore[arg-type]


def test_descriptors_must_be_there_and_have_a_row_for_every_crop() -> None:
    table = crops(TABLE)
    for vectors, said in (
        ({}, "no descriptors"),
        ({"s": torch.zeros(3, 2)}, rf"'s' are \[3, 2\]; .*\[{len(TABLE)}, D\]"),
    ):
        with pytest.raises(ValueError, match=said):
            biss.sample(table, vectors, 1, np.random.default_rng(0), split=None)
