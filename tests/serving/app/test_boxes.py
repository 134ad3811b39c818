"""With a localizer in the published version, photos without a box are searched for by the one that it proposes."""

import contextlib
import io
import math
import re
import sqlite3
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.refreshing import refresh
from tests.serving.app.running import COUNTED, photo_of, search, served
from visnet.localizing.localizer import Localizer
from visnet.models.detector import Detector
from visnet.photos import codec
from visnet.serving import catalog
from visnet.serving.searcher import Searcher
from visnet.serving.shop_gallery import ShopGallery

SMALL = {"network": "tf_efficientnet_lite0", "side_px": 64, "frozen_blocks": 6, "width": 32}


def publish_localizer(shop: Path, unsure_below: float) -> Localizer:
    """Publish a localizer that has learnt nothing, and proposes whatever has a score above a limit."""
    folder = shop / "data/localizer"
    folder.mkdir(exist_ok=True)
    found = Localizer(Detector(**SMALL), SMALL, unsure_below)  # type: ignore[arg-type]
    found.save(folder)
    refresh(shop, "publish")
    return found


def scene(shop: Path) -> bytes:
    """A photo that is not square, with a product in it."""
    whole = Image.new("RGB", (300, 160), "grey")
    whole.paste(Image.open(io.BytesIO(photo_of(shop, "p003-0-0"))).resize((120, 120)), (150, 20))
    file = io.BytesIO()
    whole.save(file, "PNG")
    return file.getvalue()


def test_the_box_is_the_localizers_and_what_is_in_it_is_searched_for(shop: Path) -> None:
    localizer, photo = publish_localizer(shop, 0.0), scene(shop)
    picture = codec.decode(photo)
    ((wanted, *further),) = localizer.propose([picture])
    left, top, width, height = wanted.box
    with served(shop / "data") as client:
        assert client.get("/v1/catalog").json()["localizer"] is True
        found = search(client, photo).json()
        link = client.get(f"/v1/queries/{found['query_id']}", params=COUNTED).json()
        other = search(client, query_id=found["query_id"], box="150,20,270,140").json()
    proposed, *others, whole = found["boxes"]
    assert [box["score"] for box in others] == pytest.approx([one.score for one in further[:4]], rel=1e-4)
    assert proposed["box"] == pytest.approx([left, top, left + width, top + height], abs=1e-3)  # pixels
    assert proposed["score"] == pytest.approx(wanted.score, rel=1e-4)
    assert (proposed["kind"], proposed["used"]) == ("proposed", True)
    assert whole == {"box": [0, 0, 300, 160], "score": None, "kind": "whole", "used": False}
    with catalog.open_current(shop / "data") as version:
        searcher = Searcher(version.trained_model, ShopGallery.read(version.folder))
    (hits,) = searcher.search(searcher.embed([codec.crop(picture, wanted.box)]), 3)
    assert [one["photo_id"].partition(".")[0] for one in found["results"][:3]] == [hit.crop_id for hit in hits]
    assert [one["sq_distance"] for one in found["results"][:3]] == pytest.approx(
        [h.sq_distance for h in hits], abs=1e-5
    )
    assert link == found
    assert other["results"][0]["product_id"] == "p003"
    assert [box["kind"] for box in other["boxes"]] == ["given", *["proposed"] * (1 + len(others)), "whole"]
    assert [box["used"] for box in other["boxes"]] == [True, *[False] * len(found["boxes"])], "the choices stay"


def test_where_it_is_unsure_the_whole_photo_is_searched_for(shop: Path) -> None:
    publish_localizer(shop, 2.0)
    with served(shop / "data") as client:
        found = search(client, scene(shop)).json()
    assert found["boxes"] == [{"box": [0, 0, 300, 160], "score": None, "kind": "whole", "used": True}]


TWO = ("150,20,270,140", "10,20,130,140")


def two_things(shop: Path) -> bytes:
    """A photo of two products, at the places of `TWO`."""
    whole = Image.open(io.BytesIO(scene(shop)))
    whole.paste(Image.open(io.BytesIO(photo_of(shop, "p004-0-1"))).resize((120, 120)), (10, 20))
    file = io.BytesIO()
    whole.save(file, "PNG")
    return file.getvalue()


