"""Triplet losses over the distinct photos of a batch; each returns one value per triplet.

Every loss takes `embeddings` [B, D] of the distinct photos of a batch, `triplets` [T, 3] int64 (rows of `embeddings`:
query, positive, negative), `labels` [B] int64 (the product of each photo), and its own parameters by keyword.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor

Negatives = Literal["given", "batch"]


class Loss(Protocol):
    """What training calls: a loss whose own parameters are set."""

    def __call__(self, embeddings: Tensor, triplets: Tensor, labels: Tensor) -> Tensor:
        """Return one float32 value per triplet, [T]."""


def sq_hinge(
    embeddings: Tensor, triplets: Tensor, labels: Tensor, *, margin: float = 0.2, negatives: Negatives = "given"
) -> Tensor:
    """Return max(0, d²(q, p) − d²(q, n) + margin) per triplet, [T] float32, on squared Euclidean distances.

    `negatives="given"` takes each triplet's own n; `"batch"` takes every photo of another product in the batch instead,
    and a triplet's value is the mean over those that are still inside the margin.
    """
    return _hinge(embeddings, triplets, labels, margin, negatives, sq=True)


def hinge(
    embeddings: Tensor, triplets: Tensor, labels: Tensor, *, margin: float = 1.0, negatives: Negatives = "given"
) -> Tensor:
    """Return max(0, d(q, p) − d(q, n) + margin) per triplet, [T] float32, on plain Euclidean distances."""
    return _hinge(embeddings, triplets, labels, margin, negatives, sq=False)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "sq_hinge": sq_hinge,
    "hinge": hinge,
}


def sq_distances(embeddings: Tensor, triplets: Tensor) -> tuple[Tensor, Tensor]:
    """Return squared Euclidean d²(q, p) and d²(q, n), each [T] float32; zero, with a zero slope, for q = p."""
    query, positive, negative = (embeddings.float()[triplets[:, side]] for side in range(3))
    return (query - positive).square().sum(1), (query - negative).square().sum(1)


def right_order(embeddings: Tensor, triplets: Tensor) -> Tensor:
    """Say for each triplet whether its positive is strictly nearer to the query than its negative, [T] bool."""
    near, far = sq_distances(embeddings, triplets)
    return near < far


def batch_negatives(
    embeddings: Tensor, labels: Tensor, pairs: Tensor, *, margin: float = 0.2, sq: bool = True
) -> Tensor:
    """Return the hinge of each pair (q, p) against every photo of another product, averaged where it is above zero.

    `embeddings` [B, D], `labels` [B] int64, `pairs` [P, 2] int64 rows; gives [P] float32, zero for a pair that no photo
    of another product comes near. The mean is over the active photos only: many easy ones must not drown the rest.
    """
    embeddings = embeddings.float()
    query, positive = embeddings[pairs[:, 0]], embeddings[pairs[:, 1]]
    near = (query - positive).square().sum(1)
    # Differences first: |a|² + |b|² − 2ab would lose what tells look-alikes apart.
    far = torch.cdist(query, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    if sq:
        far = far.square()
    else:
        near = _root(near)
    other = labels[pairs[:, 0], None] != labels
    inside = (near[:, None] - far + margin).clamp_min(0.0) * other
    return inside.sum(1) / (inside > 0).sum(1).clamp_min(1)


def _hinge(
    embeddings: Tensor, triplets: Tensor, labels: Tensor, margin: float, negatives: Negatives, *, sq: bool
) -> Tensor:
    if negatives == "batch":
        return batch_negatives(embeddings, labels, triplets[:, :2], margin=margin, sq=sq)
    near, far = sq_distances(embeddings, triplets)
    if not sq:
        near, far = _root(near), _root(far)
    return (near - far + margin).clamp_min(0.0)


def _root(sq_distance: Tensor) -> Tensor:
    # The slope of a square root is infinite at zero; below the clamp it is zero, so two equal photos give no NaN.
    return sq_distance.clamp_min(1e-12).sqrt()
