"""What a version says of its products and photos, held in memory; and the pictures, read when they are asked for."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from visnet.errors import NotFound
from visnet.serving import galleries
from visnet.serving.catalog import Serving
from visnet.serving.columns.attributes import shown_attributes
from visnet.serving.columns.table import read_table
from visnet.serving.pace import breathe
from visnet.serving.photo_facts import NO_LIST, NOT_TOLD
from visnet.serving.photo_verdicts import PhotoVerdict, PhotoVerdicts
from visnet.serving.product_rows import numbered
from visnet.serving.ranking import Ranking
from visnet.serving.searcher import Searcher
from visnet.storage.table import Table


class Facts:
    """Products, their photos (by the searcher's rows), attributes and lists of one version."""

    def __init__(self, version: Serving, searcher: Searcher) -> None:
        """Read all but the pictures."""
        self._said, self._products = searcher.said, searcher.product_rows
        self._row = numbered(self._said["crop_id"])
        self._crops = Table(version.crops).opened()
        self._photos = galleries.photos_of(version, self._said["crop_id"], self._products)
        self._verdicts = PhotoVerdicts(version.quality, self._said["crop_id"])
        self.table = read_table(version.folder / "catalog.lance")  # a row per product, of what the shop says
        breathe()

    @property
    def similar_k(self) -> int:
        """How many products the longest of the published lists has."""
        return self._photos.k

    @property
    def photos(self) -> int:
        """How many shop photos there are."""
        return len(self._said["crop_id"])

    def categories(self) -> dict[str, int]:
        """Return category -> how many products it has, the largest first."""
        pairs = pd.DataFrame({name: self._said[name] for name in ("category", "product_id")}).drop_duplicates()
        return {str(name): int(count) for name, count in pairs["category"].value_counts().items()}

    def products(self) -> int:
        """How many products there are."""
        return self._products.count

    def has(self, product_id: str) -> bool:
        """Whether a product has a shop photo."""
        return product_id in self._products

    def rows(self, product_id: str) -> np.ndarray:
        """Return the photos of a product, rows of the searcher; `NotFound` when it has none."""
        rows = self._products.of(product_id)
        if not len(rows):
            raise NotFound(f"product {product_id[:200]!r} is not in the catalog")
        return rows

    def row(self, crop_id: str) -> int | None:
        """Return the row of a crop, None when the version does not have it."""
        return self._row.get(crop_id)

    def similar(self, product_id: str) -> Ranking:
        """Return the published list of a product; `NotFound` when it is not in the catalog.

        It has no probabilities: `Current.after_itself` gives them.
        """
        self.rows(product_id)
        at, photos = self._products.number[product_id], self._photos
        width = int(photos.listed[at])
        if width == NO_LIST:
            raise NotFound(f"product {product_id[:200]!r} has no list of similar products")
        return Ranking(photos.row[at, :width].astype(np.int64), np.array(photos.sq_distance[at, :width]), None)

    def attributes(self, product_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return product -> what the shop's table says of it, empty values left out; {} where it says nothing."""
        found: dict[str, dict[str, str]] = {product_id: {} for product_id in product_ids}
        if self.table is None:
            return found
        numbers = [self._products.number[one] for one in found if one in self._products]
        told = self._photos.told[numbers]
        for said in self.table.take(told[told != NOT_TOLD]).to_pylist():
            product_id = said.pop("product_id")
            found[product_id] = shown_attributes(said)
        return found

    def photo_id(self, crop_id: str) -> str:
        """Return the name of a photo in the API: the crop's, and the beginning of its content's hash."""
        return f"{crop_id}.{self._content(self._row[crop_id])}"

    def check_photo(self, photo_id: str) -> int:
        """Return the place of a shop photo among the crops; `NotFound` says why there is none."""
        crop, _, content = photo_id.partition(".")
        row = self._row.get(crop)
        if row is None:
            raise NotFound(f"photo {photo_id[:100]!r} is not in the catalog")
        if content != self._content(row):
            raise NotFound(f"photo {photo_id[:100]!r} was replaced by another picture; ask for the product again")
        return int(self._photos.place[row])

    def has_photo(self, photo_id: str) -> bool:
        """Whether the version has a photo, with this picture."""
        crop, _, content = photo_id.partition(".")
        row = self._row.get(crop)
        return row is not None and content == self._content(row)

    def verdict(self, photo_id: str) -> PhotoVerdict | None:
        """Return what was found of a photo, None where nothing is known or the version does not have it."""
        return self._verdicts.of(self._row[photo_id.partition(".")[0]]) if self.has_photo(photo_id) else None

    def product_of(self, photo_id: str) -> str:
        """Return the product that a shop photo of the version shows."""
        return str(self._said["product_id"][self._row[photo_id.partition(".")[0]]])

    def picture(self, photo_id: str) -> bytes:
        """Read the stored JPEG of a shop photo; `NotFound` says why there is none."""
        place = self.check_photo(photo_id)
        return self._read([place])[0]

    def pictures(self, rows: np.ndarray) -> list[bytes]:
        """Read the stored JPEGs of shop photos by their rows [N], at once."""
        return self._read(self._photos.place[rows].tolist())

    def _content(self, row: int) -> str:
        return bytes(self._photos.content[row]).decode()

    def _read(self, places: Sequence[int]) -> list[bytes]:
        return [bytes(one) for one in self._crops.take(places, columns=["image"])["image"].to_pylist()]
