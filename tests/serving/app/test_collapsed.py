"""Double listings collapsed: the answers are those that a plain loop leaves, and as many come as are asked for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.refreshing import refresh
from tests.serving.app.running import COUNTED, photo_of, search, served, whole
from visnet.duplicates import files

# One is of two categories, one of a product that the catalog has not, and most products are in none.
GROUPS = {
    "p003": "p003",
    "p005": "p003",
    "p008": "p003",
    "p010": "p010",
    "p012": "p010",
    "p000": "p000",
    "p999": "p000",
}
STRAW = json.dumps({"column": "material", "equals": "straw"})  # p010 to p015
NARROWED: dict[str, dict[str, Any]] = {
    "all": {},
    "a category": {"category": "hat"},
    "a filter": {"filter": STRAW},
    "the likely ones": {"min_probability": 0.2},
}
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def place(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = whole(published, tmp_path_factory.mktemp("collapsed"))
    files.write(shop / "data/duplicates", GROUPS)
    refresh(shop, "publish")
    return shop


@pytest.fixture(scope="module")
def client(place: Path) -> Iterator[httpx.Client]:
    with served(place / "data") as client:
        yield client


@pytest.fixture
def just_deep_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no search rank more products than are asked for."""
    monkeypatch.setattr("visnet.serving.app.search.SIZES", tuple(range(1, 2048)))


def collapsed(answers: list[Answer], own: str = "") -> list[Answer]:
    """Leave the first answer of each group, with the others' names, and none of the group of a product."""
    found: dict[str, Answer] = {}
    for one in answers:
        group = GROUPS.get(one["product_id"], one["product_id"])
        if group in found:
            found[group]["also"].append(one["product_id"])
        elif group != GROUPS.get(own, own):
            found[group] = one | {"also": []}
    return [one | {"also": sorted(one["also"])} for one in found.values()]


@pytest.mark.usefixtures("just_deep_enough")
@pytest.mark.parametrize("narrowed", NARROWED.values(), ids=NARROWED)
@pytest.mark.parametrize("name", ["p003-0-1", "p012-0-0", "p020-0-1"])
def test_of_a_double_listing_the_nearest_answers_and_names_the_others(
    client: httpx.Client, place: Path, name: str, narrowed: dict[str, Any]
) -> None:
    photo = photo_of(place, name)
    every = search(client, photo, limit=2048, **narrowed).json()["results"]
    found = search(client, photo, limit=2048, collapse="duplicates", **narrowed).json()
    wanted = collapsed(every)
    if "min_probability" not in narrowed:
        assert found["results"] == wanted
    else:  # what is not likely enough may still be another listing of what is
        assert [one | {"also": []} for one in found["results"]] == [one | {"also": []} for one in wanted]
    assert found["total"] == len(wanted) < len(every) + (name == "p020-0-1")
    assert sum(one["count"] for one in found["facets"]["category"]) == len(wanted)
    pages = [
        search(client, photo, limit=3, offset=at, collapse="duplicates", **narrowed).json()["results"]
        for at in range(0, len(wanted) + 3, 3)
    ]
    assert [one for page in pages for one in page] == found["results"], "as many as are asked for, if there are"
    link = f"/v1/queries/{found['query_id']}"
    asked = COUNTED | narrowed | {"limit": 2048, "collapse": "duplicates"}
    assert client.get(link, params=asked).json() == found


def test_each_group_of_a_search_by_boxes_is_collapsed(client: httpx.Client, place: Path) -> None:
    fields = {"box": ["0,0,16,32", "16,0,32,32"], "group_by": "box", "limit": 2048}
    every = search(client, photo_of(place, "p003-0-1"), **fields).json()["groups"]
    found = search(client, photo_of(place, "p003-0-1"), collapse="duplicates", **fields).json()["groups"]
    assert [one["results"] for one in found] == [collapsed(one["results"]) for one in every]


@pytest.mark.parametrize("product_id", ["p003", "p005", "p008", "p012", "p014", "p021"])
def test_similar_ones_leave_out_the_products_own_listing(client: httpx.Client, product_id: str) -> None:
    address = f"/v1/products/{product_id}/similar"
    of_own = {"filter": json.dumps({"column": "category", "equals": "hat" if int(product_id[1:]) % 2 else "bag"})}
    every = client.get(address, params=of_own | {"limit": 2048}).json()["results"]
    wanted = collapsed(every, product_id)
    listed = client.get(address, params={"collapse": "duplicates"}).json()
    assert [one["product_id"] for one in listed["results"]] == [one["product_id"] for one in wanted][:3]
    assert [one["also"] for one in listed["results"]] == [one["also"] for one in wanted][:3]
    assert listed["total"] == 3, "as long as the published lists are"
    for narrowed in (of_own, {"filter": STRAW}):
        every = client.get(address, params=narrowed | {"limit": 2048}).json()["results"]
        asked = narrowed | {"limit": 2048, "collapse": "duplicates", "facets": "category"}
        found = client.get(address, params=asked).json()
        assert found["results"] == collapsed(every, product_id)
        assert found["total"] == len(found["results"]) == sum(one["count"] for one in found["facets"]["category"])


def test_how_many_double_listings_there_are_is_told_and_without_any_nothing_is_collapsed(
    client: httpx.Client, place: Path, shop: Path
) -> None:
    photo = photo_of(place, "p003-0-1")
    assert search(client, photo).json()["lineage"]["duplicate_groups"] == 3
    assert all(one["also"] == [] for one in search(client, photo).json()["results"])
    refused = search(client, photo, collapse="colours")
    assert (refused.status_code, refused.json()["detail"]) == (422, "collapse: Input should be 'duplicates'")
    with served(shop / "data") as other:
        plain, asked = (search(other, photo, limit=24, **more).json() for more in ({}, {"collapse": "duplicates"}))
    assert (asked["results"], asked["total"], asked["facets"]) == (plain["results"], plain["total"], plain["facets"])
    assert asked["lineage"]["duplicate_groups"] == 0
