"""Which photos are of which product: by numbers, so that a version of a million products opens without a loop."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from visnet.serving.pace import breathe

AT_ONCE = 8192  # names, between which other threads may go on


def numbered(names: Sequence[str] | np.ndarray) -> dict[str, int]:
    """Return name -> its number; of equal names the last has it."""
    found: dict[str, int] = {}
    for start in range(0, len(names), AT_ONCE):
        found.update(zip(names[start : start + AT_ONCE], range(start, len(names)), strict=False))
        breathe()
    return found


class ProductRows:
    """The products of photos, numbered as they come.

    code: the product of each photo, [G] int64 below `count`.
    """

    def __init__(self, code: np.ndarray, names: np.ndarray) -> None:
        """Take the number of each photo's product, [G] int, and the products, [P] object, in the order they come."""
        self.code: np.ndarray = code.astype(np.int64)
        self.names, self.count = names, len(names)
        self.number = numbered(self.names)
        self._order = np.argsort(self.code, kind="stable")
        self._start = np.searchsorted(self.code[self._order], np.arange(self.count + 1))

    @classmethod
    def of_photos(cls, product_id: np.ndarray) -> "ProductRows":
        """Number the product of each photo, [G] object."""
        code, names = pd.factorize(product_id)
        breathe()
        return cls(code, names)

    def __contains__(self, product_id: str) -> bool:
        return product_id in self.number

    def numbers(self, names: np.ndarray) -> np.ndarray:
        """Return the numbers of products by their names [N], [N] int64, -1 where there is no such product."""
        found: np.ndarray = pd.Index(self.names).get_indexer(names).astype(np.int64)
        return found

    def of(self, product_id: str) -> np.ndarray:
        """Return the photos of a product, [M] int64 in order; none where there is no such product."""
        at = self.number.get(product_id)
        return self._order[:0] if at is None else self._order[self._start[at] : self._start[at + 1]]
