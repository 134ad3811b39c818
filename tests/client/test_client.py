"""The client gives what the service answers as records, and its problems as errors."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.app.running import photo_of, served, whole
from visnet.client import Client, ServiceError
from visnet.serving.app.answers.counts import Numbers


@pytest.fixture(scope="module")
def place(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole(published, tmp_path_factory.mktemp("asked"))


@pytest.fixture(scope="module")
def client(place: Path) -> Iterator[Client]:
    with served(place / "data") as http, Client(str(http.base_url)) as client:
        yield client


def test_a_photo_a_product_and_a_catalog(client: Client, place: Path) -> None:
    photo = place / "images/p003-0-1.png"
    found = client.search(photo, photo_of(place, "p003-0-0"), limit=3, category="hat")
    assert found.results[0].product_id == "p003"
    assert len(found.results) == 3
    assert found.query_id
    again = client.query(found.query_id, limit=3, category="hat")
    assert again == found
    assert client.search(query_id=found.query_id, limit=3, category="hat") == found
    boxed = client.search(query_id=found.query_id, box=(0, 0, 16, 32))
    assert boxed.boxes[0].box == (0, 0, 16, 32)
    halves = client.search(photo, box=[(0, 0, 16, 32), (16, 0, 32, 32)], group_by="box", limit=1)
    assert halves.groups
    assert [(one.box[0], len(one.results)) for one in halves.groups] == [(0, 1), (16, 1)]
    assert client.query(str(halves.groups[1].query_id), limit=1).results == halves.groups[1].results
    assert client.product("p000").attributes["title"] == "A red bag"
    assert client.similar("p000", limit=2).results[0].product_id != "p000"
    straw = {"and": [{"column": "material", "equals": "straw"}, {"column": "price", "range": {"max": 12}}]}
    narrowed = client.search(photo, filter=straw, facets=["material", "price"])
    assert {one.product_id for one in narrowed.results} == {"p010", "p011", "p012"}
    assert client.query(str(narrowed.query_id), filter=straw, facets=["material", "price"]) == narrowed
    similar = client.similar("p011", filter=straw, facets=["price"])
    price = similar.facets["price"]
    assert isinstance(price, Numbers)
    assert (price.min, price.max) == (10, 12)
    assert {one.product_id for one in similar.results} == {"p010", "p012"}
    assert {one.name: one.kind for one in client.catalog().columns}["price"] == "number"
    assert client.catalog().products == 24
    assert client.compare(photo, "p003").sq_distance < client.compare(photo, "p004").sq_distance
    assert client.compare("p003", "p003").sq_distance == 0


def test_a_problem_is_an_error_with_its_detail(client: Client) -> None:
    with pytest.raises(ServiceError, match="404: product 'a/b c' is not in the catalog") as caught:
        client.product("a/b c")
    assert (caught.value.status, len(caught.value.request_id), caught.value.retry_after_s) == (404, 16, None)
    with pytest.raises(ServiceError, match=r"^415: photo: not an image"):
        client.search(b"no photo")


def test_a_service_that_is_not_ready_says_when_to_come_again(tmp_path: Path) -> None:
    with served(tmp_path) as http, Client(str(http.base_url)) as client:
        with pytest.raises(ServiceError) as caught:
            client.catalog()
        assert (caught.value.status, caught.value.retry_after_s) == (503, 1)
