"""Lay one picture on another: from a rough guess to an affine map, by Gauss-Newton steps on robust differences."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from visnet.duplicates.views import blurred, halved, sampled, views

GUESS_PX = 16
GUESSES = 5  # that are followed
# Side in pixels, steps at it, how many guesses stay, and the power by which the weight of large differences falls.
ROUGH = ((16, 8, 2, 0.5), (32, 6, 1, 1.0))
FINE = ((64, 4, 1, 2.0),)
UNLIKE = 0.45  # what is less alike than this after `ROUGH` is not looked at any closer
CUT = 0.5  # a difference beyond this, in standard deviations of the picture, is an overlay's and hardly pulls
DAMPING = 1e-3
BLOCK_PX = 4
FAINT, STRONG = 0.05, 0.3  # deviation of a block, of the picture's: below it is noise, and beyond it counts no more
STRETCHED = 0.8  # how far a map may depart from where a round began


def thumbnails(light: Tensor) -> Tensor:
    """Return the views of pictures as unit vectors, float32 [B, S, S] to [B, V, GUESS_PX**2]."""
    small = views(light, GUESS_PX).flatten(2)
    return F.normalize(small - small.mean(-1, keepdim=True), dim=-1)


def guess(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Guess how each pair of pictures lies on each other: views and which picture is the whole, each [P, GUESSES].

    one, other: thumbnails of all views, [P, V, T]. Returns the numbers of views, int64, and whether the second picture
    is the whole that is looked for in the first one, bool. The first guess is that nothing was moved.
    """
    alike = torch.cat([(b @ a[:, 0, :, None])[..., 0] for a, b in ((one, other), (other, one))], dim=1)
    alike[:, 0] = torch.inf
    best = alike.topk(GUESSES, dim=1).indices
    count = one.shape[1]
    return best % count, best >= count


