"""Photos that are left out are in no triplet, have no vector and are not served; they come back without other news."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests import learning
from tests.apart import within
from tests.quality.verdicts import CROPS, leave_out, shop_crops
from tests.refreshing import put_stock, refresh, stock
from tests.workspace import report
from visnet.embedding.vectors import read_vectors
from visnet.errors import NotReady
from visnet.runs import runner
from visnet.serving import catalog
from visnet.storage.table import Table

SHOWN = ("catalog_embeddings", "knn_results", "publish")


def shown(shop: Path) -> set[str]:
    """Return the shop's crops that the served version shows."""
    with catalog.open_current(shop / "data") as version:
        return set(version.vectors().of(side="shop").rows["crop_id"])


def digests(shop: Path) -> dict[str, Any]:
    return {stage: report(shop, stage)["digest"] for stage in ("catalog_embeddings", "knn_results")}


def test_photos_are_taken_out_and_come_back_and_nothing_else_is_made_anew(shop: Path) -> None:
    whole, before = shown(shop), digests(shop)
    out = {shop_crops(shop, "p003")[0], shop_crops(shop, "p004")[1]}
    leave_out(shop, out)
    refresh(shop, *SHOWN)
    assert shown(shop) == whole - out
    counts = [report(shop, "catalog_embeddings")[name] for name in ("added", "changed", "removed")]
    assert (counts, report(shop, "knn_results")["gallery"]) == ([0, 0, 2], len(whole) - 2)
    told = report(shop, "publish")
    assert (told["products"], told["added"], told["changed"], told["removed"]) == (24, 0, 2, 0)
    assert out < set(Table(shop / CROPS).read(["crop_id"])["crop_id"].to_pylist()), "they are not lost"
    leave_out(shop, [min(out)])
    refresh(shop, *SHOWN)
    assert (shown(shop), report(shop, "catalog_embeddings")["added"]) == (whole - {min(out)}, 1)
    leave_out(shop, [])
    refresh(shop, *SHOWN)
    assert (shown(shop), digests(shop)) == (whole, before), "as if nothing had ever been left out"


def test_publishing_refuses_vectors_and_lists_of_photos_that_are_left_out(shop: Path) -> None:
    leave_out(shop, shop_crops(shop, "p003")[:1])
    with pytest.raises(ValueError, match=r"1 vectors are not of today's crops .*; run `dvc repro catalog_embeddings`"):
        refresh(shop, "publish")
    with pytest.raises(ValueError, match=r"the lists are not of today's vectors .*; run `dvc repro knn_results`"):
        refresh(shop, "catalog_embeddings", "publish")


def test_a_choice_among_other_photos_keeps_all_from_being_embedded_and_served(shop: Path) -> None:
    leave_out(shop, shop_crops(shop, "p003")[:1])
    put_stock(shop, stock(25))
    refresh(shop, "raw_images", "crops")
    for stage in ("catalog_embeddings", "publish", "duplicates"):
        with pytest.raises(NotReady, match="run `dvc repro photo_quality`"), within(shop):
            runner.run(stage, tables=runner.read_params() | {"duplicates": {"enabled": True}})


def test_a_photo_that_is_left_out_is_no_copy_of_another(shop: Path) -> None:
    def pairs() -> set[str]:
        with within(shop):
            runner.run("duplicates", tables=runner.read_params() | {"duplicates": {"enabled": True, "score_min": 0.01}})
        rows = Table(shop / "data/duplicates/duplicates.lance").read(["a_crop_id", "b_crop_id"]).to_pydict()
        return {*rows["a_crop_id"], *rows["b_crop_id"]}

    out = min(pairs())
    leave_out(shop, [out])
    refresh(shop, "catalog_embeddings", "knn_results")
    assert out not in pairs()
    assert report(shop, "duplicates")["photos"] == 47


def test_no_triplet_has_a_photo_that_is_left_out_and_the_evaluation_misses_none(learnt: Path, tmp_path: Path) -> None:
    shop = learning.copy(learnt, tmp_path / "shop")

    def sampled() -> set[str]:
        tables = [pq.read_table(shop / f"data/triplets/{split}.parquet") for split in ("train", "validation", "test")]
        return {crop for table in tables for name in ("q", "p", "n") for crop in table[name].to_pylist()}

    # The first photos of products: those that sheets show where nothing is left out.
    out = {shop_crops(shop, product)[0] for product in ("0-0", "0-5", "1-6")}
    assert out & sampled()
    before = report(shop, "triplets")
    leave_out(shop, out)
    learning.run(shop, "triplets")
    learning.evaluate(shop)
    listed = set(pq.read_table(shop / "data/triplets/photos.parquet")["crop_id"].to_pylist())
    every = set(Table(shop / CROPS).read(["crop_id"])["crop_id"].to_pylist())
    assert (listed, sampled() & out) == (every - out, set())
    assert not out & set(read_vectors(shop / "data/catalog_embeddings").rows["crop_id"])
    said = report(shop, "triplets")
    assert (before["left_out"], said["left_out"], said["digest"] == before["digest"]) == (0, 3, False)
    assert report(shop, "evaluation")["queries"] == report(learnt, "evaluation")["queries"]


def test_where_no_photo_is_bad_the_triplets_are_as_they_were(learnable: Path, tmp_path: Path) -> None:
    shop = learning.copy(learnable, tmp_path / "shop")
    before = report(shop, "triplets")["digest"]
    leave_out(shop, [])
    learning.run(shop, "triplets")
    assert report(shop, "triplets")["digest"] == before