def batches(client: httpx.Client, what: str) -> tuple[float, float]:
    """Return how many batches went through the network or the search, and how many questions they held."""
    text = client.get("/metrics").text
    count, total = (
        float(re.findall(rf'visnet_batch_size_{part}{{[^}}]*"{what}"[^}}]*}} (\S+)', text)[0])
        for part in ("count", "sum")
    )
    return count, total


def alone(client: httpx.Client, photo: bytes, box: str, **fields: object) -> dict[str, object]:
    """Return what a search with one box answers, as far as a group tells it."""
    found = search(client, photo, box=box, **fields).json()
    return {name: found[name] for name in ("results", "total", "facets")}


@pytest.mark.parametrize("narrowed", [{}, {"limit": 5, "offset": 3, "category": "hat"}, {"min_probability": 0.3}])
def test_boxes_that_are_grouped_answer_as_each_does_alone(
    client: httpx.Client, place: Path, narrowed: dict[str, object]
) -> None:
    photo = two_things(place)
    found = search(client, photo, box=TWO, group_by="box", **narrowed).json()
    assert [{name: one[name] for name in ("results", "total", "facets")} for one in found["groups"]] == [
        alone(client, photo, box, **narrowed) for box in TWO
    ]
    assert [one["box"] for one in found["groups"]] == [[150, 20, 270, 140], [10, 20, 130, 140]]
    assert {name: found[name] for name in ("results", "total", "facets")} == alone(client, photo, TWO[0], **narrowed)
    assert [(box["kind"], box["used"]) for box in found["boxes"]] == [
        ("given", True),
        ("given", True),
        ("whole", False),
    ]
    if not narrowed:
        assert [one["results"][0]["product_id"] for one in found["groups"]] == ["p003", "p004"]


def test_a_grouped_search_is_a_link_and_so_is_each_of_its_groups(client: httpx.Client, place: Path) -> None:
    found = search(client, two_things(place), box=TWO, group_by="box").json()
    assert client.get(f"/v1/queries/{found['query_id']}", params=COUNTED).json() == found
    assert search(client, query_id=found["query_id"]).json() == found
    assert search(client, query_id=found["query_id"], group_by="box").json() == found
    second = found["groups"][1]
    link = client.get(f"/v1/queries/{second['query_id']}", params=COUNTED).json()
    assert (link["results"], link["groups"]) == (second["results"], None)
    assert [box["used"] for box in link["boxes"]] == [False, True, False]
    assert client.get(link["photo"]["url"]).content == client.get(found["photo"]["url"]).content
    event = {"query_id": second["query_id"], "product_id": "p004", "kind": "click", "event_id": "of a group"}
    assert client.post("/v1/events", json=event).status_code == 200
    ungrouped = search(client, two_things(place), box=TWO).json()
    apart = search(client, query_id=ungrouped["query_id"], group_by="box").json()
    assert [one["box"] for one in apart["groups"]] == [one["box"] for one in found["groups"]]
    beyond = client.get(f"/v1/queries/{found['query_id']}-3")
    assert (beyond.status_code, "is no part of" in beyond.json()["detail"]) == (404, True)


def test_of_a_query_by_another_model_the_same_boxes_are_embedded_anew(client: httpx.Client, place: Path) -> None:
    found = search(client, two_things(place), box=TWO, group_by="box").json()
    with contextlib.closing(sqlite3.connect(place / "data/queries.sqlite")) as database, database:
        nothing = "UPDATE queries SET model = 'another', vector = zeroblob(length(vector)) WHERE query_id = ?"
        assert database.execute(nothing, (found["query_id"],)).rowcount == 1
    again = client.get(f"/v1/queries/{found['query_id']}").json()
    assert again["boxes"] == found["boxes"]
    assert [one["results"][0]["product_id"] for one in again["groups"]] == ["p003", "p004"]
    second = client.get(f"/v1/queries/{found['groups'][1]['query_id']}").json()
    assert second["results"] == again["groups"][1]["results"]


