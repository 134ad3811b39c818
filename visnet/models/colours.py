"""What a photo's colours are, as numbers to learn from: beside a trunk that was taught to look past them."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visnet.models.inputs import constant
from visnet.models.norms import unit_norm

BINS = (6, 12, 12)  # of L* in 0 … 100 and of a*, b* in −64 … 64; what lies beyond falls into the outermost bin
LOWEST, HIGHEST = (0.0, -64.0, -64.0), (100.0, 64.0, 64.0)
CENTRE = 0.3  # standard deviation of the centre's weight, in half sides: backgrounds lie at the rim
SIDE_PX = 64  # that photos are shrunk to: as many pixels tell as well which colours there are
_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_WHITE = (0.95047, 1.0, 1.08883)  # D65


class Colours(nn.Module):
    """Describe photos by their colours: a histogram (see `histograms`), and a learnt linear map of it to `width`.

    Takes RGB floats in 0..1, [B, 3, S, S]; gives unit vectors, [B, width] float32. The map begins as a projection that
    keeps distances as well as one can that has seen no photo.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(BINS[0] * BINS[1] * BINS[2], width, bias=False)
        nn.init.orthogonal_(self.linear.weight)

    def forward(self, photos: Tensor) -> Tensor:
        """Return unit vectors, [B, width] float32."""
        return unit_norm(self.linear(histograms(photos)))


def histograms(photos: Tensor) -> Tensor:
    """Return the square roots of the shares of colours in RGB floats in 0..1, [B, 3, S, S]: [B, 864] float32.

    CIELAB bins, softly (a colour between the middles of two bins counts in both), the centre's pixels most. As
    `visnet.embedding.colour_histogram`, but on the photos' device and by sums whose order does not change.
    """
    kind = photos.device.type
    with nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False):  # products in full
        small = F.adaptive_avg_pool2d(photos.float(), SIDE_PX)
        lab = cielab(small).flatten(2)  # [B, 3, P]
        light, green, blue = (_shares(lab[:, at], at) for at in range(3))  # [B, P, bins]
        weight = _centre(small.shape[-1], small.device)
        planes = (green[:, :, :, None] * blue[:, :, None, :]).flatten(2)  # [B, P, 144]
        found = (light * weight[:, None]).transpose(1, 2) @ planes  # [B, 6, 144]
        return found.flatten(1).clamp_min(1e-12).sqrt()


def cielab(photos: Tensor) -> Tensor:
    """Convert sRGB floats in 0..1, [B, 3, H, W], to CIELAB under D65 (IEC 61966-2-1, CIE 15), of the same shape."""
    linear = torch.where(photos <= 0.04045, photos / 12.92, ((photos.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)
    to_xyz, white = torch.stack([constant(row, photos) for row in _TO_XYZ]), constant(_WHITE, photos)
    xyz = torch.einsum("ij,bjhw->bihw", to_xyz, linear) / white[:, None, None]
    least = 216 / 24389
    x, y, z = torch.where(xyz > least, xyz.clamp_min(least) ** (1 / 3), (24389 / 27 * xyz + 16) / 116).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def _shares(values: Tensor, at: int) -> Tensor:
    """Return the share of each value [B, P] in each bin of an axis, [B, P, bins]: of two neighbours, 1 in all."""
    bins, low, high = BINS[at], LOWEST[at], HIGHEST[at]
    place = ((values - low) / (high - low) * bins - 0.5).clamp(0.0, bins - 1.0)  # 0 is the first bin's middle
    middles = torch.arange(bins, device=values.device)
    return (1.0 - (place[..., None] - middles).abs()).clamp_min(0.0)


def _centre(side: int, device: torch.device) -> Tensor:
    """Return the weight of each pixel, [P] float32, 1 in all."""
    across = ((torch.arange(side, device=device) + 0.5) / side * 2 - 1) / CENTRE
    weight = torch.exp(-0.5 * (across[:, None] ** 2 + across**2)).flatten()
    return weight / weight.sum()
