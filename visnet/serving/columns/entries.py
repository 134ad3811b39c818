"""The columns of a version's products, a row for each entry; mapped into memory from a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from visnet.serving.columns.table import of_table
from visnet.serving.columns.values import Column, ListColumn, NumberColumn, TextColumn
from visnet.serving.pace import breathe
from visnet.serving.photo_facts import mapped
from visnet.serving.product_rows import ProductRows

OWN = ("category", "colour")  # of photos: the others are the catalog table's, of products
FILE, OF_PHOTOS, PRODUCT = "columns.arrow", "photo_entry.npy", "product"


@dataclass(frozen=True, eq=False)
class Entries:
    """An entry is a product with the category and colour of one of its photos; nearly always there is one per product.

    So what is found is what is told of an answer, also where a shop has a product in two categories. of_photo: the
    entry of each photo, [G] int32. product: the product's number, [E]. columns: those of `OWN`, and then the others.
    """

    of_photo: np.ndarray
    product: np.ndarray
    columns: tuple[Column, ...]

    @classmethod
    def read(cls, said: Mapping[str, np.ndarray], products: ProductRows, table: pa.Table | None) -> "Entries":
        """Take category and colour of each photo, [G] object, its product, and the catalog's table of products, if any.

        table: a row per product, with product_id, columns, and `attributes`, JSON of further ones.
        """
        whole = products.code
        for name in OWN:
            code, values = pd.factorize(said[name])
            whole = whole * max(len(values), 1) + code
            breathe()
        entry, entries = pd.factorize(whole)
        first = np.zeros(len(entries), np.int64)
        first[entry[::-1]] = np.arange(len(entry))[::-1]
        product = products.code[first]
        columns: list[Column] = []
        for name in OWN:
            breathe()
            columns.append(TextColumn.of(name, said[name][first]))
        if table is not None:
            rows = pd.Index(table["product_id"].to_numpy()).get_indexer(products.names)
            columns += of_table(table, rows[product], taken=OWN)
        return cls(entry.astype(np.int32), product.astype(np.int32), tuple(columns))

    def save(self, folder: Path) -> None:
        """Write it into a folder, for `open`."""
        parts: dict[str, Any] = {PRODUCT: pa.array(self.product, pa.int32())}
        parts |= {f"{at} {column.name}": _stored(column) for at, column in enumerate(self.columns)}
        table = pa.table(parts)
        with pa.OSFile(str(folder / FILE), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        np.save(folder / OF_PHOTOS, self.of_photo, allow_pickle=False)

    @classmethod
    def open(cls, folder: Path, photos: int) -> "Entries":
        """Map what was saved; `ValueError` or `OSError` where it cannot be used."""
        of_photo = mapped(folder / OF_PHOTOS)
        table = pa.ipc.open_file(pa.memory_map(str(folder / FILE))).read_all().combine_chunks()
        if len(of_photo) != photos or (photos and int(of_photo.max()) >= len(table)):
            raise ValueError(f"{folder}: columns of other photos; make it again")
        names = [name for name in table.column_names if name != PRODUCT]
        columns = tuple(_column(name.partition(" ")[2], _whole(table[name])) for name in names)
        return cls(of_photo, _whole(table[PRODUCT]).to_numpy(), columns)


def _stored(column: Column) -> pa.Array:
    """Return a column as Arrow has such: numbers, or texts by their numbers, or lists of these."""
    if isinstance(column, NumberColumn):
        return pa.array(column.said)
    if isinstance(column, TextColumn):
        return pa.DictionaryArray.from_arrays(pa.array(column.codes, pa.int32(), mask=column.codes < 0), column.texts)
    codes = pa.DictionaryArray.from_arrays(pa.array(column.codes, pa.int32()), column.texts)
    return pa.LargeListArray.from_arrays(pa.array(column.starts, pa.int64()), codes)


def _column(name: str, stored: pa.Array) -> Column:
    if pa.types.is_dictionary(stored.type):
        return TextColumn(name, pc.fill_null(stored.indices, -1).to_numpy(), stored.dictionary)
    if pa.types.is_large_list(stored.type):
        codes = stored.values
        return ListColumn(name, stored.offsets.to_numpy(), codes.indices.to_numpy(), codes.dictionary)
    return NumberColumn(name, stored.to_numpy())


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column of one chunk, or of none where there is no row."""
    return column.chunk(0) if column.num_chunks else column.combine_chunks()
