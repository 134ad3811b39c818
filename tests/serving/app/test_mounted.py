"""The service below a path of another application: as it is alone, and no door stands open."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.app.running import photo_of, search, served
from tests.serving.live import fed
from visnet.client import Client
from visnet.serving.app import keys
from visnet.serving.app.admission import WORKING, own_path

BELOW = "/shop/visual search"


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, httpx.Client]]:
    shop = fed.make(tmp_path_factory.mktemp("mounted") / "shop", 8)
    with served(shop / "data", below=BELOW, line=fed.line(shop), watch_s=0.05, file_s=0.1) as http:
        yield shop, http


WRITES = [
    ("PUT", "/v1/products/p003", {"json": {"category": "hat", "photos": ["p003-0-0.png"]}}),
    ("DELETE", "/v1/products/p003", {}),
    ("POST", "/v1/products:batch", {"json": [{"product_id": "p003", "op": "delete"}]}),
    ("GET", "/v1/changes/b_none", {}),
]


@pytest.mark.parametrize(("method", "path", "sent"), WRITES)
def test_a_write_needs_a_key_there_too(
    mounted: tuple[Path, httpx.Client], method: str, path: str, sent: dict[str, Any]
) -> None:
    assert mounted[1].request(method, path, **sent).status_code == 401
    assert mounted[1].get("/v1/products/p003").status_code == 200


def test_who_has_a_key_may_write_and_everybody_finds_it(mounted: tuple[Path, httpx.Client]) -> None:
    shop, http = mounted
    key = keys.add("mounted", shop / "data")
    with Client(str(http.base_url), key=key) as client:
        client.wait(client.put("new", {"category": "hat"}, fed.picture(shop, "new", 0)).batch)
        found = client.search(fed.picture(shop, "new", 0))
    assert found.results[0].product_id == "new"
    assert http.get(found.results[0].photo_url).headers["content-type"] == "image/jpeg"


def test_searches_are_counted_and_bounded_there_too(mounted: tuple[Path, httpx.Client]) -> None:
    shop, _ = mounted
    with served(shop / "data", below="/shop", searches_per_s=1.0) as http:
        photo = photo_of(shop, "p003-0-0")
        statuses = [search(http, photo).status_code for _ in range(40)]
    assert set(statuses) == {200, 429}


def test_the_page_says_where_its_root_is(mounted: tuple[Path, httpx.Client]) -> None:
    page = mounted[1].get("/")
    root = "/shop/visual%20search/"
    assert f'<meta name="root" content="{root}">' in page.text
    assert '="/static' not in page.text
    assert mounted[1].get("/static/main.js").status_code == 200
    assert f'href="{root}static/page.css"' in page.text
    assert f'href="{root}" data-route' in page.text


@pytest.mark.parametrize(
    ("root", "path", "own"),
    [
        ("", "/v1/search", "/v1/search"),
        ("/shop", "/shop/v1/search", "/v1/search"),
        ("/shop/", "/shop/v1/search", "/v1/search"),
        ("/shop", "/shopping/v1/search", "/shopping/v1/search"),
        ("/shop", "/v1/search", "/v1/search"),  # a proxy has taken the path away, and says so
    ],
)
def test_a_path_is_read_below_the_mount(root: str, path: str, own: str) -> None:
    assert own_path({"root_path": root, "path": path}) == own


def test_every_route_that_takes_photos_to_look_at_is_counted(mounted: tuple[Path, httpx.Client]) -> None:
    document = mounted[1].get("/v1/openapi.json").json()
    taking = {
        path
        for path, operations in document["paths"].items()
        if "multipart/form-data" in operations.get("post", {}).get("requestBody", {}).get("content", {})
    }
    assert taking
    assert not [path for path in taking if not path.startswith(WORKING)]