def test_boxes_go_through_the_network_and_the_search_together(client: httpx.Client, place: Path) -> None:
    photo = two_things(place)
    before = [batches(client, what) for what in ("embed", "search")]
    search(client, photo, box=[*TWO, "0,0,150,160"], group_by="box")
    after = [batches(client, what) for what in ("embed", "search")]
    (embeds, squares), (searches, vectors) = (
        (now[0] - was[0], now[1] - was[1]) for now, was in zip(after, before, strict=True)
    )
    assert (squares, searches, vectors) == (3, 1, 3)
    with catalog.open_current(place / "data") as version:
        most, *_ = Searcher(version.trained_model, ShopGallery.read(version.folder)).sizes_alike()
    assert embeds == math.ceil(3 / most), "in the largest batches in which vectors are those of photos alone"


def test_boxes_that_are_not_grouped_are_looks_at_one_thing(client: httpx.Client, place: Path) -> None:
    with catalog.open_current(place / "data") as version:
        searcher = Searcher(version.trained_model, ShopGallery.read(version.folder))
    photo, other = two_things(place), photo_of(place, "p003-0-1")
    found = search(client, photo, other, box=TWO, limit=3).json()
    whole = codec.decode(photo)
    looks = [whole.crop((150, 20, 270, 140)), whole.crop((10, 20, 130, 140)), codec.decode(other)]
    mean = searcher.embed(looks).mean(0)
    (hits,) = searcher.search((mean / mean.norm())[None], 3)
    assert [one["product_id"] for one in found["results"]] == [hit.product_id for hit in hits]
    assert found["results"][0]["sq_distance"] == pytest.approx(hits[0].sq_distance, abs=1e-6)
    assert found["groups"] is None
    assert client.get(f"/v1/queries/{found['query_id']}", params=COUNTED | {"limit": 3}).json() == found


def test_without_boxes_each_proposed_part_is_a_group_and_the_whole_photo_where_none_is(shop: Path) -> None:
    publish_localizer(shop, 0.0)
    photo = scene(shop)
    with served(shop / "data") as client:
        found = search(client, photo, group_by="box").json()
        plain = search(client, photo).json()
        later = search(client, query_id=plain["query_id"], group_by="box").json()
        second = client.get(f"/v1/queries/{found['groups'][1]['query_id']}", params=COUNTED).json()
    proposed = [box["box"] for box in plain["boxes"] if box["kind"] == "proposed"]
    assert len(proposed) > 1
    assert [one["box"] for one in found["groups"]] == proposed == [one["box"] for one in later["groups"]]
    assert found["results"] == plain["results"]
    assert [box["used"] for box in found["boxes"]] == [*[True] * len(proposed), False]
    assert [box["kind"] for box in later["boxes"]] == [*["proposed"] * len(proposed), "whole"]
    assert second["results"] == found["groups"][1]["results"]
    publish_localizer(shop, 2.0)
    with served(shop / "data") as client:
        found = search(client, photo, group_by="box").json()
    assert [one["box"] for one in found["groups"]] == [[0, 0, 300, 160]]


def test_what_cannot_be_grouped_is_refused(client: httpx.Client, place: Path) -> None:
    photo = two_things(place)
    for status, said, fields in (
        (422, "group_by: Input should be 'box'", {"group_by": "colour"}),
        (422, "box: List should have at most 8 items", {"box": [TWO[0]] * 9}),
        (400, "box: '1,2,3'; wanted are four numbers", {"box": [TWO[0], "1,2,3"]}),
    ):
        refused = search(client, photo, **fields)
        assert (refused.status_code, said in refused.json()["detail"]) == (status, True), refused.text
    refused = search(client, photo, photo, group_by="box")
    assert (refused.status_code, "2 photos of one thing were given" in refused.json()["detail"]) == (422, True)
    several = search(client, photo, photo).json()["query_id"]
    assert search(client, query_id=several, group_by="box").status_code == 422
