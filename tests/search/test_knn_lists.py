"""What is searched for again when a catalog changes, and what a list says then."""

from pathlib import Path

import numpy as np
import pytest

from tests.search.knn_shop import PARAMS, Killed, Shop, answers, by_hand, killed_after, write
from visnet.pipeline.log import SILENT
from visnet.stages import knn_results
from visnet.stages.knn_results import Params
from visnet.storage.table import Table


@pytest.fixture(autouse=True)
def merge_always(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "anew" not in request.node.name:
        monkeypatch.setattr(knn_results, "ANEW_SHARE", 2.0)


def shop_of(products: int, seed: int) -> Shop:
    rng = np.random.default_rng(seed)
    return {
        f"{photo}{product:03d}|p{product:03d}|0": (
            f"p{product:03d}", "bags", "shop", tuple(rng.integers(-50, 50, 4).tolist()),
        )
        for product in range(products)
        for photo in "ab"
    }  # fmt: skip


def test_a_small_change_searches_little_and_the_digest_is_a_clean_builds(tmp_path: Path) -> None:
    shop = shop_of(200, seed=1)
    write(tmp_path / "vectors", shop)
    first = knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
    assert (first["lists_searched"], first["lists_merged"], first["added"]) == (200, 0, 200)
    for crop in ("a007|p007|0", "b007|p007|0"):
        del shop[crop]
    shop["a300|p300|0"] = ("p300", "bags", "shop", (1, 2, 3, 4))
    write(tmp_path / "vectors", shop)
    second = knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
    assert second["lists_searched"] == 1  # of the new product
    assert 0 < second["lists_merged"] < 30
    assert (second["added"], second["removed"]) == (1, 1)
    clean = knn_results.build(tmp_path / "vectors", out=tmp_path / "clean", params=PARAMS, log=SILENT)
    assert second["digest"] == clean["digest"]
    version = Table(tmp_path / "out" / "knn.lance").version
    third = knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
    assert third["digest"] == clean["digest"]
    assert [third[key] for key in ("added", "changed", "removed", "lists_searched", "lists_merged")] == [0] * 5
    assert Table(tmp_path / "out" / "knn.lance").version == version  # nothing new: nothing written


@pytest.mark.parametrize("what", ["another model", "other k", "most of it, anew"])
def test_lists_are_made_anew(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn_results, "ANEW_SHARE", 0.25)
    shop, params, model = shop_of(40, seed=2), PARAMS, "m1"
    write(tmp_path / "vectors", shop)
    knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=params, log=SILENT)
    if what == "another model":
        model = "m2"
    elif what == "other k":
        params = Params(k=4, similar_k=3)
    else:
        shop |= dict(list(shop_of(40, seed=3).items())[:30])
    write(tmp_path / "vectors", shop, model)
    again = knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=params, log=SILENT)
    clean = knn_results.build(tmp_path / "vectors", out=tmp_path / "clean", params=params, log=SILENT)
    assert again["lists_searched"] == 40
    assert again["digest"] == clean["digest"]


def test_a_change_that_was_half_applied_and_then_undone_leaves_no_trace(tmp_path: Path) -> None:
    shop = shop_of(30, seed=4)
    moved = shop | {"a007|p007|0": ("p007", "bags", "shop", shop["a000|p000|0"][3])}
    more = shop | {"c008|p008|0": ("p008", "bags", "shop", shop["a001|p001|0"][3])}
    write(tmp_path / "vectors", shop)
    clean = knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
    stopped = 0
    for other in (moved, more):
        for commits in range(6):
            write(tmp_path / "vectors", other)
            with killed_after(commits):
                try:
                    knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
                except Killed:
                    stopped += 1
            write(tmp_path / "vectors", shop)
            again = knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
            assert again["digest"] == clean["digest"], commits
    assert stopped >= 6


def test_products_whose_joined_names_are_alike_have_a_list_each(tmp_path: Path) -> None:
    names = (
        [(f"a{sign}b", "c") for sign in "|/:=\t\n\x1f"] + [("a", f"b{sign}c") for sign in "|/:=\t\n\x1f"] + [("", "a")]
    )
    shop: Shop = {
        f"{number:02d} {other}": (product + other, category, "shop", (number, number // 2))
        for number, (category, product) in enumerate(names)
        for other in ("", "'")
    }
    write(tmp_path / "vectors", shop)
    knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
    assert answers(tmp_path / "out") == by_hand(shop)


def test_a_product_that_changes_its_category_is_noticed_whatever_signs_their_names_have(tmp_path: Path) -> None:
    shop: Shop = {f"{row:02d}": (f"p{row}", ("q|r", "r")[row % 2], "shop", (row, 1)) for row in range(8)}
    write(tmp_path / "vectors", shop | {"99": ("p", "q|r", "shop", (3, 3))})
    knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
    moved: Shop = shop | {"99": ("p|q", "r", "shop", (3, 3))}
    write(tmp_path / "vectors", moved)
    knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
    assert answers(tmp_path / "out") == by_hand(moved)


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_category_can_lose_all_but_the_last_of_its_photos(left: int, tmp_path: Path) -> None:
    folder, out = tmp_path / "vectors", tmp_path / "out"
    out.mkdir()
    shop: Shop = {f"s{at}": (f"p{at}", "bags", "shop", (at, 0)) for at in range(6)}
    shop |= {"asked": ("p0", "bags", "street", (0, 0)), "other": ("q0", "shoes", "shop", (0, 0))}
    write(folder, shop)
    knn_results.build(folder, out=out, params=PARAMS, log=SILENT)
    kept = {crop: row for crop, row in shop.items() if crop in ("asked", "other", *(f"s{at}" for at in range(left)))}
    write(folder, kept)
    knn_results.build(folder, out=out, params=PARAMS, log=SILENT)
    assert [product for product, *_ in answers(out).get("asked", [])] == [f"p{at}" for at in range(left)]
