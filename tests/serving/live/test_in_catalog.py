"""What was changed since the version decides, too, whether the shop has what a photo shows."""

from pathlib import Path

import pytest

from tests import refreshing
from tests.serving.app.running import search
from tests.serving.live import fed
from tests.serving.test_calibrated_hits import put_calibration


@pytest.mark.usefixtures("one_thread")
def test_a_product_that_came_since_is_in_the_catalog_until_it_is_withdrawn(shop: Path) -> None:
    put_calibration(shop)
    refreshing.refresh(shop, "publish")
    photo = fed.picture(shop, "a new thing", 0)
    with fed.writing(shop) as (http, client):
        told = []
        for change in (None, "put", "delete"):
            if change == "put":
                client.wait(client.put("new", {"category": "bag"}, photo).batch)
            if change == "delete":
                client.delete("new")
            for asked in ({}, {"category": "bag"}, {"box": "0,0,32,32"}):
                found = search(http, photo, **asked).json()
                told.append((found["in_catalog"], found["results"][0]["product_id"]))
    before, there, after = told[:3], told[3:6], told[6:]
    assert {name for _, name in there} == {"new"}
    assert all(now > 0.99 > 0.5 > then for (now, _), (then, _) in zip(there, before, strict=True))
    assert before == after
