"""The angular loss (Wang et al., ICCV 2017) of a triplet, and the one of a pair among a batch with its N-pair part."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from visnet.losses.distances import corners, full_precision, sq_distance
from visnet.losses.limits import within


def angular(embeddings: Tensor, triplets: Tensor, labels: Tensor, *, alpha_deg: float = 45.0) -> Tensor:
    """Return max(0, d²(q, p) − 4 tan²α d²(n, c)) per triplet, [T] float32, where c = (q + p) / 2.

    It asks that the angle at n with tangent d(q, p) / 2 d(n, c) be at most `alpha_deg`, above 0 and below 90. At 45°, n
    costs something only within the circle around c through q and p; unit vectors drawn at random are at 30°.
    """
    query, positive, negative = corners(embeddings, triplets)
    centre = (query + positive) / 2
    return (sq_distance(query, positive) - 4 * _sq_tan(alpha_deg) * sq_distance(negative, centre)).clamp_min(0.0)


def n_pair_angular(
    embeddings: Tensor, triplets: Tensor, labels: Tensor, *, alpha_deg: float = 45.0, n_pair_weight: float = 2.0
) -> Tensor:
    """Return log(1 + Σ exp f) + w log(1 + Σ exp(q·n − q·p)) per triplet's (q, p), [T] float32; w = `n_pair_weight`.

    f = 4 tan²α (q + p)·n − 2 (1 + tan²α) q·p, and both sums are over the photos n of other products in the batch; the
    triplet's own n has no part. Meant for unit vectors. The paper weighs the angular part instead; MILDNet, this one.
    """
    within("n_pair_weight", n_pair_weight, least=0.0)
    sq_tan = _sq_tan(alpha_deg)
    with full_precision(embeddings) as photos:
        query, positive, _ = corners(photos, triplets)
        near = (query * positive).sum(1, keepdim=True)
        from_query, from_positive = query @ photos.T, positive @ photos.T
        other = labels[triplets[:, 0], None] != labels
        over_angle = 4 * sq_tan * (from_query + from_positive) - 2 * (1 + sq_tan) * near
        return _log_1_sum_exp(over_angle, other) + n_pair_weight * _log_1_sum_exp(from_query - near, other)


def _sq_tan(alpha_deg: float) -> float:
    within("alpha_deg", alpha_deg, above=0.0, below=90.0)
    return math.tan(math.radians(alpha_deg)) ** 2


def _log_1_sum_exp(exponents: Tensor, counted: Tensor) -> Tensor:
    # The 1 is a column of exponent 0, which also keeps a row without any counted photo finite.
    return functional.pad(exponents.masked_fill(~counted, -torch.inf), (1, 0)).logsumexp(1)
