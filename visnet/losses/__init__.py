"""Losses over the distinct photos of a batch, by the names that a zoo entry may say.

Every loss takes `embeddings` [B, D] of the distinct photos of a batch, `triplets` [T, 3] int64 (rows of `embeddings`:
query, positive, negative), `labels` [B] int64 (the product of each photo), and its own parameters by keyword; a
parameter it does not allow is a `ValueError`. It measures in float32 whatever the embeddings are, autocast or not.

Losses of triplets return [T]. Those of labels ignore the triplets and return one value per photo, pair or label,
whose mean is the loss. A class among `LOSSES` has weights of its own, for each label: it is made with `(labels,
dimensions, **parameters)`, draws them from torch's global generator, and is then called like a function.
"""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

from visnet.losses.angular import angular, n_pair_angular
from visnet.losses.by_label import multi_similarity, nt_xent, sup_con
from visnet.losses.distances import right_order, sq_distances
from visnet.losses.hinges import batch_negatives, hinge, mined_negatives, sq_hinge
from visnet.losses.of_distances import contrastive, lossless, softmax_ratio, softpn
from visnet.losses.proxies import ArcFace, ProxyAnchor, SupConProxies

__all__ = ["LOSSES", "PER_TRIPLET", "LossFunction", "batch_negatives", "mined_negatives", "right_order", "sq_distances"]


class LossFunction(Protocol):
    """What training calls: a loss whose own parameters are set."""

    def __call__(self, embeddings: Tensor, triplets: Tensor, labels: Tensor) -> Tensor:
        """Return float32 values, [T] unless the loss is one of labels."""


LOSSES: dict[str, Callable[..., Tensor] | type[nn.Module]] = {
    "sq_hinge": sq_hinge,
    "hinge": hinge,
    "contrastive": contrastive,
    "lossless": lossless,
    "softpn": softpn,
    "softmax_ratio": softmax_ratio,
    "angular": angular,
    "n_pair_angular": n_pair_angular,
    "multi_similarity": multi_similarity,
    "nt_xent": nt_xent,
    "sup_con": sup_con,
    "sup_con_proxies": SupConProxies,
    "proxy_anchor": ProxyAnchor,
    "arcface": ArcFace,
}

# A value of these depends on its own triplet alone (while `negatives` is "given"), not on who else is in the batch.
PER_TRIPLET = frozenset({"sq_hinge", "hinge", "contrastive", "lossless", "softpn", "softmax_ratio", "angular"})
