"""MILDNet's form of network: one trunk whose early and late maps meet in dense layers."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from visnet.models.deep import DeepPath, Pool, TrunkName
from visnet.models.initial import Init
from visnet.models.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise
from visnet.models.norms import NORMS, Norm


class Tapped(nn.Module):
    """Embed photos by the joined averages of a trunk's maps, dense layers and a norm; the defaults are MILDNet's own.

    `taps` are depths of the trunk, 1 the shallowest; `pool` is of its last map; its first `frozen_convs` convolutions
    do not train; `dropout` is the share dropped between the dense layers; `activation` is of the last of them. Takes
    RGB floats in 0..1, [B, 3, S, S], S >= 64; gives [B, D] float32, D the last of `dense`, or all that is joined if
    there is none.
    """

    def __init__(
        self,
        *,
        trunk: TrunkName = "vgg16",
        taps: tuple[int, ...] = (1, 2, 3, 4),
        pool: Pool = "average",
        frozen_convs: int = 0,
        dense: tuple[int, ...] = (2048, 2048),
        dropout: float = 0.6,
        activation: Literal["relu", "none"] = "relu",
        batch_norm: bool = False,
        norm: Norm = "unit",
        init: Init = "glorot",
    ) -> None:
        super().__init__()
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        self.deep = DeepPath(
            trunk=trunk,
            taps=taps,
            pool=pool,
            frozen_convs=frozen_convs,
            dense=dense,
            dropout=dropout,
            last_relu=bool(dense) and activation == "relu",
            last_dropout=False,
            init=init,
        )
        self.network, self.imagenet = trunk, self.deep.trunk.imagenet
        self.dimensions = self.deep.width
        self.batch_norm = nn.BatchNorm1d(self.dimensions) if batch_norm else None
        self.norm = norm

    def forward(self, photos: Tensor) -> Tensor:
        """Return embeddings, [B, D] float32."""
        x = self.deep(self.normalise(photos)).float()
        return NORMS[self.norm](x if self.batch_norm is None else self.batch_norm(x))

    def load_trunk(self, state: Mapping[str, Tensor]) -> None:
        """Take the trunk of a torchvision state; `ValueError` when it does not fit."""
        self.deep.load_trunk(state)
