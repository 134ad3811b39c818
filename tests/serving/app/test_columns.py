"""Columns are what the catalog says, of texts or of numbers; and facets count the products that have a value."""

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visnet.serving.app.columns import ANYWHERE, ProductColumns, Where
from visnet.serving.app.facets import asked, described, facets
from visnet.serving.app.filters import parsed
from visnet.serving.app.problems import Refusal
from visnet.serving.app.within import Narrowing
from visnet.serving.columns.entries import Entries
from visnet.serving.columns.table import MOST
from visnet.serving.product_rows import ProductRows

TEXTS, NUMBERS = ("category", "colour", "brand"), ("price", "size")
PRODUCTS: list[dict[str, Any]] = [
    {
        "product_id": f"p{number:02d}",
        "category": ("bag", "hat", "shoe")[number % 3],
        "colour": ("red", "blue", None, "red", "green")[number % 5],
        "brand": (None, "A", "A/B", "A/B/C", "A/Bc", "A B")[number % 6],
        "price": (9.5, 20.0, None, 31.0, 20.0, 5.0, 9.5)[number % 7],
        "size": (38, None)[number % 2],
    }
    for number in range(40)
]


def columns_of(said: dict[str, np.ndarray], table: pa.Table | None) -> ProductColumns:
    """Make columns of photos' products, categories and colours, and of a catalog's table; as they are mapped again."""
    products = ProductRows.of_photos(said["product_id"])
    made = Entries.read(said, products, table)
    with TemporaryDirectory() as folder:
        made.save(Path(folder))
        opened = Entries.open(Path(folder), len(said["product_id"]))
    assert [(one.name, type(one)) for one in opened.columns] == [(one.name, type(one)) for one in made.columns]
    assert opened.product.tolist() == made.product.tolist()
    return ProductColumns(opened, products)


def made() -> ProductColumns:
    """Make the columns of the products, two photos each: brand and size are of the JSON, price is of the table."""
    said = {
        name: np.repeat(np.array([product[name] or "" for product in PRODUCTS], object), 2)
        for name in ("product_id", "category", "colour")
    }
    further = [{name: one[name] for name in ("brand", "size") if one[name] is not None} for one in PRODUCTS]
    table = {name: [product[name] for product in PRODUCTS] for name in ("product_id", "price")}
    return columns_of(said, pa.table(table | {"attributes": [json.dumps(one) for one in further]}))


COLUMNS = made()


def test_a_product_in_two_categories_is_one_product_and_answers_by_the_photos_that_match() -> None:
    said = {"product_id": ["a", "a", "b"], "category": ["bag", "hat", "hat"], "colour": ["red", "red", ""]}
    columns = columns_of({name: np.array(values, object) for name, values in said.items()}, None)
    red = columns.mask(columns.where(None, parsed('{"column": "colour", "equals": "red"}')))
    hat = columns.mask(columns.where("hat", parsed('{"column": "colour", "equals": "red"}')))
    assert (red.products, hat.products) == (1, 1)
    assert red.bits is not None
    assert hat.bits is not None
    assert (int(red.bits[0]), int(hat.bits[0])) == (0b011, 0b010)
    (counts,) = facets(columns, asked("colour"), np.arange(3)).values()
    assert [(one.value, one.count) for one in counts] == [("red", 1)]


def test_no_category_is_one_that_can_be_narrowed_to() -> None:
    """Products like one that has none are searched for among those that have none."""
    said = {"product_id": ["a", "b", "c"], "category": ["", "hat", ""], "colour": ["red", "red", ""]}
    columns = columns_of({name: np.array(values, object) for name, values in said.items()}, None)
    mask = columns.mask(Where(""))
    assert (mask.products, mask.entries.sum(), columns.has_category("")) == (2, 2, True)
    assert not columns_of({name: np.array(values[1:2], object) for name, values in said.items()}, None).has_category("")


