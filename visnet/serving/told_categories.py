"""The categories that a version has of products whose records say none, as their photos tell them."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from visnet.storage.table import Table


class ToldCategory(NamedTuple):
    """A path, as deep as the photos are sure; the probability of its last level, in 0..1; the taxonomy's version."""

    path: str
    probability: float
    taxonomy: str


NONE_TOLD: Mapping[str, ToldCategory] = MappingProxyType({})


def told_categories(table: Path | None) -> Mapping[str, ToldCategory]:
    """Return product -> what its photos tell, as the stage category_paths left it; none where there is no table."""
    if table is None:
        return NONE_TOLD
    read = Table(table).read(["product_id", *ToldCategory._fields])
    columns = [read[name].to_pylist() for name in read.column_names]
    return {product_id: ToldCategory(*told) for product_id, *told in zip(*columns, strict=True)}


def filled(
    category: np.ndarray, product_id: np.ndarray, told: Mapping[str, ToldCategory]
) -> tuple[np.ndarray, dict[str, ToldCategory]]:
    """Give products without a category the told one; return the categories [G], and what was used, by product.

    category, product_id: of photos, [G] object. A record's own category is never another.
    """
    if not told:
        return category, {}
    lacking = np.flatnonzero([not isinstance(value, str) or not value for value in category])
    used = {name: told[name] for name in dict.fromkeys(product_id[lacking].tolist()) if name in told}
    found = category.copy()
    for at in lacking.tolist():
        if (own := used.get(product_id[at])) is not None:
            found[at] = own.path
    return found, used
