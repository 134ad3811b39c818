"""Networks of torchvision, with an embedding for their classifier."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visnet.models.initial import check_widths, initialise
from visnet.models.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise
from visnet.models.norms import AveragePool, GeneralisedMeanPool, unit_norm
from visnet.models.transfer import take
from visnet.models.trunks import refuse_small

if TYPE_CHECKING:
    from torchvision.models import VisionTransformer


class Backbone(NamedTuple):
    """A network of torchvision: the attribute that its classifier is, and its pretrained weights, if there are any."""

    head: str
    imagenet: str | None


_PATCH_PX = 16
BACKBONES: dict[str, Backbone] = {
    "resnet18": Backbone("fc", "ResNet18_Weights.IMAGENET1K_V1"),
    "resnet50": Backbone("fc", "ResNet50_Weights.IMAGENET1K_V2"),
    "convnext_tiny": Backbone("classifier", "ConvNeXt_Tiny_Weights.IMAGENET1K_V1"),
    "efficientnet_v2_s": Backbone("classifier", "EfficientNet_V2_S_Weights.IMAGENET1K_V1"),
    "mobilenet_v3_large": Backbone("classifier", "MobileNet_V3_Large_Weights.IMAGENET1K_V2"),
    "vit_s_16": Backbone("heads", None),
    "vit_b_16": Backbone("heads", "ViT_B_16_Weights.IMAGENET1K_V1"),
}
Network = Annotated[str, BACKBONES]  # one of these


class Torchvision(nn.Module):
    """Embed photos by a network of torchvision, one linear layer and a unit norm.

    `pool` of the last map: its average or a generalised mean; of a transformer, the class token. Takes RGB floats in
    0..1, [B, 3, S, S], S >= 64; gives [B, `embedding`] float32. A transformer's positions are interpolated, and its
    photos resized to whole patches.
    """

    def __init__(
        self,
        *,
        network: Network = "resnet50",
        pool: Literal["average", "gem", "token"] = "average",
        embedding: int = 512,
    ) -> None:
        super().__init__()
        check_widths("embedding", [embedding])
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        head, self.imagenet = BACKBONES[network]
        self.network, self.dimensions = network, embedding
        self.backbone = _built(network)
        theirs = set(self.backbone.state_dict())
        self.is_transformer = network.startswith("vit")
        if (pool == "token") != self.is_transformer:
            allowed = "'token'" if self.is_transformer else "'average' or 'gem'"
            raise ValueError(f"pool of {network} must be {allowed}, is {pool!r}")
        width = _cut(self.backbone, head)
        if not self.is_transformer:
            self.backbone.avgpool = GeneralisedMeanPool() if pool == "gem" else AveragePool()
        self._kept = sorted(theirs & set(self.backbone.state_dict()))
        self.embedding = nn.Linear(width, embedding)
        initialise([self.embedding], "glorot")

    def forward(self, photos: Tensor) -> Tensor:
        """Return unit vectors, [B, D] float32."""
        refuse_small(photos)
        x = self.normalise(photos)
        seen = _class_token(cast("VisionTransformer", self.backbone), x) if self.is_transformer else self.backbone(x)
        return unit_norm(self.embedding(seen))

    def load_trunk(self, state: Mapping[str, Tensor]) -> None:
        """Take torchvision's weights but for the classifier; `ValueError` when they do not fit."""
        take(self, state, {f"backbone.{name}": name for name in self._kept}, self.network)


def _built(network: Network) -> nn.Module:
    from torchvision import models  # here, because it takes seconds to import, and only these networks need it

    if network == "vit_s_16":
        return models.VisionTransformer(224, _PATCH_PX, num_layers=12, num_heads=6, hidden_dim=384, mlp_dim=1536)
    made: nn.Module = models.get_model(network)
    return made


def _cut(backbone: nn.Module, head: str) -> int:
    """Leave of the classifier what stands before its first linear layer; returns how many numbers that one takes."""
    classifier = getattr(backbone, head)
    layers = list(classifier) if isinstance(classifier, nn.Sequential) else [classifier]
    first = next(at for at, layer in enumerate(layers) if isinstance(layer, nn.Linear))
    setattr(backbone, head, nn.Sequential(*layers[:first]))
    linear = layers[first]
    assert isinstance(linear, nn.Linear)
    return linear.in_features


def _class_token(vit: "VisionTransformer", photos: Tensor) -> Tensor:
    """Run a vision transformer at any side; torchvision's own forward knows the one it was made for."""
    sides = [round(side / _PATCH_PX) for side in photos.shape[-2:]]
    wanted = [side * _PATCH_PX for side in sides]
    if list(photos.shape[-2:]) != wanted:
        photos = F.interpolate(photos, wanted, mode="bilinear", antialias=True)
    patches = vit.conv_proj(photos).flatten(2).transpose(1, 2)
    x = torch.cat((vit.class_token.expand(len(photos), -1, -1), patches), 1)
    encoder = vit.encoder
    return encoder.ln(encoder.layers(encoder.dropout(x + positions_at(encoder.pos_embedding, sides))))[:, 0]


def positions_at(embedding: Tensor, sides: list[int]) -> Tensor:
    """Interpolate the positions of a square grid of patches to another, [1, 1 + H * W, D]; the token's stays."""
    token, grid = embedding[:, :1], embedding[:, 1:]
    side = round(grid.shape[1] ** 0.5)
    if sides == [side, side]:
        return embedding
    grid = grid.transpose(1, 2).reshape(1, -1, side, side)
    grid = F.interpolate(grid.float(), sides, mode="bicubic", antialias=True)
    return torch.cat((token, grid.flatten(2).transpose(1, 2)), 1)
