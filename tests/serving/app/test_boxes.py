"""With a localizer in the published version, photos without a box are searched for by the one that it proposes."""

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.refreshing import refresh
from tests.serving.app.running import COUNTED, photo_of, search, served
from visnet.localizing.localizer import Localizer
from visnet.models.detector import Detector
from visnet.photos import codec
from visnet.serving import catalog
from visnet.serving.searcher import Searcher

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
    assert [box["score"] for box in others] == pytest.approx([one.score for one in further[:4]])
    assert proposed["box"] == pytest.approx([left, top, left + width, top + height])
    assert proposed["score"] == pytest.approx(wanted.score)
    assert (proposed["kind"], proposed["used"]) == ("proposed", True)
    assert whole == {"box": [0, 0, 300, 160], "score": None, "kind": "whole", "used": False}
    with catalog.open_current(shop / "data") as version:
        searcher = Searcher(version.trained_model, version.folder)
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
