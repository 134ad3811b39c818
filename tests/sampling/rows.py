"""Small tables of crops, drawn by hypothesis, and the plain reading of which triplets they admit."""

from typing import NamedTuple

import pandas as pd
from hypothesis import strategies as st

from visnet.sampling.crops import Crops

SPLITS = ("train", "test")


class Row(NamedTuple):
    """One crop of a small table."""

    product_id: str
    category: str
    colour: str
    side: str
    split: str
    photo_id: str


def crops(rows: list[Row]) -> Crops:
    return Crops.from_frame(pd.DataFrame(rows, columns=Row._fields))


def row_of(
    product: str, category: str = "hat", colour: str = "red", side: str = "shop", split: str = "train", photo: str = ""
) -> Row:
    return Row(product, category, colour, side, split, photo)


ROWS = st.builds(
    Row,
    product_id=st.sampled_from("aaabbcd"),
    category=st.sampled_from(["hat", "hat", "bag"]),
    colour=st.sampled_from(["red", "blue", ""]),
    side=st.sampled_from(["street", "shop", "shop"]),
    split=st.sampled_from(["train", "train", "test", ""]),
    photo_id=st.sampled_from(["", "", "", "1", "2", "3"]),
)
TABLES = st.lists(ROWS, max_size=14)
SEEDS = st.integers(0, 2**32 - 1)


def same_photo(a: Row, b: Row) -> bool:
    return a is b or (a.photo_id != "" and a.photo_id == b.photo_id)


def pool(rows: list[Row], split: str) -> list[int]:
    """List the rows a split may use."""
    usable = []
    for i, row in enumerate(rows):
        own = [r for r in rows if r.product_id == row.product_id]
        street = [r for r in own if r.side == "street"]
        belongs = any(r.split == split for r in street or own)
        if belongs and (row.split == split or (row.side == "shop" and street)):
            usable.append(i)
    return usable


def other_product(rows: list[Row], usable: list[int], q: int, n: int) -> bool:
    """Whether crop n shows another product than crop q, on a photo that does not show the product of q."""
    mine = [rows[i] for i in usable if rows[i].product_id == rows[q].product_id]
    return rows[n].product_id != rows[q].product_id and not any(same_photo(rows[n], r) for r in mine)


def admissible(rows: list[Row], split: str, kind: str) -> dict[int, tuple[list[int], list[int]]]:
    """List for each query its positives and its negatives, both never empty."""
    usable = pool(rows, split)
    found = {}
    for q in usable:
        if rows[q].split != split:
            continue
        a, others = rows[q], [i for i in usable if other_product(rows, usable, q, i)]
        if kind.startswith("product"):
            p = [i for i in usable if rows[i].product_id == a.product_id and not same_photo(rows[i], a)]
        else:
            p = [i for i in others if a.colour and (rows[i].category, rows[i].colour) == (a.category, a.colour)]
        if kind.endswith("out"):
            n = [i for i in others if rows[i].category != a.category]
        else:
            n = [i for i in others if rows[i].category == a.category]
        if kind == "colour/in":
            n = [i for i in n if rows[i].colour not in ("", a.colour)]
        if p and n:
            found[q] = (p, n)
    return found


TINY = [
    row_of("a", photo="1"),
    row_of("a", photo="1"),  # the same photo again: no positive for the first
    row_of("a", colour="blue"),  # one product in two colours
    row_of("a", category="bag"),  # and in two categories
    row_of("b"),
    row_of("b", colour="blue"),
    row_of("c", colour="blue", photo="1"),  # on a photo of a: no negative for a
    row_of("d", category="bag", side="street"),
    row_of("d", category="bag", split="test"),
    row_of("e", category="bag", colour="blue"),
    row_of("e", category="bag", colour=""),
]
