"""Verdicts on photos are a part of the version that is served, and told of each photo; without them it is as before."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.apart import within
from tests.quality.verdicts import leave_out, put_verdicts, shop_crops
from tests.refreshing import numbers, refresh
from tests.serving.app.running import served
from visnet.client import Client
from visnet.commands import deploy, verify
from visnet.errors import Damaged
from visnet.pipeline.log import SILENT
from visnet.serving import catalog, versions
from visnet.serving.app.answers.catalog import QUALITY, PhotoQuality
from visnet.serving.app.facts import Facts
from visnet.serving.searcher import Searcher
from visnet.serving.shop_gallery import ShopGallery

SAID = {"p000": ("bad", "blurred", 0.98), "p001": ("unsure", "close_up", 0.5), "p002": ("good", "", 0.25)}


@pytest.fixture
def judged(shop: Path) -> Path:
    """The shop after verdicts on three of its products were published."""
    put_verdicts(shop, SAID)
    refresh(shop, "publish")
    return shop


def photos_of(told: dict[str, Any]) -> list[Any]:
    return [photo["quality"] for photo in told["photos"]]


def test_each_photo_of_a_product_has_its_verdict_and_one_that_nobody_judged_none(judged: Path) -> None:
    parts = [versions.facts(judged / "data/publish", number)["parts"] for number in (1, 2)]
    assert parts[1].keys() - parts[0].keys() == {"quality"}
    assert parts[0].items() < parts[1].items(), "nothing else is new"
    with served(judged / "data") as http, Client(str(http.base_url)) as client:
        for product, (verdict, fault, score) in SAID.items():
            quality = {"verdict": verdict, "fault": fault or None, "score": score}
            assert photos_of(http.get(f"/v1/products/{product}").json()) == [quality, quality]
        assert photos_of(http.get("/v1/products/p003").json()) == [None, None]
        first = client.product("p001").photos[0]
        assert first.quality == PhotoQuality(verdict="unsure", fault="close_up", score=0.5)
        schemas = http.get("/v1/openapi.json").json()["components"]["schemas"]
        assert schemas["PhotoQuality"]["examples"] == [QUALITY]
        assert PhotoQuality.model_validate(QUALITY)


def test_other_verdicts_are_a_new_version_and_the_same_are_none(judged: Path) -> None:
    refresh(judged, "publish")
    assert numbers(judged) == [1, 2]
    put_verdicts(judged, SAID | {"p002": ("bad", "blurred", 0.99)})
    refresh(judged, "publish")
    assert numbers(judged) == [1, 2, 3]
    with served(judged / "data") as http:
        assert photos_of(http.get("/v1/products/p002").json())[0]["score"] == 0.99


def test_a_version_of_before_knows_nothing_of_its_photos(shop: Path) -> None:
    with catalog.open_current(shop / "data") as version:
        assert (version.quality, {"quality", "left_out"} & version.facts()["parts"].keys()) == (None, set())
    with served(shop / "data") as http:
        assert photos_of(http.get("/v1/products/p000").json()) == [None, None]


def test_what_is_left_out_is_not_shown_and_deploy_and_verify_know_both_parts(judged: Path) -> None:
    out, stays = shop_crops(judged, "p000")
    leave_out(judged, [out])
    refresh(judged, "catalog_embeddings", "knn_results", "publish")
    with served(judged / "data") as http:
        told = http.get("/v1/products/p000").json()
        assert [photo["photo_id"].partition(".")[0] for photo in told["photos"]] == [stays]
        assert http.get(told["photos"][0]["url"].replace(stays, out)).status_code == 404
        assert http.get("/v1/catalog").json()["photos"] == 47
    publish = judged / "data/publish"
    assert {"quality", "left_out"} < versions.facts(publish, 3)["parts"].keys()
    with within(judged):
        assert "version 3            OK" in verify.run(SILENT)
        shutil.rmtree(versions.folder(publish, 3))
        assert deploy.run() == "Version 4 is served"
        assert "version 4            OK" in verify.run(SILENT)
        file = versions.folder(publish, 4) / "left_out.json"
        text = file.read_text(encoding="utf-8")
        file.unlink()  # it is linked to the line's
        file.write_text(text.replace(out, stays), encoding="utf-8")
        with pytest.raises(Damaged, match=r"left_out\.json is another one"):
            verify.run(SILENT)


def test_another_picture_under_the_same_id_has_no_verdict(judged: Path) -> None:
    with catalog.open_current(judged / "data") as version:
        facts = Facts(version, Searcher(version.trained_model, ShopGallery.read(version.folder)))
        photo = facts.photo_id(str(version.vectors().of(side="shop", product_id="p000").rows["crop_id"][0]))
        assert facts.verdict(photo) == ("bad", "blurred", pytest.approx(0.98))
        assert facts.verdict(f"{photo.partition('.')[0]}.00000000") is None
