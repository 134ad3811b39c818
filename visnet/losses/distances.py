"""Euclidean distances between the photos of a triplet, in float32 whatever the network computes in."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def sq_distances(embeddings: Tensor, triplets: Tensor) -> tuple[Tensor, Tensor]:
    """Return squared Euclidean d²(q, p) and d²(q, n), each [T] float32; zero, with a zero slope, for q = p."""
    query, positive, negative = corners(embeddings, triplets)
    return sq_distance(query, positive), sq_distance(query, negative)


def right_order(embeddings: Tensor, triplets: Tensor) -> Tensor:
    """Say for each triplet whether its positive is strictly nearer to the query than its negative, [T] bool."""
    near, far = sq_distances(embeddings, triplets)
    return near < far


def widened(embeddings: Tensor) -> Tensor:
    """Return the embeddings as float32; float64 stays what it is."""
    return embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))


@contextmanager
def full_precision(embeddings: Tensor) -> Iterator[Tensor]:
    """Give the widened embeddings, with autocast off: it would multiply matrices in half precision again."""
    with torch.autocast(embeddings.device.type, enabled=False):
        yield widened(embeddings)


def corners(embeddings: Tensor, triplets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the widened embeddings of query, positive and negative, each [T, D]."""
    query, positive, negative = widened(embeddings)[triplets].unbind(1)
    return query, positive, negative


def sq_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return d²(a, b) row by row, [T]; differences first: |a|² + |b|² − 2ab would lose what tells look-alikes apart."""
    return (a - b).square().sum(1)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Return d(a, b) row by row, [T]; for a = b its slope is zero, where that of a square root would be infinite."""
    return torch.linalg.vector_norm(a - b, dim=1)
