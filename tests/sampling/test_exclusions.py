"""What a person excluded is never drawn, the rest is drawn as before, and the file keeps what it was told."""

import functools
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visnet.sampling import exclusions, metadata, street2shop
from visnet.sampling.crops import Crops
from visnet.sampling.exclusions import EXCLUDED, Draw, Exclusions, row

COLUMNS = ["product_id", "category", "colour", "side", "split"]
MIX = {"product/out": 3, "product/in": 3, "colour/out": 2, "colour/in": 2}
DRAWS: dict[str, Draw] = {
    "metadata": lambda crops, count, rng: metadata.sample(crops, count, MIX, rng, split="train"),
    "street2shop": lambda crops, count, rng: street2shop.sample(crops, 3, rng, split="train", limit=count),
}
ROWS = st.lists(
    st.tuples(
        st.sampled_from("aabbcd"),
        st.sampled_from(["hat", "hat", "bag"]),
        st.sampled_from(["red", "blue", ""]),
        st.sampled_from(["street", "shop", "shop"]),
        st.sampled_from(["train", "train", "test", ""]),
    ),
    max_size=12,
)
IDS = st.sampled_from([f"crop {i}" for i in range(14)])  # two more than there are crops
PAIRS = st.tuples(IDS, IDS).filter(lambda pair: pair[0] != pair[1])
LISTS = st.builds(
    lambda photos, positives, negatives: Exclusions(
        frozenset(
            [row("photo", a) for a in photos]
            + [row("positive", *pair) for pair in positives]
            + [row("negative", *pair) for pair in negatives]
        )
    ),
    *(st.lists(IDS, max_size=3), st.lists(PAIRS, max_size=12), st.lists(PAIRS, max_size=12)),
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=6)


def crops(*rows: tuple[str, str, str, str, str]) -> tuple[Crops, list[str]]:
    """Make crops of (product, category, colour, side, split), called crop 0, crop 1, …"""
    return Crops.from_frame(pd.DataFrame(rows, columns=COLUMNS)), [f"crop {i}" for i in range(len(rows))]


def excluding(*rows: tuple[str, ...]) -> Exclusions:
    return Exclusions(frozenset(row(*one) for one in rows))


@pytest.mark.parametrize("name", DRAWS)
@given(rows=ROWS, listed=LISTS, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=80)
def test_nothing_excluded_is_drawn_and_every_triplet_is_still_one_of_its_kind(
    name: str, rows: list[tuple[str, str, str, str, str]], listed: Exclusions, seed: int
) -> None:
    table, ids = crops(*rows)
    count = 40
    got = listed.sample(DRAWS[name], table, ids, count, np.random.default_rng(seed))
    here, _ = listed.keep(table, ids)
    there = DRAWS[name](here, count, np.random.default_rng(seed))
    assert len(got.triplets) + sum(got.short.values()) == len(there.triplets) + sum(there.short.values())
    short = {kind: got.short.get(f"{kind}: {EXCLUDED}", 0) for kind in got.kinds}
    assert Counter(got.counts()) + Counter(short) == +Counter(there.counts())
    for (q, p, n), number in zip(got.triplets.tolist(), got.kind.tolist(), strict=True):
        assert not {f"photo,{ids[i]}" for i in (q, p, n)} & {f"{what},{a}" for what, a, _ in listed.rows}
        assert not {("positive", ids[q], ids[p]), ("positive", ids[p], ids[q])} & listed.rows
        assert not {("negative", ids[q], ids[n]), ("negative", ids[n], ids[q])} & listed.rows
        same, apart = got.kinds[number].split("/") if "/" in got.kinds[number] else ("product", "in")
        assert rows[q][4] == "train"
        assert q != p
        assert (rows[p][0] == rows[q][0]) == (same == "product")
        assert rows[n][0] != rows[q][0]
        assert (rows[n][1] == rows[q][1]) == (apart == "in")


