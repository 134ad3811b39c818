"""What the API says of the catalog itself: products, their lists, photos, and what is served."""

import io
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.serving.app.running import search, served
from visnet.serving import catalog
from visnet.serving.app.filters import parsed


def test_a_product_has_its_photos_and_what_the_shop_says_of_it(client: httpx.Client) -> None:
    found = client.get("/v1/products/p000").json()
    assert (found["category"], found["colour"], len(found["photos"])) == ("bag", "red", 2)
    assert found["attributes"] == {"material": "canvas", "washable": "true", "title": "A red bag", "price": "29.5"}
    assert client.get("/v1/products/p001").json()["attributes"] == {"price": "20"}
    assert client.get("/v1/products/p002").json()["attributes"] == {}
    for photo in found["photos"]:
        assert client.get(photo["url"]).status_code == 200


def test_the_similar_ones_are_those_of_the_published_list(client: httpx.Client, place: Path) -> None:
    with catalog.open_current(place / "data") as version:
        lists = version.lists(["product_id", "products", "sq_distances"], "kind = 'similar'").to_pylist()
    assert len(lists) == 24
    for row in lists:
        found = client.get(f"/v1/products/{row['product_id']}/similar").json()
        assert [one["product_id"] for one in found["results"]] == row["products"]
        assert [one["sq_distance"] for one in found["results"]] == row["sq_distances"]
        assert found["total"] == len(row["products"])
    url = f"/v1/products/{lists[0]['product_id']}/similar"
    page = client.get(url, params={"limit": 1, "offset": 1}).json()
    assert [one["product_id"] for one in page["results"]] == lists[0]["products"][1:2]


def test_similar_ones_are_as_likely_as_a_search_for_the_products_own_photo_says(
    client: httpx.Client, shop: Path
) -> None:
    photo = client.get(client.get("/v1/products/p003").json()["photos"][0]["url"]).content
    for asked in ({"category": "hat"}, {"filter": '{"column": "category", "in": ["bag", "hat"]}'}):
        found = search(client, photo, limit=2048, **asked).json()["results"]
        assert found[0]["product_id"] == "p003"
        likely = {one["product_id"]: one for one in found[1:]}
        narrowed = {"limit": 2048} | {name: text for name, text in asked.items() if name == "filter"}
        alike = client.get("/v1/products/p003/similar", params=narrowed).json()["results"]
        by_this = [one for one in alike if abs(one["sq_distance"] - likely[one["product_id"]]["sq_distance"]) < 1e-6]
        assert by_this, "the others are nearer to its second photo"
        for one in by_this:
            assert one["probability"] == pytest.approx(likely[one["product_id"]]["probability"], abs=1e-4)
        assert [one["probability"] for one in alike] == sorted((one["probability"] for one in alike), reverse=True)
    with served(shop / "data") as other:
        (one, *_) = other.get("/v1/products/p003/similar").json()["results"]
        assert one["probability"] is None, "this version has no calibration"


def test_a_photo_is_as_large_as_wanted_and_kept_for_ever(client: httpx.Client) -> None:
    url = client.get("/v1/products/p000").json()["photos"][0]["url"]
    answer = client.get(url, params={"side": 64})
    assert Image.open(io.BytesIO(answer.content)).size == (32, 32), "the stored one is smaller"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    again = client.get(url, params={"side": 64}, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(url, headers={"If-None-Match": answer.headers["etag"]}).status_code == 200, "of another size"
    other = client.get(f"{url[:-1]}{'0' if url[-1] != '0' else '1'}")
    assert other.status_code == 404
    assert "was replaced by another picture" in other.json()["detail"]


def test_what_is_served(client: httpx.Client) -> None:
    found = client.get("/v1/catalog").json()
    assert (found["products"], found["photos"], found["localizer"]) == (24, 48, False)
    assert found["categories"] == [{"value": "bag", "count": 12}, {"value": "hat", "count": 12}]


def test_the_service_says_how_it_is(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready", "catalog_version": 2}
    text = client.get("/metrics").text
    assert 'visnet_requests_total{method="GET",route="/readyz",status="200"} ' in text
    assert "visnet_catalog_version 2.0" in text
    assert "p000" not in text, "no label has more values than there are routes"


def test_the_page_and_its_links_are_one_file_and_files_beside_it_are_served(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for address in ("/q/q_123", "/p/p000", "/p/bags/17"):
        assert client.get(address).text == page.text
    assert client.get("/static/index.html").text == page.text
    for outside in ("/static/../app/server.py", "/static/%2e%2e/app/server.py", "/static/nothing.js"):
        assert client.get(outside).status_code == 404


def test_the_api_is_documented_with_examples(client: httpx.Client) -> None:
    document = client.get("/v1/openapi.json").json()
    assert {path for path in document["paths"] if path.startswith("/v1")} == {
        "/v1/search",
        "/v1/queries/{query_id}",
        "/v1/queries/{query_id}/photo",
        "/v1/queries/{query_id}/looks",
        "/v1/products/{product_id}",
        "/v1/products/{product_id}/similar",
        "/v1/products/{product_id}/trace",
        "/v1/products:batch",
        "/v1/changes/{batch}",
        "/v1/photos/{photo_id}",
        "/v1/categorize",
        "/v1/compare",
        "/v1/duplicates",
        "/v1/catalog",
        "/v1/events",
    }
    fields = [
        field for path in document["paths"].values() for way in path.values() for field in way.get("parameters", ())
    ]
    fields = [field["schema"] | field for field in fields if field["name"] == "filter"]
    form = document["components"]["schemas"]["Body_search_v1_search_post"]["properties"]["filter"]
    for field in (*fields, form):
        assert {"And", "Or", "Not", "Equals", "In", "Range"} < field["contentSchema"]["$defs"].keys()
        assert all(parsed(example) for example in field["examples"])
    assert len(fields) == 2
    schemas = document["components"]["schemas"]
    shown = ("SearchAnswer", "Group", "Result", "ChangesAnswer", "Copy", "DuplicatesAnswer", "Problem")
    assert all(schemas[name]["examples"] for name in shown)
    assert {"get", "put", "delete"} <= document["paths"]["/v1/products/{product_id}"].keys()
    assert client.get("/docs").status_code == 404
