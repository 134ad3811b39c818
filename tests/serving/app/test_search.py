"""Search by photo: the answers are the searcher's, told page by page, and found again by their link."""

import io
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from PIL import Image

from tests.serving.app.running import COUNTED, jpeg, photo_of, search, served
from visnet.photos import codec
from visnet.serving import catalog
from visnet.serving.searcher import Searcher
from visnet.serving.shop_gallery import ShopGallery


@pytest.fixture(scope="module")
def searcher(place: Path) -> Searcher:
    with catalog.open_current(place / "data") as version:
        return Searcher(version.trained_model, ShopGallery.read(version.folder), version.folder)


def told(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("category", [None, "hat"])
def test_the_answers_are_the_searchers_to_the_bit(
    client: httpx.Client, place: Path, searcher: Searcher, category: str | None
) -> None:
    photo = photo_of(place, "p003-0-1")
    fields = {"category": category} if category else {}
    found = told(search(client, photo, limit=2048, **fields))
    (hits,) = searcher.search(searcher.embed([codec.decode(photo)]), 2048, category, uncropped=True)
    keys = ("product_id", "category", "colour", "sq_distance", "probability")
    assert [[one[key] for key in keys] for one in found["results"]] == [
        [getattr(hit, key) for key in keys] for hit in hits
    ]
    assert [one["photo_id"].partition(".")[0] for one in found["results"]] == [hit.crop_id for hit in hits]
    assert found["total"] == len(hits) == (12 if category else 24)
    assert found["facets"]["category"] == [
        {"value": name, "count": 12} for name in ([category] if category else ["bag", "hat"])
    ]
    assert found["facets"]["colour"] == [{"value": "red", "count": len(hits)}]
    assert all(one["exact"] for one in found["results"])
    assert found["lineage"] == {
        "catalog_version": 2,
        "published": found["lineage"]["published"],
        "model": found["lineage"]["model"],
        "mlflow_run": None,
        "dagster_run": None,
        "exact": True,
        "duplicate_groups": 0,
    }


def test_a_photo_that_no_box_was_cut_out_of_is_less_sure(client: httpx.Client, place: Path) -> None:
    photo = photo_of(place, "p003-0-1")
    whole = told(search(client, photo, limit=24))
    boxed = told(search(client, photo, limit=24, box="0,0,32,32"))
    known = told(client.get(f"/v1/queries/{whole['query_id']}", params={"limit": 24}))
    found, cut, kept = ([one["probability"] for one in said["results"]] for said in (whole, boxed, known))
    assert found[0] < cut[0]
    assert (found[1:], found) == (cut[1:], kept)
    compared = client.post("/v1/compare", files={"photo": photo}, data={"product_id": "p003"}).json()
    assert compared["probability"] in found


def test_pages_join_without_a_gap(client: httpx.Client, place: Path) -> None:
    photo = photo_of(place, "p003-0-1")
    whole = told(search(client, photo, limit=24))["results"]
    pages = [told(search(client, photo, limit=7, offset=offset))["results"] for offset in range(0, 28, 7)]
    assert [one for page in pages for one in page] == whole


def test_only_what_is_probable_enough_is_told_and_counted(client: httpx.Client, place: Path) -> None:
    photo = photo_of(place, "p003-0-1")
    everything = told(search(client, photo, limit=24))["results"]
    limit = everything[3]["probability"]
    likely = told(search(client, photo, min_probability=limit))
    wanted = [one for one in everything if one["probability"] >= limit]
    assert likely["results"] == wanted
    assert likely["total"] == sum(count["count"] for count in likely["facets"]["category"]) == len(wanted) < 24


def test_a_box_is_searched_for_in_pixels_of_the_upright_photo(
    client: httpx.Client, place: Path, searcher: Searcher
) -> None:
    product = Image.open(io.BytesIO(photo_of(place, "p005-0-0"))).convert("RGB").resize((64, 64))
    scene = Image.new("RGB", (200, 120), "grey")
    scene.paste(product, (100, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # held sideways: it is to be turned by 90 degrees to the right
    turned = jpeg(scene.transpose(Image.Transpose.ROTATE_90), quality=95, exif=exif)
    found = told(search(client, turned, box="100,30,164,94"))
    assert (found["photo"]["width"], found["photo"]["height"]) == (200, 120)
    assert found["boxes"] == [
        {"box": [100, 30, 164, 94], "score": None, "kind": "given", "used": True},
        {"box": [0, 0, 200, 120], "score": None, "kind": "whole", "used": False},
    ]
    assert found["results"][0]["product_id"] == "p005"
    (hits,) = searcher.search(searcher.embed([codec.decode(turned).crop((100, 30, 164, 94))]), 1)
    assert found["results"][0]["sq_distance"] == pytest.approx(hits[0].sq_distance, abs=1e-6)


def test_a_box_beyond_the_photo_is_cut_off_at_its_edges(client: httpx.Client, place: Path) -> None:
    found = told(search(client, photo_of(place, "p005-0-0"), box="-5,-5,900,900"))
    assert found["boxes"][0]["box"] == [0, 0, 32, 32]


def test_several_photos_are_of_one_thing(client: httpx.Client, place: Path, searcher: Searcher) -> None:
    photos = [photo_of(place, name) for name in ("p004-0-0", "p004-0-1", "p004-0-2")]
    found = told(search(client, *photos))
    mean = searcher.embed([codec.decode(photo) for photo in photos]).mean(0)
    (hits,) = searcher.search((mean / mean.norm())[None], 24)
    assert [one["product_id"] for one in found["results"]] == [hit.product_id for hit in hits]
    assert found["results"][0]["sq_distance"] == pytest.approx(hits[0].sq_distance, abs=1e-6)


def test_a_link_gives_the_same_answer_and_its_photo(client: httpx.Client, place: Path) -> None:
    large = jpeg(Image.open(io.BytesIO(photo_of(place, "p006-0-1"))).resize((1600, 800)), quality=95)
    first = told(search(client, large, limit=5))
    again = told(client.get(f"/v1/queries/{first['query_id']}", params=COUNTED | {"limit": 5}))
    assert again == first
    assert told(search(client, query_id=first["query_id"], limit=5)) == first
    narrowed = told(client.get(f"/v1/queries/{first['query_id']}", params={"category": "hat", "offset": 2}))
    assert {one["category"] for one in narrowed["results"]} == {"hat"}
    picture = client.get(first["photo"]["url"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(picture.content)).size == (1024, 512)
    assert (first["photo"]["width"], first["photo"]["height"]) == (1600, 800)


def test_another_box_of_an_earlier_photo_is_a_query_of_its_own(client: httpx.Client, place: Path) -> None:
    scene = Image.new("RGB", (2048, 1024), "grey")
    scene.paste(Image.open(io.BytesIO(photo_of(place, "p007-0-0"))).resize((512, 512)), (1024, 256))
    first = told(search(client, jpeg(scene, quality=95)))
    second = told(search(client, query_id=first["query_id"], box="1024,256,1536,768"))
    assert second["query_id"] != first["query_id"]
    assert second["results"][0]["product_id"] == "p007"
    assert [(box["kind"], box["used"]) for box in second["boxes"]] == [("given", True), ("whole", False)]
    assert told(client.get(f"/v1/queries/{second['query_id']}", params=COUNTED)) == second


def test_a_small_jpeg_is_kept_with_its_pixels_so_that_a_later_box_answers_as_an_earlier_one(
    client: httpx.Client, place: Path
) -> None:
    picture = Image.open(io.BytesIO(photo_of(place, "p007-0-0"))).resize((300, 200))
    private = jpeg(picture, quality=80, comment=b"at home")
    link = told(search(client, private))["query_id"]
    kept = client.get(f"/v1/queries/{link}/photo").content
    assert b"at home" in private
    assert kept == private.replace(b"\xff\xfe\x00\x09at home", b"")
    box = "20,30,180,190"
    later, earlier = told(search(client, query_id=link, box=box)), told(search(client, kept, box=box))
    assert later["results"] == earlier["results"]


def test_where_none_are_kept_there_is_no_link_and_no_file(shop: Path) -> None:
    with served(shop / "data", keep_queries=0) as client:
        found = told(search(client, photo_of(shop, "p003-0-1")))
        assert (found["query_id"], found["photo"]["url"]) == (None, None)
        assert found["results"][0]["product_id"] == "p003"
        assert client.get("/v1/queries/q_0").status_code == 404
        assert search(client, photo_of(shop, "p003-0-1"), min_probability=0.5).status_code == 422, "no calibration"
    assert not list((shop / "data").glob("queries*"))


@pytest.mark.usefixtures("one_thread")
def test_compare_is_the_distance_and_of_a_photo_and_a_product_what_a_search_says(
    client: httpx.Client, place: Path, searcher: Searcher
) -> None:
    photo = photo_of(place, "p003-0-1")
    files = [("photo", ("photo", photo))]
    for hit in told(search(client, photo))["results"][:3]:
        found = told(client.post("/v1/compare", files=files, data={"product_id": hit["product_id"]}))
        assert found["sq_distance"] == pytest.approx(hit["sq_distance"], abs=1e-6)
        assert (found["probability"], found["photos"]) == (hit["probability"], [None, hit["photo_id"]])
    two = told(client.post("/v1/compare", files=files * 2))
    assert (two["sq_distance"], two["probability"], two["photos"]) == (0, None, [None, None])
    products = told(client.post("/v1/compare", data={"product_id": ["p003", "p004"]}))
    rows = [torch.from_numpy((searcher.said["product_id"] == name).nonzero()[0]) for name in ("p003", "p004")]
    ours = [searcher.stored(row.numpy()) for row in rows]
    assert products["sq_distance"] == pytest.approx(float(torch.cdist(*ours).square().min()), abs=1e-5)
