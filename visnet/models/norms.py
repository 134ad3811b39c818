"""How embeddings are scaled, and how a map becomes numbers; all of it counts in float32, whatever the layers before."""

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def unit_norm(x: Tensor) -> Tensor:
    """Return x / ||x|| per row, [B, D] float32; a row of zeros stays one."""
    return F.normalize(x.float(), dim=1)


def saturating_norm(x: Tensor) -> Tensor:
    """Return x / sqrt(1 + ||x||²) per row, [B, D] float32: Caffe's cross-channel norm over all channels."""
    x = x.float()
    return x * torch.rsqrt(1.0 + x.square().sum(1, keepdim=True))


# The norms add up squares of thousands of numbers: in half precision they would lose what they normalise.
NORMS: dict[str, Callable[[Tensor], Tensor]] = {"unit": unit_norm, "saturating": saturating_norm, "none": Tensor.float}
Norm = Annotated[str, NORMS]  # one of these


class LocalNorm(nn.LocalResponseNorm):
    """Divide each channel by a power of the squares of its neighbours, in float32; shapes stay."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised map, [B, C, H, W]."""
        return super().forward(x.float())


class GeneralisedMeanPool(nn.Module):
    """Average a map's powers over space and take the root, [B, C, 1, 1] float32; the power is learned, and begins at 3.

    The power 1 is the average, a large one the maximum. Numbers below `eps` count as `eps` (arXiv 1711.02512).
    """

    def __init__(self, power: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.full((1,), power))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return the generalised mean, [B, C, 1, 1]."""
        return x.float().clamp_min(self.eps).pow(self.power).mean((2, 3), keepdim=True).pow(1.0 / self.power)
