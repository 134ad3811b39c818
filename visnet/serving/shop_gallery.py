"""The shop photos of a catalog in the order in which they are searched, and what is said of each.

Sorted by category, so that one of them is a range of rows, and nothing else is read to search it. In a folder it is
mapped into memory: processes that serve one version share the vectors, and what the scan makes of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from kernels.nearest import Gallery
from visnet.embedding.vectors import Vectors, read_vectors
from visnet.serving.pace import breathe
from visnet.serving.product_rows import AT_ONCE, ProductRows
from visnet.serving.told_categories import NONE_TOLD, ToldCategory, filled

SAID = ("product_id", "crop_id", "category", "colour")
ROWS, FILLED, MODEL = "rows.arrow", "filled", b"model"


@dataclass(frozen=True, eq=False)
class ShopGallery:
    """The shop photos, G of them, all by one model.

    said: name of `SAID` -> [G] object, "" for none. products: those of the photos. told: product -> the category that
    it was told, for those whose records say none.
    """

    model: str
    gallery: Gallery
    said: Mapping[str, np.ndarray]
    products: ProductRows
    told: Mapping[str, ToldCategory]

    @classmethod
    def read(cls, embeddings: Path, told: Mapping[str, ToldCategory] = NONE_TOLD) -> "ShopGallery":
        """Read a folder of embeddings, as `of`."""
        return cls.of(read_vectors(embeddings), told)

    @classmethod
    def of(cls, vectors: Vectors, told: Mapping[str, ToldCategory] = NONE_TOLD) -> "ShopGallery":
        """Take the shop's of the vectors; told: product -> the category that it has where its records say none."""
        shop = vectors.of(side="shop")
        rows = shop.rows
        category, used = filled(rows["category"].to_numpy(object), rows["product_id"].to_numpy(object), told)
        if used:
            rows = rows.assign(category=category)
        order = np.argsort(pd.factorize(rows["category"], sort=True)[0], kind="stable")
        said = {name: _texts(rows[name])[order] for name in SAID}
        gallery = Gallery(shop.matrix[torch.from_numpy(order)], metric="sq_euclidean")
        return cls(shop.model, gallery, said, ProductRows.of_photos(said["product_id"]), used)

    def save(self, folder: Path) -> None:
        """Write it into an empty folder, for `open`."""
        self.gallery.save(folder)
        columns = {name: pa.array(texts, pa.string()).dictionary_encode() for name, texts in self.said.items()}
        columns[FILLED] = pa.array(np.isin(self.said["product_id"], [*self.told]))
        table = pa.table(columns).replace_schema_metadata({MODEL: self.model.encode()})
        with pa.OSFile(str(folder / ROWS), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)

    @classmethod
    def open(cls, folder: Path, told: Mapping[str, ToldCategory] = NONE_TOLD) -> "ShopGallery":
        """Map what was saved, with the same `told`; `ValueError` or `OSError` where it cannot be used."""
        gallery = Gallery.open(folder)
        with pa.OSFile(str(folder / ROWS), "rb") as file:
            table = pa.ipc.open_file(file).read_all().combine_chunks()
        if len(table) != len(gallery.vectors):
            raise ValueError(f"{folder}: {len(table)} rows for {len(gallery.vectors)} vectors; make it again")
        coded = {name: _decoded(table[name]) for name in SAID}
        said = {}
        for name, (code, values) in coded.items():
            said[name] = values[code]
            breathe()
        own = said["product_id"][table[FILLED].to_numpy()]
        used = {name: told[name] for name in dict.fromkeys(own.tolist())}
        model = (table.schema.metadata or {})[MODEL].decode()
        return cls(model, gallery, said, ProductRows(*coded["product_id"]), used)


def _texts(column: pd.Series) -> np.ndarray:
    """Return a column of texts as objects, one object for each text; "" for none."""
    code, values = pd.factorize(column)
    return np.append(np.asarray(values, object), "")[code]  # the last is of none, whose number is -1


def _decoded(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each row's text, [G] int, and the texts, [V] object, in the order they come."""
    if not len(column):
        return np.zeros(0, np.int64), np.empty(0, object)
    (chunk,) = column.chunks
    values = np.empty(len(chunk.dictionary), object)
    for start in range(0, len(values), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        values[part] = chunk.dictionary[part].to_numpy(zero_copy_only=False)
        breathe()
    return chunk.indices.to_numpy(), values
