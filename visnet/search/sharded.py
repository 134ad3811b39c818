"""The nearest products of a gallery that lies in one process or, in shards, in several."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.nearest import Gallery, Neighbors, nearest
from visnet.engines import Engine, cluster
from visnet.engines.shards import ShardedGallery, Shards
from visnet.pipeline.log import Log
from visnet.search.products import NearestProducts, filters_of, nearest_products

Searched = Gallery | ShardedGallery


def nearest_rows(queries: Tensor, gallery: Searched, k: int, **filters: Any) -> Neighbors:
    """Find the k nearest rows as `kernels.nearest.nearest` does, wherever the gallery lies."""
    if isinstance(gallery, ShardedGallery):
        return gallery.nearest(queries, k, **filters)
    return nearest(queries, gallery, k, **filters)


def products_of(
    queries: Tensor,
    gallery: Searched,
    product: np.ndarray,
    k: int,
    exclude: np.ndarray | None = None,
    within: tuple[int, int] | None = None,
    valid: Tensor | None = None,
) -> NearestProducts:
    """Find the k products whose nearest photo is nearest, as `nearest_products` does, wherever the gallery lies."""
    if not isinstance(gallery, ShardedGallery):
        return nearest_products(queries, gallery, product, k, exclude, within, valid)
    filters = filters_of(queries, product, exclude, within)
    return NearestProducts.of(gallery.nearest(queries, k, valid=valid, **filters), k)


@contextlib.contextmanager
def galleries(engine: Engine, log: Log) -> Iterator[Callable[[Tensor], Searched]]:
    """Give what makes a gallery of vectors [G, D]: here, or in as many shards as a Ray cluster has room for.

    Of the galleries in shards, the one that was searched last is ready. `ValueError` as `cluster.connected` raises it.
    """
    if engine == "local":
        yield Gallery
        return
    threads = torch.get_num_threads()
    with cluster.connected(log) as nodes:
        shards = Shards(nodes.gpus or nodes.fit(threads), threads=threads, gpus=min(1, nodes.gpus))
        try:
            yield shards.gallery
        finally:
            shards.close()
