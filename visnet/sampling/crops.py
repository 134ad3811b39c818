"""The table of crops as a sampler sees it: integer codes, and which rows a split may use."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from visnet.sampling.splits import SPLITS

STREET, SHOP = 0, 1
SIDES = ("street", "shop")
COLUMNS = ("product_id", "category", "colour", "side", "split")


@dataclass(frozen=True)
class Crops:
    """N crops as codes from 0, all [N] int64.

    colour is -1 where unknown (an unknown colour is no colour: it equals none and differs from none); split indexes
    `SPLITS`, -1 for none of them; side is `STREET` or `SHOP`. An unknown category counts as one more category.
    """

    product: np.ndarray
    category: np.ndarray
    colour: np.ndarray
    side: np.ndarray
    split: np.ndarray
    photo: np.ndarray

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Self:
        """Code a table with the columns product_id, category, colour, side, split and, if photos are shared, photo_id.

        Without photo_id every row counts as a photo of its own. `ValueError` for a missing column, a crop without
        product, and a side or split that does not exist; the column's missing values count as "".
        """
        missing = [name for name in COLUMNS if name not in frame.columns]
        if missing:
            raise ValueError(f"crops: no column {missing[0]!r}; needed are {', '.join(COLUMNS)}")
        product = _codes(frame["product_id"])
        if (product < 0).any():
            raise ValueError(f"crops: row {int(np.argmax(product < 0))} has no product_id")
        side = _listed(frame["side"], SIDES)
        if (side < 0).any():
            raise ValueError(f"crops: row {int(np.argmax(side < 0))} has no side; allowed are {', '.join(SIDES)}")
        category = _codes(frame["category"]) + 1
        photo = _codes(frame["photo_id"]) if "photo_id" in frame.columns else np.full(len(frame), -1)
        return cls(
            product=product,
            category=category,
            colour=_codes(frame["colour"]),
            side=side,
            split=_listed(frame["split"], SPLITS),
            photo=np.where(photo < 0, len(frame) + np.arange(len(frame)), photo),
        )

    def __len__(self) -> int:
        return len(self.product)

    def take(self, rows: np.ndarray) -> "Crops":
        """Keep the given rows only, an int64 [M] of row numbers, in their order."""
        return Crops(
            self.product[rows],
            self.category[rows],
            self.colour[rows],
            self.side[rows],
            self.split[rows],
            self.photo[rows],
        )

    def belongs(self, split: str | None) -> np.ndarray:
        """Say of each crop whether its product belongs to the split, bool [N]; `None` is the whole table.

        A product belongs where one of its street crops does; without street crops, where one of its shop crops does.
        So a product whose street photos are spread over splits belongs to each of these.
        """
        if split is None:
            return np.ones(len(self), dtype=bool)
        members = np.zeros(self._products, dtype=bool)
        decides = (self.side == STREET) | ~self._has_street()[self.product]
        members[self.product[decides & (self.split == code(split))]] = True
        return members[self.product]

    def pool(self, split: str | None) -> np.ndarray:
        """Say of each crop whether the split's triplets may hold it at all, bool [N].

        Its product must belong, and a crop that decides belonging must have the split itself. What is left over, the
        shop crops of products with street crops, serves in every split to which the product belongs.
        """
        if split is None:
            return np.ones(len(self), dtype=bool)
        serves_all = (self.side == SHOP) & self._has_street()[self.product]
        return self.belongs(split) & (serves_all | (self.split == code(split)))

    def queries(self, split: str | None) -> np.ndarray:
        """Say of each crop whether it may be a query of the split, bool [N]: in the pool, and of that split itself."""
        if split is None:
            return np.ones(len(self), dtype=bool)
        return self.belongs(split) & (self.split == code(split))

    @property
    def _products(self) -> int:
        return int(self.product.max(initial=-1)) + 1

    def _has_street(self) -> np.ndarray:
        has = np.zeros(self._products, dtype=bool)
        has[self.product[self.side == STREET]] = True
        return has


def code(split: str) -> int:
    """Return the index of a split in `SPLITS`, `ValueError` naming those there are."""
    if split not in SPLITS:
        raise ValueError(f"no split is called {split!r}; allowed are {', '.join(SPLITS)}")
    return SPLITS.index(split)


def _codes(column: pd.Series) -> np.ndarray:
    """Number the values in order of appearance, -1 for "" and missing ones."""
    codes, values = pd.factorize(column)
    renumbered = np.arange(len(values) + 1)
    renumbered[-1] = -1
    renumbered[:-1][np.asarray(values, dtype=object) == ""] = -1
    return renumbered[codes]


def _listed(column: pd.Series, allowed: tuple[str, ...]) -> np.ndarray:
    """Number the values by their place in `allowed`, -1 for "" and missing ones."""
    codes, values = pd.factorize(column)
    for found, value in enumerate(values):
        if value not in ("", *allowed):
            row = int(np.argmax(codes == found))
            raise ValueError(f"crops: row {row}: {column.name} is {value!r}; allowed are {', '.join(allowed)}")
    places = [allowed.index(value) if value else -1 for value in values]
    return np.array([*places, -1], dtype=np.int64)[codes]
