"""Groups of products that are one listing: the connected components of pairs."""

from collections.abc import Iterable, Mapping

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def grouped(edges: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return product -> its group, for products that a chain of pairs joins; a group is named by its first product."""
    pairs = sorted({(a, b) for a, b in edges if a != b})
    products = sorted({product for pair in pairs for product in pair})
    if not products:
        return {}
    number = {product: at for at, product in enumerate(products)}
    ends = np.array([[number[a], number[b]] for a, b in pairs]).T
    _, label = connected_components(
        coo_array((np.ones(len(pairs)), (ends[0], ends[1])), (len(products),) * 2), directed=False
    )
    first: dict[int, str] = {}
    for product, of in zip(products, label.tolist(), strict=True):
        first.setdefault(of, product)
    return {product: first[of] for product, of in zip(products, label.tolist(), strict=True)}


def members(groups: Mapping[str, str]) -> dict[str, list[str]]:
    """Return group -> its products, both in order."""
    found: dict[str, list[str]] = {}
    for product, group in sorted(groups.items(), key=lambda item: (item[1], item[0])):
        found.setdefault(group, []).append(product)
    return found
