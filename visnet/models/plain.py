"""A small plain network with MILDNet's taps: what a CPU can train from nothing in minutes."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visnet.models.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise

SMALLEST_SIDE_PX = 64


class MildnetPlain(nn.Module):
    """Embed photos by a few strided 3x3 convolutions whose every map is averaged over space and joined.

    Each block halves the side: convolution of stride 2, batch norm, ReLU. The last map is also maximised over space, so
    that a small detail is not averaged away. One linear layer and a unit norm follow. Takes RGB floats in 0..1,
    [B, 3, S, S], S >= 64; gives [B, `embedding`].
    """

    imagenet = None  # no such network was trained on it

    def __init__(self, *, widths: tuple[int, ...] = (24, 48, 96, 128, 192), embedding: int = 128) -> None:
        super().__init__()
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        blocks = []
        for before, after in zip([3, *widths[:-1]], widths, strict=True):
            conv = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
            blocks.append(nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True)))
        self.blocks = nn.ModuleList(blocks)
        self.embedding = nn.Linear(sum(widths) + widths[-1], embedding)

    def forward(self, photos: Tensor) -> Tensor:
        """Return unit vectors, [B, D]."""
        if min(photos.shape[-2:]) < SMALLEST_SIDE_PX:
            raise ValueError(f"photos are {list(photos.shape)}; the side must be at least {SMALLEST_SIDE_PX} pixels")
        x = self.normalise(photos)
        pooled = []
        for block in self.blocks:
            x = block(x)
            pooled.append(x.mean((2, 3)))
        pooled.append(x.amax((2, 3)))
        return F.normalize(self.embedding(torch.cat(pooled, 1)).float(), dim=1)
