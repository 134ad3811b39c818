"""A filter over HTTP: the answers are those of a search of all that a plain loop leaves, however few they are."""

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.serving.app.running import photo_of, search
from tests.serving.app.test_refusals import problem
from visnet.serving import catalog
from visnet.serving.app.columns import Where
from visnet.serving.app.engine import Engine
from visnet.serving.app.filters import parsed
from visnet.serving.app.metrics import Metrics
from visnet.serving.app.steps import Question
from visnet.serving.ranking import Ranking

Product = dict[str, Any]
STRAW = '{"column": "material", "equals": "straw"}'
CHEAP = {"column": "price", "range": {"max": 13}}
FILTERS: dict[str, tuple[dict[str, Any], Callable[[Product], bool]]] = {
    "equals": ({"column": "material", "equals": "canvas"}, lambda one: one["attributes"].get("material") == "canvas"),
    "in": (
        {"column": "material", "in": ["straw", "felt"]},
        lambda one: one["attributes"].get("material") in ("straw", "felt"),
    ),
    "range": (CHEAP, lambda one: float(one["attributes"].get("price", 99)) <= 13),
    "and": (
        {"and": [{"column": "category", "equals": "hat"}, CHEAP]},
        lambda one: one["category"] == "hat" and float(one["attributes"].get("price", 99)) <= 13,
    ),
    "or": (
        {"or": [CHEAP, {"column": "title", "equals": "A red bag"}]},
        lambda one: one["product_id"] in ("p000", "p010", "p011", "p012", "p013"),
    ),
    "not": ({"not": CHEAP}, lambda one: float(one["attributes"].get("price", 0)) > 13),
    "nothing": ({"column": "colour", "equals": "mauve"}, lambda one: False),
}


@pytest.mark.parametrize("name", FILTERS)
def test_the_answers_are_those_that_a_plain_loop_leaves(client: httpx.Client, place: Path, name: str) -> None:
    asked, matches = FILTERS[name]
    photo = photo_of(place, "p020-0-1")
    everything = search(client, photo, limit=2048).json()
    found = search(client, photo, limit=2048, filter=json.dumps(asked), facets="price,material,category").json()
    wanted = [one for one in everything["results"] if matches(one)]
    keys = ("product_id", "photo_id", "sq_distance")
    assert [[one[key] for key in keys] for one in found["results"]] == [[one[key] for key in keys] for one in wanted]
    assert found["total"] == len(wanted)
    materials = [one["attributes"].get("material") for one in wanted]
    assert {one["value"]: one["count"] for one in found["facets"]["material"]} == {
        value: materials.count(value) for value in materials if value
    }
    prices = [float(one["attributes"]["price"]) for one in wanted if "price" in one["attributes"]]
    assert found["facets"]["price"]["min"] == min(prices, default=None)
    assert sum(one["count"] for one in found["facets"]["price"]["histogram"]) == len(prices)
    link = client.get(
        f"/v1/queries/{found['query_id']}",
        params={"limit": 2048, "filter": json.dumps(asked), "facets": "price,material,category"},
    )
    assert link.json() == found


