"""MobileNet v1 with taps at several depths, as MILDNet's smallest variant uses it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visnet.models.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise

SMALLEST_SIDE_PX = 64

# One row per depthwise-separable block: channels out, stride, and whether the depthwise output is tapped.
_BLOCKS = (
    (64, 1, True),
    (128, 2, True),
    (128, 1, False),
    (256, 2, True),
    (256, 1, False),
    (512, 2, True),
    (512, 1, False),
    (512, 1, False),
    (512, 1, False),
    (512, 1, False),
    (512, 1, False),
    (1024, 2, True),
    (1024, 1, False),
)


class MildnetMobile(nn.Module):
    """Embed photos by a MobileNet v1 whose early and late maps meet in two dense layers and a unit norm.

    Five depthwise outputs (32, 64, 128, 256, 512 channels) and the last map (1024) are averaged over space and joined:
    2016 numbers with `skips`, 1024 without. Takes RGB floats in 0..1, [B, 3, S, S], S >= 64; gives [B, `embedding`].
    """

    imagenet = None  # torchvision has no MobileNet v1

    def __init__(
        self, *, skips: bool = True, hidden: int = 1024, embedding: int = 1024, dropout: float = 0.5, relu: bool = True
    ) -> None:
        super().__init__()
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        self.stem = _conv_bn(3, 32, kernel=3, stride=2)
        self.blocks = nn.ModuleList()
        width, tapped = 32, 0
        for channels, stride, tap in _BLOCKS:
            depthwise = _conv_bn(width, width, kernel=3, stride=stride, groups=width)
            pointwise = _conv_bn(width, channels, kernel=1)
            self.blocks.append(nn.ModuleDict({"depthwise": depthwise, "pointwise": pointwise}))
            tapped += width if tap else 0
            width = channels
        self.skips = skips
        self.hidden = nn.Linear(width + (tapped if skips else 0), hidden)
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Linear(hidden, embedding)
        self.relu = relu
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                # A depthwise filter reads one channel: its fan is 9, not 9 x channels.
                nn.init.kaiming_normal_(layer.weight, mode="fan_in" if layer.groups > 1 else "fan_out")
            elif isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, photos: Tensor) -> Tensor:
        """Return unit vectors, [B, D]."""
        if min(photos.shape[-2:]) < SMALLEST_SIDE_PX:
            raise ValueError(f"photos are {list(photos.shape)}; the side must be at least {SMALLEST_SIDE_PX} pixels")
        x = self.stem(self.normalise(photos))
        pooled = []
        for block, (_, _, tap) in zip(self.blocks, _BLOCKS, strict=True):
            assert isinstance(block, nn.ModuleDict)
            x = block["depthwise"](x)
            if tap and self.skips:
                pooled.append(x.mean((2, 3)))
            x = block["pointwise"](x)
        pooled.insert(0, x.mean((2, 3)))
        x = self.dropout(F.relu(self.hidden(torch.cat(pooled, 1))))
        x = self.embedding(x).float()  # a unit norm in half precision is none
        return F.normalize(F.relu(x) if self.relu else x, dim=1)


def _conv_bn(inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps=1e-3), nn.ReLU6(inplace=True))
