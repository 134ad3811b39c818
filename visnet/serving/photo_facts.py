"""What a version says of its shop photos and of its products' lists, by numbers; mapped into memory from a folder."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from visnet.serving.product_rows import ProductRows
from visnet.storage.table import Table

CONTENT = 8  # hex digits of a photo's content that its id ends with: another picture is another id
LISTED = ["product_id", "category", "crops", "sq_distances"]
NO_LIST = NOT_TOLD = -1


@dataclass(frozen=True, eq=False)
class PhotoFacts:
    """Photos are rows of a searcher, G of them, and products have numbers of `ProductRows`, P of them.

    place: of each photo among the crops, [G] int32. content: the beginning of its picture's hash, [G] bytes.
    told: the row of each product in the catalog's table, [P] int32, `NOT_TOLD` where that has none. listed: how many
    similar products the list of each has, [P] int32, `NO_LIST` where it has none. row, sq_distance:
    the nearest photo of each of these, [P, K] int32, and how far it is, [P, K] float32; of what is beyond, 0.
    """

    place: np.ndarray
    content: np.ndarray
    told: np.ndarray
    listed: np.ndarray
    row: np.ndarray
    sq_distance: np.ndarray

    @property
    def k(self) -> int:
        """How long the longest list is."""
        return self.row.shape[1]

    @classmethod
    def read(cls, tables: Path, crop_id: np.ndarray, products: ProductRows) -> "PhotoFacts":
        """Read the tables of crops, of lists and of the catalog, if there; crop_id: of each photo, [G] object."""
        knn, catalog = tables / "knn.lance", Table(tables / "catalog.lance")
        own = pa.array(crop_id, pa.string())
        stored = Table(tables / "crops.lance").read(["crop_id", "content"]).combine_chunks()
        place = pc.index_in(own, value_set=stored["crop_id"].combine_chunks())
        content = pc.utf8_slice_codeunits(stored["content"].take(place), 0, CONTENT)
        # Of a product with lists in several categories the last counts, which is that of the first category.
        lists = Table(knn).read(LISTED, "kind = 'similar'").sort_by([("category", "descending")]).combine_chunks()
        number = products.numbers(lists["product_id"].to_numpy())
        width = pc.list_value_length(lists["crops"]).to_numpy().astype(np.int64)
        listed = np.full(products.count, NO_LIST, np.int32)
        row, sq_distance = (np.zeros((products.count, int(width.max(initial=0))), kind) for kind in (np.int32, "f4"))
        flat = pc.index_in(lists["crops"].combine_chunks().flatten(), value_set=own)
        if flat.null_count:
            raise ValueError(f"{knn}: {flat.null_count} photos of lists are not in the catalog; run `dvc repro` first")
        distances = lists["sq_distances"].combine_chunks().flatten().to_numpy()
        column = np.arange(row.shape[1])
        there = number >= 0
        last = np.full(products.count, -1)
        last[number[there]] = np.flatnonzero(there)
        have = np.flatnonzero(last >= 0)
        start = (np.cumsum(width) - width)[last[have]]
        filled = column < width[last[have]][:, None]
        at = np.where(filled, start[:, None] + column, 0)
        listed[have] = width[last[have]]
        if len(flat):
            row[have], sq_distance[have] = np.where(filled, flat.to_numpy()[at], 0), np.where(filled, distances[at], 0)
        told = np.full(products.count, NOT_TOLD, np.int32)
        if catalog.exists():
            at = products.numbers(catalog.read(["product_id"])["product_id"].to_numpy())
            told[at[at >= 0]] = np.flatnonzero(at >= 0)
        return cls(place.to_numpy(), content.to_numpy().astype(f"S{CONTENT}"), told, listed, row, sq_distance)

    def save(self, folder: Path) -> None:
        """Write it into a folder, for `open`."""
        for field in fields(self):
            np.save(folder / f"photo_{field.name}.npy", getattr(self, field.name), allow_pickle=False)

    @classmethod
    def open(cls, folder: Path, photos: int, products: int) -> "PhotoFacts":
        """Map what was saved; `ValueError` or `OSError` where it cannot be used."""
        found = cls(*(mapped(folder / f"photo_{field.name}.npy") for field in fields(cls)))
        wide = products, found.row.shape[-1]
        shapes = [*[(photos,)] * 2, *[(products,)] * 2, *[wide] * 2]
        if [getattr(found, field.name).shape for field in fields(cls)] != shapes:
            raise ValueError(f"{folder}: facts of other photos; make it again")
        return found


def mapped(path: Path) -> np.ndarray:
    """Map an array that `np.save` wrote; `ValueError` or `OSError` where it is none."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError:  # nothing can be mapped where there is nothing
        found: np.ndarray = np.load(path, allow_pickle=False)
        return found
