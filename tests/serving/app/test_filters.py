"""A filter finds what SQL finds by the same words, over columns of texts and numbers, values missing or not."""

import json
import sqlite3
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.nearest.contract import unpack_bits
from tests.serving.app.test_columns import COLUMNS, NUMBERS, PRODUCTS, TEXTS
from visnet.serving.app.columns import ProductColumns, Where
from visnet.serving.app.filters import ALLOWED, parsed
from visnet.serving.app.problems import Refusal


def found(columns: ProductColumns, asked: dict[str, Any] | None, category: str | None = None) -> set[str]:
    """Return the products whose photos may answer, by the bits that the scan takes."""
    mask = columns.mask(columns.where(category, parsed(json.dumps(asked) if asked else None)))
    if mask.bits is None:
        return {PRODUCTS[at]["product_id"] for at in np.flatnonzero(mask.entries)}
    rows = unpack_bits(mask.bits).numpy()[: 2 * len(PRODUCTS)]
    products = {PRODUCTS[row // 2]["product_id"] for row in np.flatnonzero(rows)}
    assert rows.sum() == 2 * len(products), "all photos of a product, or none"
    assert mask.products == len(products)
    return products


def sql(asked: dict[str, Any]) -> str:
    """Write a filter as SQL."""
    if "not" in asked:
        return f"NOT ({sql(asked['not'])})"
    for word in ("and", "or"):
        if word in asked:
            return f" {word} ".join(f"({sql(part)})" for part in asked[word])
    values = [asked["equals"]] if "equals" in asked else asked.get("in")
    if values is not None:
        return f"{asked['column']} IN ({', '.join(repr(value) for value in values)})"
    if "below" in asked:
        column, path = asked["column"], asked["below"]
        return f"({column} = {path!r} OR substr({column}, 1, {len(path) + 1}) = {path + '/'!r})"
    bounds = {"min": ">=", "max": "<="}
    return " AND ".join(f"{asked['column']} {bounds[name]} {value}" for name, value in asked["range"].items())


def by_sql(asked: dict[str, Any]) -> set[str]:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE products (product_id, category, colour, brand, price REAL, size REAL)")
    database.executemany("INSERT INTO products VALUES (?, ?, ?, ?, ?, ?)", [tuple(one.values()) for one in PRODUCTS])
    return {product for (product,) in database.execute(f"SELECT product_id FROM products WHERE {sql(asked)}")}


def conditions() -> st.SearchStrategy[dict[str, Any]]:
    texts, numbers = (
        st.sampled_from(["red", "blue", "bag", "hat", "A", "A/B", "nothing"]),
        st.sampled_from([5, 9.5, 38, 7]),
    )
    equals = [
        st.fixed_dictionaries({"column": st.sampled_from(names), word: values})
        for names, one in ((TEXTS, texts), (NUMBERS, numbers))
        for word, values in (("equals", one), ("in", st.lists(one, min_size=1, max_size=3)))
    ]
    bounds = st.dictionaries(st.sampled_from(["min", "max"]), numbers, min_size=1)
    ranges = st.fixed_dictionaries({"column": st.sampled_from(NUMBERS), "range": bounds})
    paths = st.sampled_from(["A", "A/B", "A/B/C", "A B", "A/", "bag", "ba", "nothing"])
    below = st.fixed_dictionaries({"column": st.sampled_from(TEXTS), "below": paths})
    return st.one_of(*equals, ranges, below)


def filters(depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Draw filters of at most so many parts within parts."""
    if depth == 1:
        return conditions()
    part = filters(depth - 1)
    several = st.lists(part, min_size=1, max_size=3)
    words = {"and": several, "or": several, "not": part}
    return st.one_of(part, *(st.fixed_dictionaries({word: parts}) for word, parts in words.items()))


@given(filters(4))
def test_a_filter_finds_what_sql_finds(asked: dict[str, Any]) -> None:
    assert found(COLUMNS, asked) == by_sql(asked)


def test_a_product_that_lacks_a_value_is_found_by_nothing_that_is_asked_of_it() -> None:
    red = {"column": "colour", "equals": "red"}
    without = {product["product_id"] for product in PRODUCTS if product["colour"] is None}
    assert without
    assert not without & (found(COLUMNS, red) | found(COLUMNS, {"not": red}))
    assert found(COLUMNS, {"column": "colour", "equals": ""}) == set()


@pytest.mark.parametrize("asked", [{"equals": "bag"}, {"in": ["bag"]}])
def test_a_filter_on_one_category_is_that_category(asked: dict[str, Any]) -> None:
    bag, cheap = {"column": "category", **asked}, {"column": "price", "range": {"max": 10}}
    assert COLUMNS.where(None, parsed(json.dumps(bag))) == Where("bag")
    both = COLUMNS.where(None, parsed(json.dumps({"and": [cheap, bag]})))
    assert both == COLUMNS.where("bag", parsed(json.dumps(cheap)))
    assert both.category == "bag"
    assert found(COLUMNS, {"and": [cheap, bag]}) == by_sql({"and": [cheap, bag]})
    assert found(COLUMNS, {"column": "category", "equals": "none"}) == set()
    assert found(COLUMNS, bag, category="hat") == set()


def test_the_same_filter_is_worked_out_once() -> None:
    asked = {"column": "price", "range": {"min": 9}}
    first = COLUMNS.mask(COLUMNS.where(None, parsed(json.dumps(asked))))
    again = COLUMNS.mask(COLUMNS.where(None, parsed(json.dumps({"range": {"min": 9.0}, "column": "price"}))))
    assert again is first
    assert COLUMNS.mask.cache_info().maxsize == 64


REFUSED = {
    "{": "filter: Invalid JSON",
    "[]": "wanted is one of equals, in, range, below, and, or, not",
    '{"column": "price"}': "wanted is one of",
    '{"column": "price", "equals": 1, "in": [1]}': "wanted is one of",
    '{"and": [{"column": "price", "equal": 1}]}': "filter.and.0: wanted is one of",
    '{"column": "brand", "below": ""}': "filter.below: String should have at least 1 character",
    '{"column": "brand", "below": 1}': "filter.below: Input should be a valid string",
    '{"and": []}': "filter.and: Tuple should have at least 1 item",
    '{"column": "price", "equals": null}': "filter.equals: wanted is a text, a number, true or false",
    '{"column": "price", "equals": NaN}': "wanted is a text, a number, true or false",
    '{"column": "price", "range": {}}': "filter.range: wanted is min, max or both",
    '{"column": "price", "range": {"min": "9"}}': "filter.range.min: Input should be a valid number",
    '{"column": "price", "range": {"least": 9}}': "filter.range.least: Extra inputs are not permitted",
    f'{{"column": "colour", "in": {json.dumps(["red"] * 257)}}}': "at most 256 items",
    '{"not":' * 8 + '{"column": "colour", "equals": "red"}' + "}" * 8: "filter: 9 parts, 9 deep",
    f'{{"and": {json.dumps([{"column": "price", "equals": 1}] * 64)}}}': "filter: 65 parts, 2 deep",
    '{"not":' * 2000 + "1" + "}" * 2000: "filter: Invalid JSON: recursion limit",
    f'{{"column": "colour", "equals": "{"x" * 17_000}"}}': "characters",
}


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_filter_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        parsed(text)
    assert caught.value.status == 422
    assert REFUSED[text] in caught.value.detail
    assert caught.value.detail.endswith(ALLOWED)


UNASKABLE = {
    '{"column": "color", "equals": "red"}': "no column 'color'; near are colour; there are category, colour, price",
    '{"or": [{"column": "colour", "equals": "red"}, {"column": "x", "equals": 1}]}': "no column 'x'; there are",
    '{"column": "colour", "range": {"min": 1}}': "column 'colour' is of texts; allowed are equals, in and below",
    '{"column": "price", "below": "A"}': "column 'price' is of numbers, which are below no path",
    '{"column": "price", "equals": "cheap"}': "column 'price' is of numbers, and 'cheap' is a text",
}


@pytest.mark.parametrize("text", UNASKABLE)
def test_what_a_column_cannot_be_asked_is_told(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        COLUMNS.where(None, parsed(text))
    assert caught.value.status == 422
    assert UNASKABLE[text] in caught.value.detail
