"""Our side: a Gallery and what it cost, the search that is timed, and the stream of single queries."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kernels.nearest import Gallery, Neighbors, nearest
from kernels.nearest.bench.arrivals import Batcher, Served, poisson
from kernels.nearest.bench.measure import wall_s
from kernels.nearest.bench.work import Work


@dataclass(frozen=True, eq=False)
class Built:
    """A Gallery, the time it took, the bytes of its copy, and the type it is scanned in."""

    gallery: Gallery
    build_s: float
    copy_bytes: int
    scan: str


def build(vectors: Tensor, work: Work) -> Built:
    """Build the Gallery of a work."""
    made: list[Gallery] = []
    device = vectors.device.type
    build_s = wall_s(lambda: made.append(Gallery(vectors, metric=work.metric, compute=work.compute)), device)
    return Built(made[0], build_s, made[0].nbytes, made[0].scan.split()[0])


def searcher(work: Work, made: Built, queries: Tensor) -> Callable[[], Neighbors]:
    """Return the call that is timed: with the Gallery, or with the plain tensor where the work is one-shot."""
    if work.one_shot:
        vectors = made.gallery.vectors
        return lambda: nearest(queries, vectors, work.k, metric=work.metric, compute=work.compute)
    return lambda: nearest(queries, made.gallery, work.k)


def serve(work: Work, made: Built, queries: Tensor, per_s: int, seconds: float) -> Served:
    """Answer single queries that come from the host, and go back to it, at a mean rate for some seconds."""
    rng = np.random.default_rng(0)
    arrival_s = poisson(per_s, max(int(per_s * seconds), 1), rng)
    pool = queries.cpu()[torch.from_numpy(rng.integers(work.q, size=len(arrival_s)))]

    def search(asked: slice) -> object:
        return nearest(pool[asked].to(queries.device), made.gallery, work.k).row.cpu()

    size = 1
    while size <= work.q:  # each size of batch may need a warm-up of its own
        search(slice(0, size))
        size *= 2
    return Batcher(search, work.q).serve(arrival_s)
