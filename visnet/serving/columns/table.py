"""The columns of a catalog's table of products, and of the further fields of its records."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as types

from visnet.serving.columns.attributes import as_text, parsed_attributes
from visnet.serving.columns.values import Column, ListColumn, NumberColumn, TextColumn, number
from visnet.serving.pace import breathe
from visnet.storage.table import Table

UNSAID = {"product_id", "op", "seq", "updated_at", "photos", "street_photos", "street_boxes", "split", "source"}
UNSAID |= {"content", "category", "colour", "attributes"}
MOST = 256  # further columns; of more, those that the most products have


def read_table(catalog: Path) -> pa.Table | None:
    """Read what a shop's table says of its products: product_id, columns and `attributes`; None where there is none."""
    table = Table(catalog)
    if not table.exists():
        return None
    names = [name for name in table.columns if name not in UNSAID]
    more = [name for name in ("attributes",) if name in table.columns]
    return table.read(["product_id", *names, *more]).combine_chunks()


def of_table(table: pa.Table, at: np.ndarray, taken: Sequence[str]) -> list[Column]:
    """Make columns of a table's and of its `attributes`, JSON; those without a value, and those `taken`, are left out.

    at: [E] int, the table's row of each entry, -1 for none.
    """
    names = [name for name in table.column_names if name not in ("product_id", "attributes", *taken)]
    found = [_column(name, _values(table[name]), at) for name in names]
    if "attributes" in table.column_names:
        further: dict[str, tuple[list[int], list[Any]]] = defaultdict(lambda: ([], []))
        for row, text in enumerate(table["attributes"].to_pylist()):
            for name, value in parsed_attributes(text).items() if text else ():
                rows, values = further[name]
                rows.append(row)
                values.append(value)
        most = sorted(further.keys() - {*names, *taken}, key=lambda name: (-len(further[name][0]), name))[:MOST]
        for name in most:
            rows, values = further[name]
            whole = np.full(table.num_rows, None, object)
            whole[rows] = pd.Series(values, dtype=object).to_numpy()
            found.append(_column(name, whole, at))
    return [column for column in found if column.known.any()]


def _values(column: pa.ChunkedArray) -> np.ndarray:
    """Return a table's column as float64 where it is of numbers, else as objects."""
    kind = column.type
    if types.is_integer(kind) or types.is_floating(kind):
        return column.cast(pa.float64(), safe=False).to_numpy()
    if types.is_string(kind) or types.is_large_string(kind):
        return column.to_numpy()
    return pd.Series(column.to_pylist(), dtype=object).to_numpy()


def _column(name: str, values: np.ndarray, at: np.ndarray) -> Column:
    """Make a column of a table's values [N]; one of several kinds is of texts, or of lists of them."""
    breathe()
    if values.dtype == object:
        kinds = {*map(type, values)} - {type(None)}
        if kinds <= {int, float}:
            values = np.array([number(value) for value in values])
    if values.dtype == object:
        if list in kinds:
            return ListColumn.of(name, [*values, None]).take(at)  # the last is of entries that the table does not have
        if not kinds <= {str}:
            values = pd.Series([as_text(value) for value in values], dtype=object).to_numpy()
        return TextColumn.of(name, _taken(values, at, None))
    finite = np.where(np.isfinite(values), values, np.nan)
    return NumberColumn(name, _taken(finite, at, np.nan))


def _taken(values: np.ndarray, at: np.ndarray, none: Any) -> np.ndarray:
    return np.append(values, none)[at]  # the last is of entries that the table does not have
