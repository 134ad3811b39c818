"""Losses with trainable weights per label, as pytorch-metric-learning computes them.

The library is imported when a loss is made: a machine that trains with another loss does without it.
"""

from typing import Any

from torch import Tensor, nn

from visnet.losses.by_label import sup_con
from visnet.losses.distances import full_precision
from visnet.losses.limits import within


class ProxyAnchor(nn.Module):
    """Draw each label's proxy to its photos and away from all others (Kim et al., CVPR 2020).

    s are cosine similarities. A value is that of one label's proxy x, [labels] float32, and their mean is the loss:
    (labels / labels in the batch) log(1 + Σ exp(−α (s_xp − margin))) over the photos p of the label, plus
    log(1 + Σ exp(α (s_xn + margin))) over those of the others. The triplets are ignored. Weights: `loss.proxies`
    [labels, dimensions].
    """

    def __init__(self, labels: int, dimensions: int, *, margin: float = 0.1, alpha: float = 32.0) -> None:
        from pytorch_metric_learning import losses, reducers

        super().__init__()
        _sized(labels, dimensions)
        within("margin", margin, least=0.0, below=2.0)
        within("alpha", alpha, above=0.0)
        self.loss = losses.ProxyAnchorLoss(labels, dimensions, margin, alpha, reducer=reducers.DoNothingReducer())

    def forward(self, embeddings: Tensor, triplets: Tensor, labels: Tensor) -> Tensor:
        """Return one value per label, [labels]; `ValueError` for a label that has no proxy."""
        _known(labels, self.loss.num_classes)
        with full_precision(embeddings) as photos:
            found = self.loss(photos, labels)
        drawn, driven = found["pos_loss"], found["neg_loss"]
        return drawn["losses"] * (driven["divisor"] / drawn["divisor"]) + driven["losses"]


class ArcFace(nn.Module):
    """Classify photos by their angles θ to the weights of each label, with a margin (Deng et al., CVPR 2019).

    A value is the cross entropy of one photo, [B] float32, over `scale` cos(θ + margin) of its own label and `scale`
    cos θ of the others; where θ + margin is beyond 180°, cos θ − m sin m stands for cos(θ + m), m in radians. The
    triplets are ignored. Weights: `loss.W` [dimensions, labels].
    """

    def __init__(self, labels: int, dimensions: int, *, margin_deg: float = 28.6, scale: float = 64.0) -> None:
        from pytorch_metric_learning import reducers

        super().__init__()
        _sized(labels, dimensions)
        within("margin_deg", margin_deg, least=0.0, below=90.0)
        within("scale", scale, above=0.0)
        self.loss = _arcface_loss()(labels, dimensions, margin_deg, scale, reducer=reducers.DoNothingReducer())

    def forward(self, embeddings: Tensor, triplets: Tensor, labels: Tensor) -> Tensor:
        """Return one value per photo, [B]; `ValueError` for a label that has no weights."""
        _known(labels, self.loss.num_classes)
        with full_precision(embeddings) as photos:
            values: Tensor = self.loss(photos, labels)["loss"]["losses"]
        return values


class SupConProxies(nn.Module):
    """Add to `sup_con`, which compares photos with photos, a comparison with a learnt proxy of each product.

    A value is that of one photo, [B] float32: sup_con plus `weight` times the cross entropy of its product over the
    cosine similarities to all proxies, divided by `proxy_temperature` (Zhai and Wu, 2019). A batch shows a photo some
    products as photos; the proxies stand for all the others. The triplets are ignored. Weights: `proxies.W`
    [dimensions, labels].
    """

    def __init__(
        self,
        labels: int,
        dimensions: int,
        *,
        temperature: float = 0.1,
        proxy_temperature: float = 0.05,
        weight: float = 0.5,
    ) -> None:
        from pytorch_metric_learning import losses, reducers

        super().__init__()
        _sized(labels, dimensions)
        within("temperature", temperature, above=0.0)
        within("proxy_temperature", proxy_temperature, above=0.0)
        within("weight", weight, above=0.0)
        self.temperature, self.weight = temperature, weight
        self.labels = labels
        self.proxies = losses.NormalizedSoftmaxLoss(
            labels, dimensions, proxy_temperature, reducer=reducers.DoNothingReducer()
        )

    def forward(self, embeddings: Tensor, triplets: Tensor, labels: Tensor) -> Tensor:
        """Return one value per photo, [B]; `ValueError` for a label that has no proxy."""
        _known(labels, self.labels)
        # Once, for both: two slopes that meet in half precision would be rounded twice.
        with full_precision(embeddings) as photos:
            among_photos = sup_con(photos, triplets, labels, temperature=self.temperature)
            to_proxies: Tensor = self.proxies(nn.functional.normalize(photos, dim=1), labels)["loss"]["losses"]
        return among_photos + self.weight * to_proxies


def _arcface_loss() -> Any:
    from pytorch_metric_learning.losses import ArcFaceLoss

    class Sloped(ArcFaceLoss):
        def get_cosine(self, embeddings: Tensor) -> Tensor:
            # The slope of the arc cosine is infinite at 1, which a photo right on its weights reaches. The library's
            # clamp to 1 helps only where a clamp has no slope at its bound: in torch 2.15, not in all that we allow.
            return super().get_cosine(embeddings).clamp(-1 + 1e-6, 1 - 1e-6)

    return Sloped


def _sized(labels: int, dimensions: int) -> None:
    within("labels", labels, least=1)
    within("dimensions", dimensions, least=1)


def _known(labels: Tensor, count: int) -> None:
    if not len(labels):
        return
    first, last = int(labels.min()), int(labels.max())
    if first < 0 or last >= count:
        raise ValueError(f"labels must be from 0 to {count - 1}, are from {first} to {last}")
