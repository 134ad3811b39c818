"""What may answer at a moment: of the version, less what was changed since, and of the changes."""

import functools
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from visnet.serving.app.columns import ANYWHERE, ProductColumns, Where
from visnet.serving.app.filters import truth
from visnet.serving.columns.values import alike
from visnet.serving.live.merging import Among
from visnet.serving.live.products import LiveProduct, Moment

KEPT = 64  # of what was asked for last


@dataclass(frozen=True, eq=False)
class Within:
    """What may answer: for a search; as entries of the version's columns, [E] bool; and as the changed products."""

    among: Among
    entries: np.ndarray
    changed: Sequence[LiveProduct]

    @property
    def products(self) -> int:
        """How many products may answer."""
        return self.among.standing + self.among.changed


@dataclass(frozen=True, eq=False)
class Grouped:
    """Products of confirmed groups that may answer, each with the number of its group."""

    listing: Mapping[str, int]

    @property
    def surplus(self) -> int:
        """How many of them are not the only one that answers for its group."""
        return len(self.listing) - len(self._members)

    def others(self, product_id: str) -> list[str]:
        """Return the other products of a product's group that may answer, in order."""
        members = self._members.get(self.listing.get(product_id, -1), [])
        return [name for name in members if name != product_id]

    def any_of(self, listing: int) -> bool:
        """Whether a product of a group may answer."""
        return listing in self._members

    @functools.cached_property
    def _members(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for product_id, listing in sorted(self.listing.items()):
            found.setdefault(listing, []).append(product_id)
        return found


class Narrowing:
    """Says what may answer; keeps what was asked for last, as long as nothing changes."""

    def __init__(self, columns: ProductColumns) -> None:
        self._columns = columns
        self._kept: OrderedDict[tuple[int, Where], Within] = OrderedDict()
        self._lock = threading.Lock()

    def of_version(self, where: Where) -> Within:
        """Say what may answer where nothing was changed; `NotFound` for an unknown category."""
        mask = self._columns.mask(where)
        return Within(Among(where.category, mask.bits, mask.products, None, 0), mask.entries, ())

    def at(self, where: Where, moment: Moment) -> Within:
        """Say what may answer at a moment; `NotFound` for a category that nothing is in."""
        asked = moment.epoch, where
        with self._lock:
            if asked in self._kept:
                self._kept.move_to_end(asked)
                return self._kept[asked]
        found = self._found(where, moment)
        with self._lock:
            self._kept[asked] = found
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found

    def _found(self, where: Where, moment: Moment) -> Within:
        changed = [
            product
            for product in moment.products
            if not product.withdrawn and where.category in (None, product.record.category)
        ]
        entries, bits = np.zeros(len(self._columns), bool), None
        if not changed or self._columns.has_category(where.category):
            mask = self._columns.mask(where)
            gone = np.zeros(len(self._columns), bool)
            gone[self._columns.entries(np.flatnonzero(~moment.alive))] = True
            entries, bits = mask.entries & ~gone, mask.bits
        valid = moment.valid if bits is None else bits if moment.valid is None else moment.valid & bits
        changed = self._matching(where, changed)
        live = None
        if where != ANYWHERE:
            live = np.zeros(len(moment.product), bool)
            for product in changed:
                live[product.rows.start : product.rows.stop] = True
        standing = self._columns.count(np.flatnonzero(entries))
        return Within(Among(where.category, valid, standing, live, len(changed)), entries, changed)

    def _matching(self, where: Where, changed: list[LiveProduct]) -> list[LiveProduct]:
        if not where.filters or not changed:
            return changed
        held = [
            truth(part, lambda name: alike(self._columns.column(name), [one.said(name) for one in changed]))[0]
            for part in where.filters
        ]
        return [changed[at] for at in np.flatnonzero(reduce(np.logical_and, held))]