def test_columns_are_of_texts_or_of_numbers() -> None:
    """Whatever mixes them is of texts, as a page says them; what is no finite number, or empty, is none."""
    further = [{"mixed": 38, "flag": True, "list": ["a"], "huge": 10**400}, {"mixed": "XL", "huge": 1, "none": None}]
    table = pa.table(
        {
            "product_id": ["p0", "p1", "gone"],
            "stock": pa.array([3, None, 7]),
            "odd": [float("nan"), float("inf"), 1.0],
            "title": ["", "A hat", "Another"],
            "attributes": [*map(json.dumps, further), "no JSON"],
        }
    )
    said = {
        name: np.array(values, object) for name, values in {"product_id": ["p0", "p1"], "category": ["a", "a"]}.items()
    }
    columns = columns_of({**said, "colour": np.array(["", ""], object)}, table)
    told = {
        one.name: one.model_dump(exclude={"name"}, exclude_none=True)
        for one in described(columns, Narrowing(columns).of_version(ANYWHERE))
    }
    one = {"kind": "text", "distinct": 1}
    assert told == {
        "category": {**one, "values": [{"value": "a", "count": 2}]},
        "colour": {"kind": "text", "distinct": 0, "values": []},
        "stock": {"kind": "number", "min": 3, "max": 3},
        "title": {**one, "values": [{"value": "A hat", "count": 1}]},
        "mixed": {"kind": "text", "distinct": 2, "values": [{"value": v, "count": 1} for v in ("38", "XL")]},
        "flag": {**one, "values": [{"value": "true", "count": 1}]},
        "list": {**one, "values": [{"value": "a", "count": 1}]},
        "huge": {"kind": "number", "min": 1, "max": 1},
    }
    for part in ({"column": "mixed", "equals": 38}, {"column": "flag", "equals": True}):
        assert columns.mask(columns.where(None, parsed(json.dumps(part)))).entries.tolist() == [True, False]


SAID = st.one_of(
    st.none(), st.just("A/B"), st.lists(st.sampled_from(["A", "A/B", "A/Bc", "A/B/C", "D", "", 7]), max_size=4)
)


@given(st.lists(SAID, min_size=1, max_size=6), st.lists(SAID, max_size=3), st.integers(0, 2))
def test_of_a_list_one_value_is_enough_and_each_is_counted(said: list[Any], fresh: list[Any], twice: int) -> None:
    """Held against plain sets; the first products have two entries, as of two colours; `fresh` is of changed ones."""
    names = [f"p{number}" for number in range(len(said))]
    photos = {
        "product_id": np.array([*names, *names[:twice]], object),
        "category": np.array(["a"] * (len(names) + len(names[:twice])), object),
        "colour": np.array([*["red"] * len(names), *["blue"] * len(names[:twice])], object),
    }
    listed = [*said, ["D"]]  # so that it is a column of lists
    further = [json.dumps({"tags": value}) for value in listed]
    columns = columns_of(photos, pa.table({"product_id": [*names, "gone"], "attributes": further}))
    if not any(map(texts, said)):
        assert "tags" not in {column.name for column in columns}
        return
    entries = [texts(said[names.index(name)]) for name in photos["product_id"]]
    for part, holds in (
        ({"equals": "A/B"}, lambda own: "A/B" in own),
        ({"in": ["D", 7]}, lambda own: bool(own & {"D", "7"})),
        ({"below": "A/B"}, lambda own: any(f"{one}/".startswith("A/B/") for one in own)),
    ):
        asks = {"column": "tags", **part}
        mask = columns.mask(columns.where(None, parsed(json.dumps(asks))))
        assert mask.entries.tolist() == [holds(own) for own in entries]
        denied = columns.mask(columns.where(None, parsed(json.dumps({"not": asks}))))
        assert denied.entries.tolist() == [bool(own) and not holds(own) for own in entries]
    changed: Any = [SimpleNamespace(said={"tags": value}.get) for value in fresh]
    every = np.arange(len(columns))
    for name, within, level in (
        ("tags", None, lambda one: one),
        ("tags/", None, lambda one: one.split("/")[0]),
        ("tags/", "A", lambda one: "/".join(one.split("/")[:2]) if one.startswith("A/") else None),
    ):
        below = None if within is None else parsed(json.dumps({"column": "tags", "below": within}))
        counted = facets(columns, asked(name, below), every, changed)[name]
        wanted = Counter(text for value in (*said, *fresh) for text in {*map(level, texts(value))} - {None})
        assert {one.value: one.count for one in counted} == wanted


def texts(value: Any) -> set[str]:
    """Return what a field says, as texts."""
    return {str(one) for one in (value if isinstance(value, list) else [value])} - {"", "None"}