@pytest.mark.parametrize("name", DRAWS)
@given(rows=ROWS, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_a_list_that_names_no_crop_changes_nothing(
    name: str, rows: list[tuple[str, str, str, str, str]], seed: int
) -> None:
    table, ids = crops(*rows)
    mine, alone = np.random.default_rng(seed), np.random.default_rng(seed)
    gone = excluding(("photo", "gone"), ("positive", "gone", "crop 0"), ("negative", "gone", "lost"))
    got, expected = gone.sample(DRAWS[name], table, ids, 30, mine), DRAWS[name](table, 30, alone)
    assert got.triplets.dtype == expected.triplets.dtype
    assert got.triplets.tolist() == expected.triplets.tolist()
    assert got.kind.tolist() == expected.kind.tolist()
    assert (got.short, got.skipped) == (expected.short, expected.skipped)
    assert mine.bit_generator.state == alone.bit_generator.state


# Product a: a street crop and three shop crops; b and c: two shop crops each.
SHOP = [
    ("a", "hat", "red", "street", "train"),
    *[("a", "hat", "red", "shop", "train")] * 3,
    *[("b", "hat", "blue", "shop", "train")] * 2,
    *[("c", "bag", "red", "shop", "train")] * 2,
]


def test_what_is_left_is_drawn_evenly_in_its_place() -> None:
    table, ids = crops(*SHOP)
    listed = excluding(("positive", "crop 2", "crop 0"), ("negative", "crop 0", "crop 4"))
    got = listed.sample(DRAWS["street2shop"], table, ids, 6, np.random.default_rng(0))
    assert not got.short
    many = functools.partial(metadata.sample, mix={"product/in": 1}, split="train")
    draw: Draw = lambda crops, count, rng: many(crops, count, rng=rng)  # noqa: E731
    drawn = listed.sample(draw, table, ids, 6000, np.random.default_rng(0)).triplets
    of_street = Counter(map(tuple, drawn[drawn[:, 0] == 0].tolist()))
    assert set(of_street) == {(0, 1, 5), (0, 3, 5)}
    assert max(of_street.values()) < 1.25 * min(of_street.values())
    assert (2, 0) not in set(map(tuple, drawn[:, :2].tolist()))  # the other way round
    assert (4, 0) not in set(map(tuple, drawn[:, [0, 2]].tolist()))


def test_every_kind_keeps_its_quota() -> None:
    table, ids = crops(*SHOP)
    listed = excluding(*(("negative", f"crop {q}", "crop 4") for q in range(4)))  # bears on the rare kind only
    draw: Draw = lambda crops, count, rng: metadata.sample(  # noqa: E731
        crops, count, {"product/out": 0.99, "product/in": 0.01}, rng, split="train"
    )
    got = listed.sample(draw, table, ids, 1000, np.random.default_rng(0))
    assert {kind: n for kind, n in got.counts().items() if n} == {"product/out": 990, "product/in": 10}


def test_what_cannot_be_had_any_more_is_said_with_its_reason() -> None:
    table, ids = crops(*SHOP)
    listed = excluding(("negative", "crop 0", "crop 4"), ("negative", "crop 0", "crop 5"))
    got = listed.sample(DRAWS["street2shop"], table, ids, 5, np.random.default_rng(0))
    assert len(got.triplets) == 0
    assert got.short == {f"street2shop: {EXCLUDED}": 5}
    photos = excluding(("photo", "crop 4"), ("photo", "crop 5"))
    got = photos.sample(DRAWS["street2shop"], table, ids, 5, np.random.default_rng(0))
    assert got.short == {f"street2shop: {street2shop.NO_NEGATIVE}": 9}  # the sampler's own reason and count


def test_a_product_without_its_street_crops_comes_into_no_other_split() -> None:
    rows = [
        ("a", "hat", "red", "street", "test"),  # with this one a is kept for the test, whatever its shop crops say
        ("a", "hat", "red", "shop", "train"),
        ("a", "hat", "red", "shop", "test"),
        *[("b", "hat", "red", side, "train") for side in ("street", "shop")],
    ]
    table, ids = crops(*rows)
    assert table.pool("train").tolist() == [False, False, False, True, True]
    here, kept = excluding(("photo", "crop 0")).keep(table, ids)
    assert kept.tolist() == [1, 2, 3, 4]
    assert here.pool("train").tolist() == [False, False, True, True]
    assert here.pool("test").tolist() == [False, True, False, False]


def test_a_list_comes_back_as_it_was_written_and_stands_sorted(tmp_path: Path) -> None:
    path = tmp_path / "exclusions.csv"

    @given(st.lists(st.tuples(TEXT, TEXT).filter(lambda pair: pair[0] != pair[1]), max_size=6))
    @settings(max_examples=40)
    def check(pairs: list[tuple[str, str]]) -> None:
        listed = excluding(*(("positive", *p) for p in pairs), *(("negative", *p) for p in pairs), *_photos(pairs))
        exclusions.write(path, listed)
        first = path.read_bytes()
        assert exclusions.read(path) == listed
        exclusions.write(path, exclusions.read(path))
        assert path.read_bytes() == first

    check()
    exclusions.write(path, excluding(("positive", "x", "b"), ("positive", "b", "x"), ("photo", "z"), ("photo", "a,b")))
    assert path.read_text() == 'what,a,b\nphoto,"a,b",\nphoto,z,\npositive,b,x\n'
    assert list(tmp_path.iterdir()) == [path]


def _photos(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [("photo", a) for a, _ in pairs]


def test_the_projects_own_list_and_a_missing_one_exclude_nothing(tmp_path: Path) -> None:
    assert exclusions.read(tmp_path / "none.csv") == Exclusions()
    ours = Path(__file__).resolve().parents[2] / "exclusions.csv"
    assert ours.read_text().splitlines()[0] == "what,a,b"


def test_ids_that_are_gone_are_counted_once() -> None:
    listed = excluding(("photo", "x"), ("positive", "x", "y"), ("negative", "crop 0", "crop 1"))
    assert listed.unknown(["crop 0", "crop 1"]) == 2
    assert Exclusions().unknown([]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: the header must be what,a,b"),
        ("photo,x,\n", "line 1: the header must be what,a,b"),
        ("what,a,b\nphoto,x,\n\nphotos,x,\n", "line 4: what is 'photos'; allowed are photo, positive, negative"),
        ("what,a,b\nphoto,x,y\n", "line 2: a is 'x', b is 'y'; allowed for photo is one crop id, in column a"),
        ("what,a,b\npositive,x,\n", "line 2: a is 'x', b is ''; allowed for positive is two different crop ids"),
        ("what,a,b\nnegative,x,x\n", "allowed for negative is two different crop ids"),
        ('what,a,b\nphoto,"x\ny",\n', "a is 'x\\ny'"),
        ("what,a,b\nphoto,,\n", "line 2: a is '', b is ''"),
        ("what,a,b\nnegative,x,y,z\n", "line 2: there are 4 columns; allowed are what,a,b"),
    ],
)
def test_a_bad_line_is_named_with_what_is_allowed(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "exclusions.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{path}: ") as caught:
        exclusions.read(path)
    assert said in str(caught.value)


def test_bytes_that_are_no_text_are_named_and_a_spreadsheets_byte_order_mark_is_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "exclusions.csv"
    path.write_bytes(b"what,a,b\nphoto,\xff,\n")
    with pytest.raises(ValueError, match=f"^{path}: line "):
        exclusions.read(path)
    path.write_bytes(b"\xef\xbb\xbfwhat,a,b\r\nphoto,x\r\n")
    assert exclusions.read(path) == excluding(("photo", "x"))
