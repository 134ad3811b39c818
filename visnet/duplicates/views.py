"""The ways in which a copy may show a picture, each as a map of coordinates; pictures and perceptual hashes of them."""

import functools
import math
from collections.abc import Sequence

import numpy as np
import scipy.fft
import torch
from torch import Tensor
from torch.nn import functional as F

SIDE_PX = 64  # of the squares that are hashed, aligned and compared
HASHED_PX, KEPT = 32, 8  # a hash is of the 8 x 8 lowest frequencies of 32 x 32 pixels
BITS = KEPT * KEPT
AT_ONCE = 256
FLAT = 4.0  # standard deviation of brightness, of 255, below which a view shows nothing
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


def _part(width: float, height: float, x: float, y: float) -> list[float]:
    return [width, 0.0, x, 0.0, height, y]


def _turned(degrees: float) -> list[float]:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [c, -s, 0.0, s, c, 0.0]


# A view maps a point of the copy, -1..1 each way from left to right and from top to bottom, to one of the picture.
VIEWS: dict[str, list[float]] = {
    "same": _part(1, 1, 0, 0),
    "mirrored": _part(-1, 1, 0, 0),
    "upside down": _part(1, -1, 0, 0),
    "turned left": _turned(-25),
    "turned right": _turned(25),
    "centre": _part(0.75, 0.75, 0, 0),
    **{
        f"{name} part": _part(0.75, 0.75, 0.25 * x, 0.25 * y)
        for name, x, y in (
            ("upper left", -1, -1),
            ("upper right", 1, -1),
            ("lower left", -1, 1),
            ("lower right", 1, 1),
        )
    },
    **{
        f"{name} half": _part(w, h, x, y)
        for name, w, h, x, y in (
            ("left", 0.5, 1, -0.5, 0),
            ("right", 0.5, 1, 0.5, 0),
            ("upper", 1, 0.5, 0, -0.5),
            ("lower", 1, 0.5, 0, 0.5),
        )
    },
    **{
        f"{name} quarter": _part(0.5, 0.5, x, y)
        for name, x, y in (
            ("upper left", -0.5, -0.5),
            ("upper right", 0.5, -0.5),
            ("lower left", -0.5, 0.5),
            ("lower right", 0.5, 0.5),
            ("middle", 0, 0),
        )
    },
}
MAPS = torch.tensor(list(VIEWS.values())).view(-1, 2, 3)
_DCT = torch.from_numpy(scipy.fft.dct(np.eye(HASHED_PX), axis=0, norm="ortho")[:KEPT].astype(np.float32))


def grey(pictures: Tensor) -> Tensor:
    """Return how bright pictures are: uint8 or float [B, 3, S, S] to float32 [B, S, S]."""
    return (pictures.float() * torch.tensor(GREY)[:, None, None]).sum(1)


def seen(pictures: Tensor, maps: Tensor, side_px: int) -> Tensor:
    """Sample pictures [B, C, S, S] by a map each [B, 2, 3]: [B, C, side_px, side_px]; beyond the edge it repeats."""
    return sampled(pictures, F.affine_grid(maps, [len(pictures), 1, side_px, side_px], align_corners=False))


def sampled(pictures: Tensor, points: Tensor) -> Tensor:
    """Sample pictures [B, C, S, S] at points [B, T, T, 2] in -1..1: [B, C, T, T]; beyond the edge they repeat."""
    return F.grid_sample(pictures, points, mode="bilinear", padding_mode="border", align_corners=False)


def halved(light: Tensor) -> Tensor:
    """Return pictures of half the side, [..., S, S] to [..., S/2, S/2]: means of four pixels."""
    return (light[..., ::2, ::2] + light[..., 1::2, ::2] + light[..., ::2, 1::2] + light[..., 1::2, 1::2]) / 4


def blurred(light: Tensor) -> Tensor:
    """Return pictures [..., S, S] of which each pixel is the mean of nine; beyond the edge it repeats."""
    wide = torch.cat([light[..., :1], light, light[..., -1:]], dim=-1)
    wide = wide[..., :-2] + wide[..., 1:-1] + wide[..., 2:]
    high = torch.cat([wide[..., :1, :], wide, wide[..., -1:, :]], dim=-2)
    return (high[..., :-2, :] + high[..., 1:-1, :] + high[..., 2:, :]) / 9


def views(light: Tensor, side_px: int) -> Tensor:
    """Return all views of pictures, float32 [B, S, S] to [B, V, side_px, side_px]."""
    made, sizes = [], [light[:, None]]
    while sizes[-1].shape[-1] > side_px:
        sizes.append(halved(sizes[-1]))
    for stretch, points in _grids(side_px):
        step = stretch * light.shape[-1] / side_px
        fitting = sizes[max(0, min(len(sizes) - 1, round(math.log2(step))))]
        made.append(sampled(fitting, points.expand(len(light), -1, -1, -1)))
    return torch.cat(made, dim=1)


@functools.cache
def _grids(side_px: int) -> list[tuple[float, Tensor]]:
    """Return how far each view reaches along the longer of its axes, of 1, and its points, [1, S, S, 2]."""
    shape = [1, 1, side_px, side_px]
    return [
        (max(one[0, :2].norm().item(), one[1, :2].norm().item()), F.affine_grid(one[None], shape, align_corners=False))
        for one in MAPS
    ]


def hashes(pictures: Tensor) -> np.ndarray:
    """Hash all views of pictures, uint8 [B, 3, SIDE_PX, SIDE_PX] to uint64 [B, V].

    A bit is set where a coefficient of the cosine transform is above the median of those kept (pHash, Zauner 2010), so
    that half of them are; a view on which nothing is to be seen has none.
    """
    found = []
    for some in torch.split(pictures, AT_ONCE):
        seen_ = views(grey(some), HASHED_PX)
        low = (_DCT @ seen_ @ _DCT.T).flatten(2)
        low[..., 0] = 0.0  # how bright it is as a whole says nothing
        bits = low > low.median(dim=-1, keepdim=True).values
        bits &= seen_.flatten(2).std(dim=-1, keepdim=True) > FLAT
        found.append(np.packbits(bits.numpy(), axis=-1).view(np.uint64)[..., 0])
    return np.concatenate(found) if found else np.empty((0, len(VIEWS)), np.uint64)


def names(numbers: Sequence[int]) -> list[str]:
    """Return what views are called."""
    every = list(VIEWS)
    return [every[number] for number in numbers]
