"""One photo against all: what the stage duplicates finds of it, and of products that were changed since."""

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image, ImageOps

from tests import refreshing
from tests.duplicates.pictures import MADE, drawn
from tests.duplicates.shop import COPIES, PLAIN, put, run
from tests.serving.app.running import served
from tests.serving.live import fed
from visnet.client import Client
from visnet.storage.table import Table


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = refreshing.make(tmp_path_factory.mktemp("duplicates") / "shop", {})
    put(shop, {**PLAIN, **COPIES})
    run(shop)
    run(shop, "publish")
    return shop


@pytest.fixture(scope="module")
def client(place: Path) -> Iterator[Client]:
    with served(place / "data") as http, Client(str(http.base_url)) as client:
        yield client


def encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_of_a_product_it_finds_what_the_stage_has_found_by_the_same_rule(client: Client, place: Path) -> None:
    listed: dict[str, dict[str, tuple[str, float]]] = {product: {} for product in (*PLAIN, *COPIES)}
    rows = Table(place / "data/duplicates/duplicates.lance").opened().to_table().to_pylist()
    for row in sorted(rows, key=lambda row: row["score"]):
        one, other = row["a_product_id"], row["b_product_id"]
        if one != other:
            listed[one][other] = listed[other][one] = row["relation"], row["score"]
    assert sum(map(len, listed.values())) == 8
    for product, others in listed.items():
        found = client.duplicates(product)
        assert {one.product_id: one.relation for one in found.duplicates} == {
            other: relation for other, (relation, _) in others.items()
        }
        for one in found.duplicates:
            assert one.score == pytest.approx(others[one.product_id][1], abs=0.02)
            assert one.of in {photo.photo_id for photo in client.product(product).photos}


@pytest.mark.parametrize(("made", "relation"), [("saved again", "same"), ("mirrored", "mirrored"), ("cut", "part")])
def test_a_new_photo_is_held_against_all(client: Client, made: str, relation: str) -> None:
    found = client.duplicates(encoded(MADE[made](drawn(2))))
    assert [(one.product_id, one.relation, one.of) for one in found.duplicates] == [("p002", relation, None)]
    assert found.duplicates[0].score > 0.6
    assert 0 < found.compared <= 21, "no more than there are photos"
    assert found.lineage.catalog_version == 1


def test_another_colour_and_another_picture_are_no_copies(client: Client) -> None:
    for picture in (drawn(2, hue=150), drawn(77)):
        assert client.duplicates(encoded(picture)).duplicates == []


def test_what_is_no_question_is_refused_and_a_version_without_hashes_says_what_to_do(
    client: Client, place: Path, shop: Path
) -> None:
    address = "/v1/duplicates"
    with served(place / "data") as http:
        photo = [("photo", ("photo", encoded(drawn(2))))]
        for status, files, data in (
            (400, [], {"product_id": ""}),
            (400, photo, {"product_id": "p002"}),
            (400, photo * 2, {}),
            (404, [], {"product_id": "p999"}),
            (415, [("photo", ("photo", b"no photo"))], {}),
        ):
            assert http.post(address, files=files or None, data=data).status_code == status, (status, data)
    with served(shop / "data") as http:
        refused: httpx.Response = http.post(address, data={"product_id": "p003"})
        assert (refused.status_code, "set enabled = true in duplicates.toml" in refused.json()["detail"]) == (409, True)


@pytest.mark.usefixtures("one_thread")
def test_products_that_are_written_are_held_against_too(tmp_path: Path) -> None:
    shop = fed.make(tmp_path / "shop")
    run(shop, "duplicates", "publish")
    own = Image.open(shop / "images" / "p004-0-0.png").convert("RGB")
    mirrored = encoded(ImageOps.mirror(own))
    with fed.writing(shop) as (_, client):
        assert [one.product_id for one in client.duplicates(mirrored).duplicates] == ["p004"]
        client.wait(client.put("copies/4", {"category": "bag"}, mirrored).batch)
        found = client.duplicates(encoded(own)).duplicates
        assert {one.product_id: one.relation for one in found} == {"p004": "same", "copies/4": "mirrored"}
        assert [one.product_id for one in client.duplicates("copies/4").duplicates] == ["p004"]
        client.delete("p004")
        fed.until(lambda: client.catalog().products == 24)
        assert [one.product_id for one in client.duplicates(encoded(own)).duplicates] == ["copies/4"]
        assert client.duplicates("copies/4").duplicates == []