def test_of_many_columns_those_are_kept_that_most_products_have() -> None:
    further = [{"all": 1, f"only {number:04d}": number} for number in range(MOST + 40)]
    names = [f"p{number}" for number in range(len(further))]
    said = {name: np.array(names, object) for name in ("product_id", "category", "colour")}
    columns = columns_of(said, pa.table({"product_id": names, "attributes": [json.dumps(one) for one in further]}))
    kept = [column.name for column in columns]
    assert len(kept) == 2 + MOST
    assert "all" in kept


def test_facets_count_products_and_numbers_have_a_histogram() -> None:
    entries = np.flatnonzero([product["category"] == "bag" for product in PRODUCTS])
    bags = [product for product in PRODUCTS if product["category"] == "bag"]
    got = facets(COLUMNS, asked("colour,price,size"), entries)
    colours = [product["colour"] for product in bags if product["colour"]]
    assert {one.value: one.count for one in got["colour"]} == {name: colours.count(name) for name in colours}
    prices = [product["price"] for product in bags if product["price"] is not None]
    wanted, edges = np.histogram(prices, 10)
    numbers = got["price"].model_dump()
    assert (numbers["min"], numbers["max"]) == (min(prices), max(prices))
    assert [one["count"] for one in numbers["histogram"]] == wanted.tolist()
    assert [one["min"] for one in numbers["histogram"]] == pytest.approx(edges[:-1])
    one = {"min": 38, "max": 38, "count": sum(product["size"] is not None for product in bags)}
    assert got["size"].model_dump() == {"min": 38, "max": 38, "histogram": [one]}
    none = facets(COLUMNS, asked("colour,price,brand/"), entries[:0])
    assert none["brand/"] == []
    assert none["colour"] == []
    assert none["price"].model_dump() == {"min": None, "max": None, "histogram": []}


@pytest.mark.parametrize("above", ["", "A", "A/B", "A/B/C", "A/none"])
def test_levels_are_counted_one_at_a_time_below_what_the_filter_asks_for(above: str) -> None:
    part = {"column": "brand", "below": above}
    filters = [part, {"and": [{"column": "price", "range": {"min": 1}}, part, {"column": "brand", "below": "A"}]}]
    for one in filters if above else [None]:
        facet = asked("brand/,brand", parsed(json.dumps(one)) if one else None)
        got = facets(COLUMNS, facet, np.arange(len(PRODUCTS)))
        start = above.split("/") if above else []
        wanted: dict[str, int] = {}
        for product in PRODUCTS:
            levels = product["brand"].split("/") if product["brand"] else []
            if len(levels) > len(start) and levels[: len(start)] == start:
                node = "/".join(levels[: len(start) + 1])
                wanted[node] = wanted.get(node, 0) + 1
        assert {one.value: one.count for one in got["brand/"]} == wanted
        assert sum(one.count for one in got["brand"]) == sum(product["brand"] is not None for product in PRODUCTS)


def test_a_product_in_two_categories_is_counted_once_where_they_meet() -> None:
    said = {"product_id": ["a", "a", "b"], "category": ["W/bag", "W/hat", "W/hat"], "colour": ["", "", ""]}
    columns = columns_of({name: np.array(values, object) for name, values in said.items()}, None)
    for text, wanted in ((None, {"W": 2}), ('{"column": "category", "below": "W"}', {"W/bag": 1, "W/hat": 2})):
        (counts,) = facets(columns, asked("category/", parsed(text)), np.arange(len(columns))).values()
        assert {one.value: one.count for one in counts} == wanted


def test_numbers_have_no_levels() -> None:
    with pytest.raises(Refusal, match=r"column 'price' is of numbers, which have no levels") as caught:
        facets(COLUMNS, asked("price/"), np.arange(3))
    assert caught.value.status == 422


def test_levels_are_counted_of_changed_products_too() -> None:
    changed: Any = [SimpleNamespace(said={"brand": brand}.get) for brand in ("A/B", "Z/new", None, "A")]
    entries = np.flatnonzero([product["brand"] == "A/Bc" for product in PRODUCTS])
    for text, wanted in (
        (None, {"A": len(entries) + 2, "Z": 1}),
        ('{"column": "brand", "below": "A"}', {"A/Bc": len(entries), "A/B": 1}),
    ):
        (counts,) = facets(COLUMNS, asked("brand/", parsed(text)), entries, changed).values()
        assert {one.value: one.count for one in counts} == wanted
