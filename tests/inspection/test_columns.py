"""Which column says what: by name, by values, and what is told of a choice."""

from collections.abc import Mapping

import pytest

from visnet.inspection.columns import Sample, recognised

ROWS = 30
IDS = [f"A{number}" for number in range(ROWS)]
FILES = [f"{number}.jpg" for number in range(ROWS)]
KINDS = [("hat", "bag", "belt")[number % 3] for number in range(ROWS)]
URLS = [f"https://shop.example/p/{number}.jpg?w=9" for number in range(ROWS)]
PAGES = [f"https://shop.example/p/{number}" for number in range(ROWS)]
SIDES = [("street", "shop")[number % 2] for number in range(ROWS)]
NUMBERS = [str(number) for number in range(ROWS)]


@pytest.mark.parametrize(
    ("sample", "chosen"),
    [
        (
            {"_category": KINDS, "_color": KINDS, "_id": IDS, "_gender": KINDS, "_name": FILES},
            {"product": "_id", "category": "_category", "path": "_name", "colour": "_color", "gender": "_gender"},
        ),
        (
            {
                "id": IDS,
                "gender": KINDS,
                "masterCategory": KINDS,
                "baseColour": KINDS,
                "filename": FILES,
                "link": PAGES,
            },
            {"product": "id", "category": "masterCategory", "path": "filename", "url": "link"}
            | {"colour": "baseColour", "gender": "gender"},
        ),
        ({"ASIN": IDS, "Product Type": KINDS, "Image URL": URLS}, None),
        ({"article_id": IDS, "department": KINDS, "image": URLS, "link": PAGES}, {"url": "image"}),
        ({"sku": IDS, "class": KINDS, "image": FILES}, {"path": "image"}),
        ({"sku": IDS, "class": KINDS, "domain": SIDES, "image": FILES}, {"side": "domain"}),
        ({"sku": IDS, "class": KINDS, "domain": URLS, "image": FILES}, {"side": None}),
        ({"sku": IDS, "kind": KINDS, "split": ["train"] * ROWS, "f": FILES}, {"split": "split"}),
        ({"sku": IDS, "kind": KINDS, "split": ["val"] * ROWS, "f": FILES}, {"split": None}),
        ({"sku": IDS, "kind": KINDS, "f": FILES, "width": NUMBERS, "height": NUMBERS}, {"width": None}),
        (
            {"sku": IDS, "kind": KINDS, "f": FILES, **dict.fromkeys(("left", "top", "width", "height"), NUMBERS)},
            {"left": "left", "height": "height"},
        ),
        ({"a": IDS, "b": KINDS, "c": FILES}, {"product": "a", "category": "b", "path": "c"}),
        ({"b": KINDS, "c": FILES}, {"product": "c", "category": "b", "path": "c"}),
        ({"sku": IDS, "kind": KINDS, "image_path": IDS}, {"path": "image_path"}),
        ({"sku": IDS, "category": IDS, "brand": KINDS, "f": FILES}, {"category": None}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_columns_are_recognised(sample: Sample, chosen: Mapping[str, str | None] | None) -> None:
    found, _ = recognised(sample)
    if chosen is None:
        chosen = {"product": "ASIN", "category": "Product Type", "url": "Image URL"}
    assert {field: found.get(field) for field in chosen} == chosen


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ({"id": IDS, "sku": IDS}, "product: sku; others are called like it: id"),
        ({"a": FILES, "path": FILES}, "path: path; these hold the like: a"),
        ({"domain": KINDS}, "side: domain is not read, as it holds bag, belt, hat; street | shop are read"),
        ({"b": KINDS, "f": FILES}, 'category: no column is called so; "b" has few words'),
        ({"f": FILES}, 'product: no column says it, so each photo is one, by "f"'),
    ],
)
def test_what_was_decided_in_doubt_is_told(sample: Sample, said: str) -> None:
    assert any(note.startswith(said) for note in recognised(sample)[1]), recognised(sample)[1]
