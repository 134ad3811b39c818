"""Which column of a table says what: the names in params.toml, held against those there are, and how each is read."""

import functools
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pydantic import Field

from visnet.pipeline.stage import Frozen
from visnet.sources.listing import SIDES, SPLITS
from visnet.sources.rows import values
from visnet.sources.rows.columns import Convert, converted

BOX = ("left", "top", "width", "height")
FURTHER = "attributes."  # before the name of a column that is read for being shown


class Columns(Frozen):
    """Which column of the table says what; "" = none does.

    `product`, `category` and one of `path` and `url` are needed. A name written in params.toml must be in the table;
    the defaults of `colour` and `gender` may be missing, and that of `path` when `url` is written.
    """

    product: str = "_id"
    category: str = "_category"
    path: str = "_name"
    url: str = ""
    colour: str = "_color"
    gender: str = "_gender"
    title: str = Field(default="", description="what a product is called; shown with it")
    price: str = Field(default="", description="numbers, or texts as '19.90 EUR'; shown with it")
    side: str = Field(default="", description="street | shop; unmapped or empty = shop")
    split: str = Field(default="", description="train | validation | test; unmapped or empty = assigned by product")
    left: str = ""
    top: str = ""
    width: str = ""
    height: str = ""


def read(column: pa.ChunkedArray, field: str, name: str, part: Path) -> tuple[pa.Array, pa.Array]:
    """Return a column's values as its field has them, and, where one cannot be used, the reason.

    `ValueError` in one line for a column that holds neither texts nor numbers.
    """
    convert, kind = CONVERSIONS.get(field, (_shown if field.startswith(FURTHER) else values.text, pa.string()))
    try:
        return converted(column, convert, name, kind)
    except ValueError as error:
        raise ValueError(f"{part}: columns.{field}: {name}: {error}") from None


def _product(value: object, name: str) -> str:
    try:
        return values.identifier(value, name)
    except values.MissingValue:
        raise values.Bad("empty product") from None


def _shown(value: object, name: str) -> str:
    """Return what is shown of any value: nothing of one that is no text, as no shopper misses it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    try:
        return values.text(value, name)
    except values.Bad:
        return ""


def _one_of(allowed: tuple[str, ...], default: str, value: object, name: str) -> str:
    if (found := values.text(value, name)) not in (*allowed, ""):
        raise values.Bad(f"{name}: {' | '.join(filter(None, allowed))} is allowed")
    return found or default


CONVERSIONS: dict[str, tuple[Convert, pa.DataType]] = {
    "product": (_product, pa.string()),
    "side": (functools.partial(_one_of, SIDES, "shop"), pa.string()),
    "split": (functools.partial(_one_of, SPLITS, ""), pa.string()),
    **dict.fromkeys(("title", "price"), (_shown, pa.string())),
    **dict.fromkeys(BOX, (values.number, pa.float64())),
}


def mapped(path: Path, columns: Columns, further: Sequence[str], there: list[str]) -> dict[str, str]:
    """Return field -> column for what the table has; `ValueError` when a needed or a written one is missing.

    further: columns that are read for being shown; the field of each is its name after `FURTHER`.
    """
    written = columns.model_fields_set
    names = {field: name for field, name in columns.model_dump().items() if name}
    if "url" in written and "path" not in written:
        names.pop("path")
    for field in ("colour", "gender"):
        if field not in written and names.get(field) not in there:
            names.pop(field, None)
    found = f"the table has {', '.join(there) or 'no columns: its first line is empty'}"
    for field in ("product", "category"):
        if field not in names:
            raise ValueError(f"{path}: columns.{field} is not mapped; {found}")
    for field, name in (names := names | {f"{FURTHER}{name}": name for name in further}).items():
        if there.count(name) != 1:
            fault = "no column" if name not in there else "more than one column"
            where = "attributes" if field.startswith(FURTHER) else f"columns.{field}"
            raise ValueError(f"{path}: {where}: {fault} {name!r}; {found}")
    if not {"path", "url"} & names.keys():
        raise ValueError(f"{path}: neither columns.path nor columns.url is mapped to a column; {found}")
    if 0 < len(names.keys() & set(BOX)) < len(BOX):
        raise ValueError(f"{path}: columns.{{{','.join(BOX)}}}: map all four of them or none")
    return names
