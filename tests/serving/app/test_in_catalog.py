"""A search says how probable it is that the shop has what the photo shows: by its nearest answer, however asked."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.evaluation.test_calibration import known
from tests.serving.app.running import jpeg, photo_of, search
from visnet.client import Client


def noise() -> bytes:
    """Draw what the shop has nothing of."""
    return jpeg(Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)), quality=90)


def expected(answer: dict[str, Any], *, whole: bool = True, uncropped: bool = True) -> float:
    """Read off the curve what the first result means, by hand."""
    first = answer["results"][0]
    searches = known().uncropped if uncropped else known()
    assert searches is not None
    curves = (searches.whole if whole else searches.within).in_catalog
    assert curves is not None
    (top, bottom), (_, far) = curves.pooled.log_odds, curves.pooled.sq_distance
    return float(1 / (1 + np.exp(-(top - (top - bottom) * min(1.0, first["sq_distance"] / far)))))


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({}, {}),
        ({"category": "hat"}, {"whole": False}),
        ({"box": "0,0,32,32"}, {"uncropped": False}),
        ({"box": "0,0,32,32", "category": "bag"}, {"uncropped": False, "whole": False}),
        ({"filter": json.dumps({"column": "material", "equals": "straw"})}, {}),
        ({"collapse": "duplicates"}, {}),
    ],
)
def test_it_is_by_the_nearest_of_all_that_may_answer(
    client: httpx.Client, place: Path, asked: dict[str, Any], kind: dict[str, bool]
) -> None:
    for photos in ([photo_of(place, "p003-0-1")], [noise()], [photo_of(place, f"p003-0-{at}") for at in range(2)]):
        found = search(client, *photos, limit=24, **asked).json()
        assert found["in_catalog"] == pytest.approx(expected(found, **kind), rel=1e-6)
        later = client.get(f"/v1/queries/{found['query_id']}", params={**asked, "offset": 2, "limit": 1}).json()
        if "box" not in asked:
            assert later["in_catalog"] == found["in_catalog"], "of whatever page"


def test_what_the_shop_lacks_is_told_from_what_it_has(client: httpx.Client, place: Path) -> None:
    has, lacks = (search(client, photo).json() for photo in (photo_of(place, "p003-0-1"), noise()))
    assert lacks["in_catalog"] < 0.2 < 0.6 < has["in_catalog"]
    assert lacks["results"], "what is most like it answers all the same"


def test_it_does_not_hang_on_which_hits_are_probable_enough(client: httpx.Client, place: Path) -> None:
    photo = photo_of(place, "p003-0-1")
    every, none = (search(client, photo, min_probability=least).json() for least in (0, 1))
    assert (none["results"], none["total"]) == ([], 0)
    assert none["in_catalog"] == every["in_catalog"] > 0
    nothing = search(client, photo, filter=json.dumps({"column": "price", "range": {"min": 1e9}})).json()
    assert (nothing["results"], nothing["in_catalog"]) == ([], None)


def test_each_box_of_a_group_has_its_own(client: httpx.Client, place: Path) -> None:
    scene = Image.new("RGB", (64, 32))
    for at, data in enumerate((noise(), photo_of(place, "p003-0-1"))):
        scene.paste(Image.open(io.BytesIO(data)).convert("RGB"), (32 * at, 0))
    found = search(client, jpeg(scene, quality=95), box=["0,0,32,32", "32,0,64,32"], group_by="box").json()
    values = [group["in_catalog"] for group in found["groups"]]
    assert values == pytest.approx([expected(group, uncropped=False) for group in found["groups"]], rel=1e-6)
    assert found["in_catalog"] == values[0] < 0.2 < values[1]


def test_a_product_s_own_list_has_none_and_the_client_reads_it(client: httpx.Client, place: Path) -> None:
    assert "in_catalog" not in client.get("/v1/products/p003/similar").json()
    with Client(str(client.base_url)) as ours:
        told = ours.search(noise())
        assert told.in_catalog is not None
        assert told.in_catalog == ours.query(str(told.query_id)).in_catalog < 0.2
