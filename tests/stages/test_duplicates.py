"""The stage duplicates: what it finds in a small shop, how it follows changes, and what a person's decisions do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import refreshing
from tests.duplicates.shop import COPIES, PLAIN, Stock, pairs, put, run
from tests.workspace import report
from visnet.duplicates import decisions
from visnet.duplicates.decisions import CONFIRMED, DISMISSED
from visnet.serving import catalog
from visnet.serving.duplicates import duplicate_groups
from visnet.storage.table import Table


def decide(shop: Path, what: str, a: str, b: str) -> None:
    rows = Table(shop / "data/duplicates/photos.lance").read(["product_id", "key"]).to_pylist()
    key = {row["product_id"]: row["key"] for row in sorted(rows, key=lambda row: row["key"])}
    found = Table(shop / "data/duplicates/duplicates.lance").opened().to_table().to_pylist()
    for row in found:
        if {row["a_product_id"], row["b_product_id"]} == {a, b}:
            key[row["a_product_id"]], key[row["b_product_id"]] = row["a_key"], row["b_key"]
    path = shop / "duplicates.csv"
    decisions.write(path, decisions.read(path).put(decisions.row(what, key[a], key[b]), True))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = refreshing.make(tmp_path_factory.mktemp("duplicates") / "shop", {})
    put(shop, {**PLAIN, **COPIES})
    run(shop)
    return shop


@pytest.fixture
def shop(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "shop"))


FOUND = [
    ("p000", "p100", "mirrored", ""),
    ("p000", "p101", "same", ""),
    ("p003", "p102", "same", ""),
    ("p100", "p101", "mirrored", ""),
]


def test_copies_are_found_and_colour_variants_are_not(built: Path) -> None:
    assert pairs(built) == FOUND
    said = report(built, "duplicates")
    assert (said["groups"], said["products_in_groups"], said["undecided"], said["pairs_within_products"]) == (
        2,
        5,
        4,
        0,
    )
    assert (built / "reports/duplicates.png").stat().st_size > 2000
    assert not (built / "data/duplicates/duplicate_groups.json").exists()


CHANGES: list[Callable[[Stock], Stock]] = [
    lambda stock: {
        **stock,
        "p104": (6, "cut", None),
        "p008": (8, "", None),
        "p102": (1, "mirrored", None),
    },  # and changed
    lambda stock: {product: what for product, what in stock.items() if product not in ("p000", "p004")},  # some gone
    lambda stock: {**stock, "p000": (0, "", None)},  # one comes back
]


@pytest.mark.parametrize("alike_min", [0.95, 1.0])  # by the first, too many pairs are alike to this model
def test_after_changes_it_is_what_a_clean_build_gives_and_only_news_is_compared(
    alike_min: float, shop: Path, tmp_path: Path
) -> None:
    stock: Stock = {**PLAIN, **COPIES}
    run(shop, "duplicates", alike_min=alike_min)
    for number, change in enumerate(CHANGES):
        stock = change(stock)
        put(shop, stock)
        run(shop, alike_min=alike_min)
        clean = Path(shutil.copytree(shop, tmp_path / f"clean{number}"))
        shutil.rmtree(clean / "data/duplicates")
        run(clean, "duplicates", alike_min=alike_min)
        assert pairs(shop) == pairs(clean)
        ours, theirs = report(shop, "duplicates"), report(clean, "duplicates")
        same = ("digest", "pairs", "groups", "compared")
        assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
        assert ours["photos_new"] < theirs["photos_new"] / 3
    run(shop, "duplicates", alike_min=alike_min)
    again = report(shop, "duplicates")
    assert [again[name] for name in ("photos_new", "pairs_new", "added", "changed", "removed")] == [0] * 5


def test_what_a_person_decided_is_honoured_published_and_outlives_scores(shop: Path) -> None:
    run(shop, "publish")
    with catalog.open_current(shop / "data") as version:
        assert (duplicate_groups(version), "duplicates" in version.facts()["parts"]) == ({}, False)
    decide(shop, DISMISSED, "p000", "p100")
    decide(shop, DISMISSED, "p100", "p101")
    decide(shop, CONFIRMED, "p003", "p102")
    decide(shop, CONFIRMED, "p005", "p103")  # which no score joins: a person does
    run(shop, "duplicates")
    assert [(a, b, what) for a, b, _, what in pairs(shop)] == [
        ("p000", "p100", DISMISSED),
        ("p000", "p101", ""),
        ("p003", "p102", CONFIRMED),
        ("p005", "p103", CONFIRMED),
        ("p100", "p101", DISMISSED),
    ]
    confirmed = {"p003": "p003", "p102": "p003", "p005": "p005", "p103": "p005"}
    assert json.loads((shop / "data/duplicates/duplicate_groups.json").read_text()) == confirmed
    said = report(shop, "duplicates")
    assert (said["groups"], said["undecided"], said["confirmed"], said["dismissed"]) == (3, 1, 2, 2)
    run(shop, "publish")
    with catalog.open_current(shop / "data") as version:
        assert duplicate_groups(version) == confirmed
    decide(shop, CONFIRMED, "p000", "p101")
    run(shop, "duplicates", "publish")
    with catalog.open_current(shop / "data") as version:
        assert duplicate_groups(version) == {**confirmed, "p000": "p000", "p101": "p000"}, "decided at another time"
    run(shop, "duplicates", score_min=0.99)
    assert [pair[:2] for pair in pairs(shop) if pair[3] == CONFIRMED] == [
        ("p000", "p101"),
        ("p003", "p102"),
        ("p005", "p103"),
    ]
    (shop / "duplicates.csv").unlink()
    run(shop, "duplicates", "publish")
    with catalog.open_current(shop / "data") as version:
        assert duplicate_groups(version) == {}, "all of it was taken back"


def test_switched_off_nothing_is_left(shop: Path) -> None:
    run(shop, "duplicates", enabled=False)
    assert report(shop, "duplicates")["enabled"] is False
    assert list((shop / "data/duplicates").glob("*.lance")) == []
