"""The double listings of a version: which products a person has confirmed to be one."""

from collections.abc import Mapping

import numpy as np

from visnet.duplicates import files
from visnet.serving.catalog import Serving
from visnet.serving.product_rows import ProductRows


def duplicate_groups(version: Serving) -> dict[str, str]:
    """Return product_id -> its group, named by its first product, for products that were confirmed to be one listing.

    All others stand for themselves. A version of before such groups were published has none.
    """
    return files.read(version.folder)


class Listings:
    """Which photos are of one listing, by numbers: of a confirmed group, or else of a product.

    code: the listing of each photo, [G] int64 below `count`. row: of each listing a photo of it, [count] int64.
    grouped: the photos of products that are in a group, [M] int64. groups: how many groups were confirmed.
    """

    def __init__(self, products: ProductRows, groups: Mapping[str, str]) -> None:
        """Take the products of the photos; and product -> group."""
        self.count, self.groups = products.count, len({*groups.values()})
        number, self._of = np.arange(self.count), dict[str, int]()
        first: dict[str, int] = {}
        there = sorted((products.number[name], name) for name in groups if name in products)
        for at, name in there:
            number[at] = self._of[name] = first.setdefault(groups[name], at)
        self.code: np.ndarray = number[products.code]
        self.row = np.zeros(self.count, np.int64)
        self.row[self.code[::-1]] = np.arange(len(self.code))[::-1]
        self.grouped = np.flatnonzero(np.isin(products.code, [at for at, _ in there]))

    def of(self, product_id: str) -> int | None:
        """Return the number of the group that a product of the version is in, None for none."""
        return self._of.get(product_id)
