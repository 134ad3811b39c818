"""Compare two pictures that are laid on each other: whether their structure agrees, and whether their colours do."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from visnet.duplicates.alignment import FINE, ROUGH, UNLIKE, align, guess, thumbnails
from visnet.duplicates.views import MAPS, SIDE_PX, blurred, grey, halved, seen

BLOCK_PX = 8
TEXTURED = 4.0  # standard deviation of a block's brightness, of 255, from which on it shows something
AGREED, EXACT = 0.6, 0.9  # correlation of two blocks from which on they show much the same, or the same
HEAVIEST = 10.0  # no block counts for more than one of this deviation
GAIN, OFFSET = (0.6, 1.6), 60.0  # what is taken for another exposure
FEATURES = ("exact", "agreeing", "correlation", "covered", "textured", "colour", "colour_most", "stretch")
_RGB_TO_XYZ = torch.tensor(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = torch.tensor([0.95047, 1.0, 1.08883])


@dataclass(frozen=True)
class Compared:
    """What pairs look like, laid on each other. features: [P, F] float32, by `FEATURES`. view: [P]. turned: [P] bool.

    turned: whether the second picture is the whole, found in the first one. maps: [P, 2, 3], from points of the whole
    to points of the other, or only a guess where the two are so unlike that all features are 0.
    """

    features: Tensor
    view: Tensor
    turned: Tensor
    maps: Tensor


@torch.inference_mode()
def compare(one: Tensor, other: Tensor) -> Compared:
    """Compare pairs of pictures, uint8 [P, 3, SIDE_PX, SIDE_PX] each, by the best way to lay one on the other.

    one: or a single picture [1, …], which is compared with each of the others.
    """
    light = grey(one), grey(other)
    small = thumbnails(light[0]).expand(len(other), -1, -1), thumbnails(light[1])
    one, light = one.expand_as(other), (light[0].expand_as(light[1]), light[1])
    view, back = guess(*small)
    two = torch.stack(light, dim=1)  # [P, 2, S, S]
    every = torch.arange(len(one))
    first, maps, alike = align(
        two[every[:, None], back.long()], two[every[:, None], 1 - back.long()], MAPS[view], ROUGH
    )
    turned = back[every, first]
    measured = torch.zeros(len(one), len(FEATURES))
    if (near := torch.nonzero(alike >= UNLIKE)[:, 0]).numel():
        swap = turned[near].long()
        template, picture = two[near, swap], two[near, 1 - swap]
        maps[near] = align(template[:, None], picture[:, None], maps[near, None], FINE)[1]
        colours = torch.stack([one[near], other[near]], dim=1).float()
        own = torch.arange(len(near))
        measured[near] = features(colours[own, swap], colours[own, 1 - swap], maps[near])
    return Compared(measured, view[every, first], turned, maps)


def features(template: Tensor, picture: Tensor, maps: Tensor) -> Tensor:
    """Return [P, F] by `FEATURES`: the share of blocks that agree, and how far the colours of those are apart."""
    side_px = template.shape[-1]
    laid = seen(picture, maps, side_px)
    here = _within(maps, side_px // BLOCK_PX)
    a, b = grey(template), grey(laid)
    blocks_a, blocks_b = (_blocks(blurred(light)) for light in (a, b))
    off_a, off_b = (x - x.mean(-1, keepdim=True) for x in (blocks_a, blocks_b))
    dev_a, dev_b = (x.square().mean(-1).sqrt() for x in (off_a, off_b))
    correlation = (off_a * off_b).mean(-1) / (dev_a * dev_b).clamp_min(TEXTURED**2 / 4)
    weight = torch.maximum(dev_a, dev_b).clamp(0, HEAVIEST) * (torch.maximum(dev_a, dev_b) > TEXTURED) * here
    whole = weight.sum(-1).clamp_min(1e-6)
    agreed = correlation > AGREED
    agreeing = (weight * agreed).sum(-1) / whole
    exact = (weight * (correlation > EXACT)).sum(-1) / whole
    mean = (weight * correlation).sum(-1) / whole
    shared = agreed & (weight > 0)
    apart = _apart(template, laid, shared)
    order = torch.where(shared, apart, torch.inf).sort(-1).values
    count = shared.sum(-1)
    quantiles = [
        torch.where(
            count > 0, order.gather(1, ((count - 1).clamp_min(0) * q).long()[:, None])[:, 0], torch.tensor(50.0)
        )
        for q in (0.5, 0.85)
    ]
    stretch = torch.linalg.svdvals(maps[:, :, :2])
    return torch.stack(
        [
            exact, agreeing, mean, here.float().mean(-1), (weight > 0).float().mean(-1), *quantiles,
            (stretch[:, 0] / stretch[:, 1].clamp_min(0.05)).clamp_max(5.0),
        ],
        dim=1,
    )  # fmt: skip


def _blocks(light: Tensor) -> Tensor:
    """Cut [P, S, S] into blocks, [P, N, BLOCK_PX**2]."""
    count = light.shape[-1] // BLOCK_PX
    cut = light.view(-1, count, BLOCK_PX, count, BLOCK_PX).transpose(2, 3)
    return cut.reshape(len(light), count * count, BLOCK_PX**2)


def _within(maps: Tensor, count: int) -> Tensor:
    """Whether all corners of the blocks of a template lie on the picture, bool [P, N]."""
    edges = torch.arange(count + 1) * 2 / count - 1
    y, x = torch.meshgrid(edges, edges, indexing="ij")
    points = maps @ torch.stack([x.reshape(-1), y.reshape(-1), torch.ones((count + 1) ** 2)])
    good = (points.abs().amax(1) <= 1.0 + 1 / SIDE_PX).view(-1, count + 1, count + 1)
    return (good[:, 1:, 1:] & good[:, :-1, 1:] & good[:, 1:, :-1] & good[:, :-1, :-1]).flatten(1)


def _apart(template: Tensor, laid: Tensor, shared: Tensor) -> Tensor:
    """Return the colour difference of blocks (CIE 1976, in Lab), [P, N], after one exposure was made the other's."""
    a, b = (halved(halved(x)).clamp(0, 255) for x in (template, laid))
    count = a.shape[-1]
    at = shared.view(-1, 1, count // 2, count // 2).float()
    near = F.interpolate(at, scale_factor=2, mode="nearest")
    weight = near.expand_as(a).flatten(1)
    x, y = b.flatten(1), a.flatten(1)
    total = weight.sum(-1, keepdim=True).clamp_min(1.0)
    mx, my = (weight * x).sum(-1, keepdim=True) / total, (weight * y).sum(-1, keepdim=True) / total
    var = (weight * (x - mx).square()).sum(-1, keepdim=True) / total
    cov = (weight * (x - mx) * (y - my)).sum(-1, keepdim=True) / total
    gain = (cov / var.clamp_min(25.0)).clamp(*GAIN)
    offset = (my - gain * mx).clamp(-OFFSET, OFFSET)
    fitted = (x * gain + offset).clamp(0, 255).view_as(b)
    gap = (_lab(a) - _lab(fitted)).square().sum(1, keepdim=True).sqrt()
    return halved(gap).flatten(1)


def _lab(rgb: Tensor) -> Tensor:
    unit = rgb / 255
    linear = torch.where(unit > 0.04045, ((unit + 0.055) / 1.055) ** 2.4, unit / 12.92)
    xyz = torch.einsum("ij,bjhw->bihw", _RGB_TO_XYZ, linear) / _WHITE[:, None, None]
    f = torch.where(xyz > 216 / 24389, xyz.clamp_min(1e-6) ** (1 / 3), (24389 / 27 * xyz + 16) / 116)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)
