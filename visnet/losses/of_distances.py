"""Losses of a triplet's distances alone, other than the hinge: contrastive, lossless, SoftPN and softmax ratio."""

import torch
from torch import Tensor

from visnet.losses.distances import corners, distance, sq_distance, sq_distances
from visnet.losses.limits import within


def contrastive(embeddings: Tensor, triplets: Tensor, labels: Tensor, *, margin: float = 1.0) -> Tensor:
    """Return ½ [d²(q, p) + max(0, margin − d(q, n))²] per triplet, [T] float32 (Hadsell et al.)."""
    within("margin", margin, above=0.0)
    query, positive, negative = corners(embeddings, triplets)
    apart = (margin - distance(query, negative)).clamp_min(0.0)
    return (sq_distance(query, positive) + apart.square()) / 2


def lossless(
    embeddings: Tensor, triplets: Tensor, labels: Tensor, *, sq_limit: float = 4.0, eps: float = 1e-8
) -> Tensor:
    """Return −log(1 − d²(q, p)/N + eps) − log(1 − (N − d²(q, n))/N + eps) per triplet, [T] float32 (Arsenault).

    N = `sq_limit` is the largest squared distance there can be, 4 for unit vectors; distances beyond it count as N, and
    have no slope. The loss goes on pulling where a hinge has stopped; `eps` bounds it.
    """
    within("sq_limit", sq_limit, above=0.0)
    within("eps", eps, above=0.0, below=1.0)
    near, far = (sq.clamp(0.0, sq_limit) / sq_limit for sq in sq_distances(embeddings, triplets))
    # 1 − (N − d²)/N is d²/N: said so, a small d² is not rounded away beside the 1.
    return -torch.log(1 - near + eps) - torch.log(far + eps)


def softpn(embeddings: Tensor, triplets: Tensor, labels: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Return sigmoid((d(q, p) − min(d(q, n), d(p, n))) / temperature)² per triplet, [T] float32 (PN-Net).

    This is the squared error of a softmax over the two distances, as in PN-Net's code; the paper's is twice as much. On
    unit vectors, distances are at most 2: a temperature below 1 lets the loss come near to 0 and 1.
    """
    within("temperature", temperature, above=0.0)
    query, positive, negative = corners(embeddings, triplets)
    far = torch.minimum(distance(query, negative), distance(positive, negative))
    return torch.sigmoid((distance(query, positive) - far) / temperature).square()


def softmax_ratio(embeddings: Tensor, triplets: Tensor, labels: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Return sigmoid((d(q, p) − d(q, n)) / temperature)² per triplet, [T] float32 (Hoffer and Ailon's)."""
    within("temperature", temperature, above=0.0)
    query, positive, negative = corners(embeddings, triplets)
    return torch.sigmoid((distance(query, positive) - distance(query, negative)) / temperature).square()
