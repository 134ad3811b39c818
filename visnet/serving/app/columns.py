"""The columns of a version's products, held as numbers: which products a filter finds, and what values they have."""

import difflib
import functools
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
import torch

from kernels.nearest import pack_bits
from visnet.errors import NotFound
from visnet.serving.app.filters import And, Equals, Filter, In, truth
from visnet.serving.app.problems import Refusal
from visnet.serving.columns.entries import Entries
from visnet.serving.columns.values import Column, TextColumn
from visnet.serving.product_rows import ProductRows

MASKS = 64  # of the filters asked for last, that are kept
NAMED = 40  # columns that a refusal lists


@dataclass(frozen=True)
class Where:
    """What may answer: one category or all, and of these what all the filters hold for."""

    category: str | None = None
    filters: tuple[Filter, ...] = ()


ANYWHERE = Where()


@dataclass(frozen=True, eq=False)
class Mask:
    """What may answer, for the scan: `bits` of `pack_bits`, None for all of the category; entries [E] bool.

    products: how many they are.
    """

    bits: torch.Tensor | None
    entries: np.ndarray
    products: int


class ProductColumns:
    """The columns of one version. What it gives may be asked for from several threads."""

    def __init__(self, entries: Entries, products: ProductRows) -> None:
        """Take the columns, and the products of the photos."""
        self._entry, self._product = entries.of_photo, entries.product
        self._products = products
        self._single = len(self._product) == products.count  # each product is one entry
        self._columns = {column.name: column for column in entries.columns}
        category = self._columns["category"]
        assert isinstance(category, TextColumn)
        self._category = category
        # Weakly: what refers to itself stays in memory until cycles are collected.
        self.mask = lru_cache(MASKS)(functools.partial(type(self)._mask, weakref.proxy(self)))

    def __iter__(self) -> Iterator[Column]:
        return iter(self._columns.values())

    def __len__(self) -> int:
        return len(self._product)

    def column(self, name: str, of: str = "filter") -> Column:
        """Return a column; 422 says which there are. of: what asks for it."""
        if name not in self._columns:
            near = difflib.get_close_matches(name[:100], self._columns, 3)
            hint = f"; near are {', '.join(near)}" if near else ""
            named = [*list(self._columns)[:NAMED], *(["…"] if len(self._columns) > NAMED else [])]
            raise Refusal(422, f"{of}: no column {name[:100]!r}{hint}; there are {', '.join(named)}")
        return self._columns[name]

    def where(self, category: str | None, asked: Filter | None) -> Where:
        """Bring together what may answer; 422 for what the columns cannot be asked.

        A filter on one category alone, or together with others, is that category: it is what a search reads.
        """
        if asked is not None:
            truth(asked, lambda name: self.column(name).take(np.arange(0)))
        parts = [] if asked is None else [*asked.parts] if isinstance(asked, And) else [asked]
        for at, part in enumerate(parts):
            value = _only(part)
            if category is None and value is not None and self._category.among([value]).any():
                category = str(value)
                del parts[at]
                break
        return Where(category, tuple(parts))

    def has_category(self, name: str | None) -> bool:
        """Whether a photo is of a category; of all of them, None."""
        return name is None or bool(self._of_category(name).any())

    def entries(self, rows: np.ndarray) -> np.ndarray:
        """Return the entries of photos, by their rows [M]: [M] int32."""
        return self._entry[rows]

    def others(self, entries: np.ndarray, product_id: str) -> np.ndarray:
        """Return those of the entries, [E] bool, that are of other products: [M] int."""
        found = np.flatnonzero(entries)
        number = self._products.number.get(product_id)
        return found if number is None else found[self._product[found] != number]

    def once(self, entries: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        """Leave out of entries [M] those whose product is there already; with values [M] int, there with the same."""
        return entries[self.firsts(entries, values)]

    def firsts(self, entries: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        """Return which of the entries [M] `once` leaves, as places in them."""
        if self._single:
            return np.arange(len(entries))
        number = self._product[entries].astype(np.int64)
        pairs = number if values is None else number * (int(values.max(initial=0)) + 1) + values
        return np.asarray(np.unique(pairs, return_index=True)[1])

    def count(self, entries: np.ndarray) -> int:
        """Count the products of entries [M]."""
        return len(self.once(entries))

    def _mask(self, where: Where) -> Mask:
        """Say what may answer; `mask` keeps what was asked for last. `NotFound` for an unknown category."""
        holds = np.ones(len(self), bool)
        if where.category is not None:
            holds = self._of_category(where.category)
            if not holds.any():
                names = ", ".join(self._category.values)
                raise NotFound(f"category {where.category!r} is not in the catalog; there are {names}")
        if not where.filters:
            return Mask(None, holds, self.count(np.flatnonzero(holds)))
        holds = reduce(np.logical_and, [truth(part, self.column)[0] for part in where.filters], holds)
        return Mask(pack_bits(torch.from_numpy(holds[self._entry])), holds, self.count(np.flatnonzero(holds)))

    def _of_category(self, name: str) -> np.ndarray:
        """Say which entries are of a category, [E] bool; of none, ""."""
        return self._category.among([name]) if name else ~self._category.known


def _only(part: Filter) -> str | float | None:
    """Return the category that a part of a filter asks for alone, None for any other part."""
    if isinstance(part, Equals) and part.column == "category":
        return part.equals
    if isinstance(part, In) and part.column == "category" and len(part.values) == 1:
        return part.values[0]
    return None
