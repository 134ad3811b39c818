"""The table of products: what a source says of each beside its photos, as its title, to be shown and filtered by.

A change feed keeps a table of this name itself, with what it must remember (`visnet.sources.changefeed.state`).
"""

import json
from collections.abc import Mapping

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from visnet.sources.rows import values
from visnet.storage import atomic
from visnet.storage.fingerprints import HASH_COLUMNS, fingerprints
from visnet.storage.table import Table, wanted_rows

PRODUCTS = pa.schema([("product_id", pa.string()), ("attributes", pa.string()), *HASH_COLUMNS])  # attributes: JSON

FEED = ("batches.lance", "dead_letters.lance")  # what a feed keeps beside


def rows(product_ids: pa.ChunkedArray, columns: Mapping[str, pa.ChunkedArray]) -> pa.Table:
    """Return a row of `PRODUCTS` per product, from columns of texts that have a value per photo.

    Of several photos of a product the first that says something counts. A column is one of numbers where all that it
    says are numbers, none of which is written with leading zeros, as codes are.
    """
    frame = pd.DataFrame({name: column.to_numpy() for name, column in columns.items()})
    for name in frame:
        frame[name] = frame[name].mask(frame[name] == "", None)
    first = frame.groupby(product_ids.to_numpy(), sort=True).first()
    told: list[dict[str, object]] = [{} for _ in range(len(first))]
    for name in first:
        given = first[name].dropna()
        read = float if all(map(_is_number, given.unique())) else str
        for at, text in zip(first.index.get_indexer(given.index), given, strict=True):
            told[at][str(name)] = read(text)
    attributes = pa.array([json.dumps(one, ensure_ascii=False, sort_keys=True) for one in told], pa.string())
    ids = pa.array(first.index.to_numpy(), pa.string())
    made_of = pa.array(fingerprints(ids, attributes))
    return pa.table([ids, attributes, made_of, made_of], schema=PRODUCTS)


def _is_number(text: str) -> bool:
    return values.is_number(text) and not (len(text) > 1 and text[0] == "0" and text[1].isdigit())


def write(table: Table, products: pa.Table | None) -> None:
    """Bring the table up to the products, of which only those that differ are written; None: there is none."""
    if table.exists() and (products is None or table.columns != PRODUCTS.names):  # of a source that was read before
        for name in FEED:  # first: a feed that has its batches, and not what they said, would not read them again
            if (table.path.parent / name).exists():
                atomic.remove(table.path.parent / name)
        atomic.remove(table.path)
    if products is None:
        return
    change = table.compare(wanted_rows(products["product_id"].to_pylist(), products["source"].to_pylist()))
    todo = pa.array(change.todo, pa.string())
    table.put(products.filter(pc.is_in(products["product_id"], todo)), change.changed)
    table.delete(change.gone)


def give_way(table: Table) -> None:
    """Remove the table where it is one that `write` made: a source that keeps its own makes another."""
    if table.exists() and table.columns == PRODUCTS.names:
        atomic.remove(table.path)
