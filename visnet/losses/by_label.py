"""Losses of all pairs that labels make in a batch, as pytorch-metric-learning computes them, on cosine similarities.

The library is imported when a loss is called: a machine that trains with another loss does without it.
"""

from typing import Any

import torch
from torch import Tensor

from visnet.losses.distances import full_precision
from visnet.losses.limits import within

_ANCHORS_AT_ONCE = 8  # the library compares each positive pair with each negative one: all at once is cubic in B


def multi_similarity(
    embeddings: Tensor,
    triplets: Tensor,
    labels: Tensor,
    *,
    alpha: float = 2.0,
    beta: float = 50.0,
    base: float = 0.5,
    miner_epsilon: float = 0.1,
) -> Tensor:
    """Return (1/α) log(1 + Σ_p exp(−α (s_ap − base))) + (1/β) log(1 + Σ_n exp(β (s_an − base))) per photo, [B] float32.

    s is the cosine similarity of photo a to p of its own and n of another product (Wang et al., CVPR 2019). Above 0,
    `miner_epsilon` keeps only the p with s_ap − ε below the largest s_an, and the n with s_an + ε above the smallest
    s_ap. The triplets are ignored; a batch without such pairs gives zeros.
    """
    from pytorch_metric_learning import losses, miners, reducers

    within("alpha", alpha, above=0.0)
    within("beta", beta, above=0.0)
    within("base", base, least=-1.0, below=1.0)
    within("miner_epsilon", miner_epsilon, least=0.0)
    loss = losses.MultiSimilarityLoss(alpha, beta, base, reducer=reducers.DoNothingReducer())
    with full_precision(embeddings) as photos:
        mined = miners.MultiSimilarityMiner(miner_epsilon)(photos, labels) if miner_epsilon > 0 else None
        return _values(loss(photos, labels, mined), photos)


def nt_xent(embeddings: Tensor, triplets: Tensor, labels: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Return −log(exp(s_ap/τ) / (exp(s_ap/τ) + Σ_n exp(s_an/τ))) per ordered pair (a, p) of one product, float32.

    s is the cosine similarity, n are all photos of other products in the batch: InfoNCE. τ = `temperature` must be at
    least 0.03, below which float32 has no slope for the worst pairs. The triplets are ignored; a batch without a pair
    of one product, or of one product only, gives zeros [B].
    """
    from pytorch_metric_learning import losses, reducers

    within("temperature", temperature, least=0.03)
    loss = losses.NTXentLoss(temperature, reducer=reducers.DoNothingReducer())
    with full_precision(embeddings) as photos:
        found = []
        rows = torch.arange(len(photos), device=photos.device)
        for first in range(0, len(photos), _ANCHORS_AT_ONCE):
            anchors = rows[first : first + _ANCHORS_AT_ONCE]
            same = labels[anchors, None] == labels
            paired = same & (anchors[:, None] != rows)
            pairs = (*paired.nonzero(as_tuple=True), *(~same).nonzero(as_tuple=True))
            if all(map(len, pairs)):
                found.append(_values(loss(photos[anchors], labels[anchors], pairs, photos, labels), photos))
        return torch.cat(found) if found else _zeros(photos)


def sup_con(embeddings: Tensor, triplets: Tensor, labels: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Return the mean over p of −log(exp(s_ap/τ) / Σ_x exp(s_ax/τ)) per photo a, [B] float32 (Khosla et al., 2020).

    s is the cosine similarity, p are the other photos of the product and x all other photos of the batch. The triplets
    are ignored; a photo without a p counts 0, and so does a batch of one product only.
    """
    from pytorch_metric_learning import losses, reducers

    within("temperature", temperature, above=0.0)
    loss = losses.SupConLoss(temperature, reducer=reducers.DoNothingReducer())
    with full_precision(embeddings) as photos:
        return _values(loss(photos, labels), photos)


def _values(found: dict[str, dict[str, Any]], embeddings: Tensor) -> Tensor:
    values = found["loss"]["losses"]
    return values.flatten() if isinstance(values, Tensor) else _zeros(embeddings)


def _zeros(embeddings: Tensor) -> Tensor:
    return (embeddings * 0.0).sum(1)  # with a graph, so that backward() finds its way
