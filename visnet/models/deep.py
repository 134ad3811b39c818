"""The deep path: a trunk, its taps and last map pooled and joined, dense layers."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visnet.models.initial import Init, check_widths, initialise
from visnet.models.norms import GeneralisedMeanPool
from visnet.models.transfer import take
from visnet.models.trunks import TRUNKS, refuse_small

TrunkName = Annotated[str, TRUNKS]  # one of these
Pool = Literal["average", "average_max", "gem", "grid"]

_CLASSIFIER = ("classifier.0", "classifier.3")  # torchvision's names of VGG's first two dense layers, 4096 wide


class DeepPath(nn.Module):
    """Join the averages at `taps` and the pooled last map, and send them through dense layers; gives [B, `width`].

    `pool` of the last map: its average; its average and its maximum; a generalised mean; or all of it, brought to the
    source's grid. ReLU and dropout follow every dense layer, the last if `last_relu` and `last_dropout`. Takes
    normalised photos [B, 3, S, S], S >= 64. `ValueError` for taps, frozen convolutions or widths that cannot be.
    """

    def __init__(
        self,
        *,
        trunk: TrunkName,
        taps: Sequence[int],
        pool: Pool,
        frozen_convs: int,
        dense: Sequence[int],
        dropout: float,
        last_relu: bool,
        last_dropout: bool,
        init: Init,
    ) -> None:
        super().__init__()
        self.network = trunk
        self.trunk = TRUNKS[trunk]()
        known = range(1, len(self.trunk.taps) + 1)
        if sorted(set(taps) & set(known)) != list(taps):
            raise ValueError(f"taps must rise and be among {list(known)}, the depths of {trunk}, are {list(taps)}")
        check_widths("a dense layer's width", dense)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, is {dropout:g}")
        self.taps, self.pool = tuple(taps), pool
        self.gem = GeneralisedMeanPool() if pool == "gem" else None
        numbers = {"average_max": 2, "grid": self.trunk.grid**2}.get(pool, 1) * self.trunk.width
        widths = [numbers + sum(self.trunk.taps[depth - 1][1] for depth in taps), *dense]
        self.dense = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.width = widths[-1]
        self.dropout = nn.Dropout(dropout)
        self.last_relu, self.last_dropout = last_relu, last_dropout
        initialise(self.dense, init)
        self.trunk.freeze(frozen_convs)

    def forward(self, photos: Tensor) -> Tensor:
        """Return [B, `width`]."""
        refuse_small(photos)
        averages, last = self.trunk(photos, self.taps)
        x = torch.cat((*averages, *self._pooled(last)), 1)
        for number, layer in enumerate(self.dense, 1):
            x = layer(x)
            if number < len(self.dense) or self.last_relu:
                x = F.relu(x)
            if number < len(self.dense) or self.last_dropout:
                x = self.dropout(x)
        return x

    def load_trunk(self, state: Mapping[str, Tensor]) -> None:
        """Take torchvision's VGG, through fc7 where the dense layers are its own; `ValueError` if it does not fit."""
        if self.trunk.imagenet is None:
            raise ValueError(f"torchvision has no {self.network}; a file must hold all tensors of the model")
        places = {f"trunk.{name}": name for name in self.trunk.state_dict()}
        for number, theirs in enumerate(_CLASSIFIER):
            # A dense layer is VGG's own if all before it are, down to the grid.
            if self.pool == "grid" and not self.taps and [*self._widths()][: number + 1] == [4096] * (number + 1):
                places |= {f"dense.{number}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}
        take(self, state, places, self.network.upper())

    def _pooled(self, last: Tensor) -> list[Tensor]:
        if self.pool == "grid":
            return [F.adaptive_avg_pool2d(last, self.trunk.grid).flatten(1)]
        if self.gem is not None:
            return [self.gem(last).flatten(1)]
        return [last.mean((2, 3)), last.amax((2, 3))] if self.pool == "average_max" else [last.mean((2, 3))]

    def _widths(self) -> list[int]:
        return [layer.out_features for layer in self.dense if isinstance(layer, nn.Linear)]