def test_where_only_rare_ones_match_they_are_found_though_others_are_nearer(
    client: httpx.Client, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visnet.serving.app.search.DEPTH", 3)  # what is ranked at all
    photo = photo_of(place, "p020-0-1")
    nearest = {one["product_id"] for one in search(client, photo, limit=3).json()["results"]}
    found = search(client, photo, limit=3, filter=json.dumps(CHEAP)).json()
    assert len(nearest) == len(found["results"]) == 3
    assert not nearest & {one["product_id"] for one in found["results"]}
    assert found["total"] == 4


def test_a_filter_on_a_category_is_the_category(client: httpx.Client, place: Path) -> None:
    photo = photo_of(place, "p003-0-1")
    by_name = search(client, photo, category="hat").json()
    by_filter = search(client, photo, filter='{"column": "category", "equals": "hat"}').json()
    for key in ("results", "total", "facets"):
        assert by_filter[key] == by_name[key]
    both = search(client, photo, category="hat", filter='{"column": "category", "equals": "bag"}').json()
    assert (both["total"], both["results"]) == (0, [])


def test_what_is_probable_enough_is_so_within_the_filter(client: httpx.Client, place: Path) -> None:
    asked = {"filter": STRAW, "limit": 24}
    within = search(client, photo_of(place, "p012-0-1"), **asked).json()["results"]
    limit = within[1]["probability"]
    likely = search(client, photo_of(place, "p012-0-1"), min_probability=limit, **asked).json()
    assert likely["results"] == [one for one in within if one["probability"] >= limit]
    assert likely["total"] == len(likely["results"]) < len(within)


def test_with_a_filter_similar_ones_are_of_all_that_it_finds_and_else_of_the_published_list(
    client: httpx.Client,
) -> None:
    for product in ("p003", "p010"):
        url = f"/v1/products/{product}/similar"
        listed = client.get(url, params={"facets": "category,colour"}).json()
        own = {"column": "category", "equals": client.get(f"/v1/products/{product}").json()["category"]}
        found = client.get(url, params={"filter": json.dumps(own)}).json()
        assert found["results"][: listed["total"]] == listed["results"]
        assert (listed["total"], found["total"], len(found["results"])) == (3, 11, 11)
        assert listed["facets"] == {
            "category": [{"value": name, "count": 12 - (name == own["equals"])} for name in CATEGORIES[own["equals"]]],
            "colour": [{"value": "red", "count": 23}],
        }, "what a filter would find"
        straw = client.get(
            url, params={"filter": '{"column": "material", "equals": "straw"}', "facets": "price"}
        ).json()
        products = {one["product_id"] for one in straw["results"]}
        assert products == {f"p{at:03d}" for at in range(10, 16)} - {product}
        assert straw["total"] == len(products)
        assert straw["facets"]["price"]["max"] == 15
        distances = [one["sq_distance"] for one in straw["results"]]
        assert distances == sorted(distances)
        likely = [one["probability"] for one in straw["results"]]
        assert likely == sorted(likely, reverse=True)
        assert 0.0 < likely[-1] < likely[0] < 1.0


CATEGORIES = {"bag": ("hat", "bag"), "hat": ("bag", "hat")}  # the larger first, once one of the other is left out


def test_the_catalog_lists_what_can_be_asked(client: httpx.Client) -> None:
    columns = {one["name"]: one for one in client.get("/v1/catalog").json()["columns"]}
    assert columns.keys() == {"category", "colour", "title", "price", "material", "washable"}
    assert columns["category"]["values"] == [{"value": name, "count": 12} for name in ("bag", "hat")]
    assert (columns["price"]["kind"], columns["price"]["min"], columns["price"]["max"]) == ("number", 10, 29.5)
    assert columns["material"]["values"][0] == {"value": "straw", "count": 6}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"filter": "red"}, "filter: Invalid JSON"),
        ({"filter": '{"column": "colour"}'}, "wanted is one of equals, in, range, below, and, or, not; allowed is {"),
        (
            {"filter": '{"column": "prise", "equals": 1}'},
            "no column 'prise'; near are price; there are category",
        ),
        ({"filter": '{"column": "colour", "range": {"min": 1}}'}, "column 'colour' is of texts"),
        ({"facets": "category,prise"}, "facets: no column 'prise'; near are price"),
    ],
)
def test_what_cannot_be_asked_is_told_by_every_route(
    client: httpx.Client, place: Path, words: dict[str, str], why: str
) -> None:
    photo = photo_of(place, "p003-0-1")
    query = search(client, photo).json()["query_id"]
    for answer in (
        search(client, photo, **words),
        client.get(f"/v1/queries/{query}", params=words),
        client.get("/v1/products/p003/similar", params=words),
    ):
        assert why in problem(answer, 422)


@pytest.fixture
def engine(place: Path) -> Iterator[Engine]:
    with ThreadPoolExecutor(1) as thread, catalog.open_current(place / "data") as version:
        yield Engine(version, thread, thread, Metrics())


def test_a_batch_of_several_filters_answers_each_as_alone(engine: Engine) -> None:
    filters = [None, *(json.dumps(asked) for asked, _ in FILTERS.values())]
    places = [engine.columns.where(category, parsed(text)) for category in (None, "hat") for text in filters]
    vectors = engine.searcher.stored(np.arange(len(places)))
    questions = [Question(vector, where) for vector, where in zip(vectors, places, strict=True)]

    async def alone() -> list[Ranking]:
        return [ranking for question in questions for ranking in await engine.rank(question)]

    sizes: list[int] = []
    engine._searching._seen = sizes.append
    mixed = asyncio.run(engine.rank(*questions))
    assert max(sizes) > 8
    for one, other in zip(mixed, asyncio.run(alone()), strict=True):
        assert np.array_equal(one.row, other.row)
        assert np.array_equal(one.sq_distance, other.sq_distance)
    assert Where() in places
