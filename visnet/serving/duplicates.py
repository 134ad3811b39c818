"""The double listings of a version: which products a person has confirmed to be one."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from visnet.duplicates import files
from visnet.serving.catalog import Serving


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

    def __init__(self, product_id: np.ndarray, groups: Mapping[str, str]) -> None:
        """Take the product of each photo, [G] object; and product -> group."""
        product, names = pd.factorize(product_id)
        self.count, self.groups = len(names), len({*groups.values()})
        number, self._of = np.arange(self.count), dict[str, int]()
        first: dict[str, int] = {}
        for at, name in enumerate(names):
            if name in groups:
                number[at] = self._of[name] = first.setdefault(groups[name], at)
        self.code: np.ndarray = number[product]
        self.row = np.zeros(self.count, np.int64)
        self.row[self.code[::-1]] = np.arange(len(product))[::-1]
        self.grouped = np.flatnonzero(np.isin(product_id, list(self._of)))

    def of(self, product_id: str) -> int | None:
        """Return the number of the group that a product of the version is in, None for none."""
        return self._of.get(product_id)
