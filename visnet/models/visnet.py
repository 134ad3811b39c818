"""Flipkart's released Visnet: VGG16 through fc7, two shallow paths over the shrunken photo, one linear embedding."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visnet.models.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise

SMALLEST_SIDE_PX = 64

_VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions of each block


def saturating_norm(x: Tensor) -> Tensor:
    """Return x / sqrt(1 + ||x||²) per row, [B, D]: what the source's cross-channel norm over all channels computes."""
    return x * torch.rsqrt(1.0 + x.square().sum(1, keepdim=True))


class Visnet(nn.Module):
    """Embed photos by the released network; 187,521,024 parameters, and its exact shapes at 224 px.

    Takes RGB floats in 0..1, [B, 3, S, S], S >= 64; gives [B, 4096] with norms below 1. The deep path sees the photo as
    torchvision's VGG16 does (RGB, ImageNet mean and deviation); the shallow paths see BGR in 0..255, as released.
    At other sides than 224 px the maps before the dense layers are pooled, or repeated, to the released sizes.
    """

    imagenet = "VGG16_Weights.IMAGENET1K_V1"

    def __init__(self, *, embedding: int = 4096, dropout: float = 0.4) -> None:
        super().__init__()
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        self.features = _vgg16_features()  # the keys of torchvision's vgg16, so that its weights fit
        self.fc6 = nn.Linear(512 * 7 * 7, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, 4096)
        self.dropout = nn.Dropout(dropout)
        self.shallow_4x = _shallow(shrink=4, pool=nn.MaxPool2d(7, 4, padding=3, ceil_mode=True))
        self.shallow_8x = _shallow(shrink=8, pool=nn.MaxPool2d(3, 2, padding=1, ceil_mode=True))
        self.embedding = nn.Linear(2 * 96 * 5 * 5 + 4096, embedding)
        self._initialise()

    def forward(self, photos: Tensor) -> Tensor:
        """Return embeddings, [B, D], each of norm below 1."""
        if min(photos.shape[-2:]) < SMALLEST_SIDE_PX:
            raise ValueError(f"photos are {list(photos.shape)}; the side must be at least {SMALLEST_SIDE_PX} pixels")
        x = F.adaptive_avg_pool2d(self.features(self.normalise(photos)), 7).flatten(1)
        x = self.dropout(F.relu(self.fc6(x)))
        x = self.dropout(F.relu(self.fc7(x)))
        deep = self.fc8(x)
        raw = photos.flip(1) * 255.0
        shallow = torch.cat((self.shallow_4x(raw), self.shallow_8x(raw)), 1)
        # The norms add up squares of thousands of numbers: in half precision they would lose what they normalise.
        joined = torch.cat((saturating_norm(shallow.float()), saturating_norm(deep.float())), 1)
        return saturating_norm(self.embedding(joined).float())

    def load_trunk(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of VGG16 through fc7 from a torchvision `vgg16` state; `ValueError` when they do not fit."""
        places = {"classifier.0": "fc6", "classifier.3": "fc7"}
        wanted = {name for name in self.state_dict() if name.startswith(("features.", "fc6.", "fc7."))}
        found = {}
        for name, value in state.items():
            layer, _, kind = name.rpartition(".")
            if (ours := f"{places.get(layer, layer)}.{kind}") in wanted:
                found[ours] = value
        if missing := sorted(wanted - found.keys()):
            raise ValueError(f"no VGG16: {len(missing)} of its {len(wanted)} tensors are missing, first {missing[0]!r}")
        own = self.state_dict()
        for name, value in found.items():
            if value.shape != own[name].shape:
                raise ValueError(f"no VGG16: {name!r} is {list(value.shape)}, must be {list(own[name].shape)}")
        self.load_state_dict(found, strict=False)

    def _initialise(self) -> None:
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):  # the source has no initialiser here: it always loads VGG16
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(_bias(layer))
        for layer in (self.fc6, self.fc7, self.fc8, *self.shallow_4x, *self.shallow_8x):
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(_bias(layer))
        nn.init.normal_(self.embedding.weight, std=0.005)
        nn.init.constant_(self.embedding.bias, 0.1)


def _vgg16_features() -> nn.Sequential:
    layers: list[nn.Module] = []
    width = 3
    for channels, count in _VGG16:
        for _ in range(count):
            layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU(inplace=True)]
            width = channels
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


def _shallow(*, shrink: int, pool: nn.Module) -> nn.Sequential:
    # The last pool changes nothing at 224 px, where the map is 5 × 5 already.
    return nn.Sequential(
        nn.MaxPool2d(shrink, shrink),
        nn.Conv2d(3, 96, 8, stride=4, padding=4),
        nn.ReLU(),
        nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0),
        pool,
        nn.AdaptiveMaxPool2d(5),
        nn.Flatten(),
    )


def _bias(layer: nn.Linear | nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
