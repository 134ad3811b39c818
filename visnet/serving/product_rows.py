"""Which photos are of which product: by numbers, so that a version of a million products opens without a loop."""

import numpy as np
import pandas as pd


class ProductRows:
    """The products of photos, numbered as they come.

    code: the product of each photo, [G] int64 below `count`.
    """

    def __init__(self, product_id: np.ndarray) -> None:
        """Take the product of each photo, [G] object."""
        code, self.names = pd.factorize(product_id)
        self.code: np.ndarray = code.astype(np.int64)
        self.count = len(self.names)
        self.number: dict[str, int] = dict(zip(self.names, range(self.count), strict=True))
        self._order = np.argsort(self.code, kind="stable")
        self._start = np.searchsorted(self.code[self._order], np.arange(self.count + 1))

    def __contains__(self, product_id: str) -> bool:
        return product_id in self.number

    def of(self, product_id: str) -> np.ndarray:
        """Return the photos of a product, [M] int64 in order; none where there is no such product."""
        at = self.number.get(product_id)
        return self._order[:0] if at is None else self._order[self._start[at] : self._start[at + 1]]