def align(
    template: Tensor, picture: Tensor, maps: Tensor, rounds: Sequence[tuple[int, int, int, float]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Find each template in its picture, starting from a few guesses of which the best go on.

    template, picture: float32 [P, M, SIDE_PX, SIDE_PX], of each guess. maps: [P, M, 2, 3], the guesses, from points of
    the template to points of the picture. rounds: some of `ROUGH` and `FINE`. Returns which guess was the best, [P],
    its map, [P, 2, 3], and how alike the two are by it, [P] (forward additive Lucas-Kanade, Baker and Matthews 2004,
    with weights from pseudo-Huber's to Geman and McClure's).
    """
    every = torch.arange(len(maps))[:, None]
    left = torch.arange(maps.shape[1]).expand(len(maps), -1)
    alike = torch.zeros(left.shape)
    for side_px, steps, stay, power in rounds:
        rows, some = every.expand(-1, left.shape[1]).reshape(-1), left.reshape(-1)
        wanted, there = (_shrunk(light[rows, some], side_px) for light in (template, picture))
        slope, start = _slopes(there), maps.reshape(-1, 2, 3)
        found = start
        for _ in range(steps):
            found = found + _step(wanted, slope, found, power)
        lost = ~torch.isfinite(found).all(-1).all(-1) | ((found - start).abs().amax((-1, -2)) > STRETCHED)
        found = torch.where(lost[:, None, None], start, found)
        now, before = (_alike(wanted, there, one) for one in (found, start))
        found = torch.where((before > now)[:, None, None], start, found)
        alike, best = torch.maximum(now, before).view(left.shape).topk(min(stay, left.shape[1]), dim=1)
        maps = found.view(*left.shape, 2, 3)[every, best]
        left = left.gather(1, best)
    return left[:, 0], maps[:, 0], alike[:, 0]


def _shrunk(light: Tensor, side_px: int) -> Tensor:
    """Return pictures of another size, slightly blurred, of mean 0 and deviation 1: [P, 1, side_px, side_px]."""
    while light.shape[-1] > side_px:
        light = halved(light)
    small = blurred(light)[:, None]
    middle = small.mean((-1, -2), keepdim=True)
    return (small - middle) / (small - middle).square().mean((-1, -2), keepdim=True).sqrt().clamp_min(4.0)


def _slopes(light: Tensor) -> Tensor:
    """Return how pictures change per unit of -1..1 along x and y, with the picture itself: [P, 3, S, S]."""
    side_px = light.shape[-1]
    padded = F.pad(light, (1, 1, 1, 1), mode="replicate")
    x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) * (side_px / 4)
    y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) * (side_px / 4)
    return torch.cat([light, x, y], dim=1)


def _step(wanted: Tensor, slope: Tensor, maps: Tensor, power: float) -> Tensor:
    basis = _points(wanted.shape[-1])
    points = maps @ basis
    found = _laid(slope, points).flatten(2)
    light, target = found[:, 0], wanted.flatten(1)
    inside = (points.abs().amax(1) <= 1.0).float()
    mean_, deviation = _moments(light, inside)
    goal, spread = _moments(target, inside)
    gain = (spread / deviation.clamp_min(1e-2)).clamp(0.5, 2.0)
    off = (light - mean_) * gain - (target - goal)
    weight = inside / (1 + (off / CUT).square()).pow(power)
    sides = ((found[:, 1:] * gain[:, None])[:, :, None] * basis).flatten(1, 2)  # by the map's numbers, [P, 6, S * S]
    left = (sides * weight[:, None]) @ sides.transpose(1, 2)
    right = sides @ (weight * off)[..., None]
    diagonal = left.diagonal(dim1=1, dim2=2)
    diagonal += DAMPING * diagonal.mean(-1, keepdim=True) + 1e-6
    return -torch.linalg.solve(left, right)[..., 0].view(-1, 2, 3).clamp(-0.25, 0.25)


def _alike(wanted: Tensor, there: Tensor, maps: Tensor) -> Tensor:
    """Return how alike the structure of small blocks is that lie on each other, [P]; on nothing they are unlike.

    An overlay costs only the blocks that it covers, whatever its contrast.
    """
    side_px = wanted.shape[-1]
    points = maps @ _points(side_px)
    laid = _laid(there, points)
    inside = _blocks((points.abs().amax(1) <= 1.0).float().view(-1, side_px, side_px)).mean(-1)
    off, goal = (blocks - blocks.mean(-1, keepdim=True) for blocks in (_blocks(laid[:, 0]), _blocks(wanted[:, 0])))
    a, b = (one.square().mean(-1).sqrt() for one in (off, goal))
    correlation = (off * goal).mean(-1) / (a * b).clamp_min(FAINT**2)
    weight = torch.maximum(a, b).clamp_max(STRONG)
    return (weight * correlation.clamp_min(0).square() * inside).sum(-1) / weight.sum(-1).clamp_min(1e-3)


def _blocks(light: Tensor) -> Tensor:
    """Cut [P, S, S] into blocks, [P, N, BLOCK_PX**2]."""
    count = light.shape[-1] // BLOCK_PX
    return light.view(-1, count, BLOCK_PX, count, BLOCK_PX).transpose(2, 3).reshape(-1, count * count, BLOCK_PX**2)


def _laid(pictures: Tensor, points: Tensor) -> Tensor:
    """Sample square pictures [P, C, S, S] at as many points [P, 2, S * S]; beyond the edge they repeat."""
    side_px = pictures.shape[-1]
    return sampled(pictures, points.transpose(1, 2).reshape(-1, side_px, side_px, 2))


@functools.cache
def _points(side_px: int) -> Tensor:
    """Return the centres of a picture's pixels, in -1..1, as x, y and 1: [3, S * S]."""
    at = (torch.arange(side_px) * 2 + 1) / side_px - 1
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x.reshape(-1), y.reshape(-1), torch.ones(side_px**2)])


def _moments(light: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    whole = weight.sum(-1, keepdim=True).clamp_min(1.0)
    middle = (light * weight).sum(-1, keepdim=True) / whole
    return middle, (((light - middle).square() * weight).sum(-1, keepdim=True) / whole).sqrt()
