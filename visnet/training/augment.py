"""Random changes to the photos of a training batch: one affine map and one change of colours each, on their device."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from visnet.models.inputs import constant
from visnet.zoo import Augment

DRAWS = 17  # random numbers per photo
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601
_ERASED = (0.02, 0.33)  # of the area


def draw(photos: int, generator: torch.Generator) -> Tensor:
    """Draw what `augment` needs, [B, DRAWS] float32 in 0..1, from a generator on the CPU.

    Every amount has its own columns, so that turning one off does not change what the others do.
    """
    return torch.rand(photos, DRAWS, generator=generator)


def augment(photos: Tensor, amounts: Augment, draws: Tensor) -> Tensor:
    """Change each of the photos, float32 [B, 3, S, S] in 0..1, by its own row of `draws`; equal draws, equal photos.

    Mirror, crop, zoom, rotation and shear are one affine map, sampled bilinearly once. Brightness, contrast and
    saturation are torchvision's, in that order, as one linear map of the colours that is clamped once, at its end.
    """
    draws = draws.to(photos.device)
    either = 2.0 * draws - 1.0  # in -1..1
    if any((amounts.flip, amounts.flip_vertical, amounts.crop, amounts.zoom, amounts.rotation_deg, amounts.shear_deg)):
        photos = _warped(photos, _affine(amounts, draws, either), amounts.fill)
    if any((amounts.brightness, amounts.contrast, amounts.saturation)):
        photos = _coloured(photos, amounts, either)
    if amounts.erase:
        photos = photos.masked_fill(_boxes(photos.shape[-1], amounts.erase, draws), 0.5)
    return photos


def moved_boxes(boxes: Tensor, amounts: Augment, draws: Tensor, side_px: int, kept_min: float) -> Tensor:
    """Return where boxes come to lie when `augment` changes their photos of S = `side_px` by the same draws, [B, M, 4].

    boxes: float32 left, top, right, bottom in pixels, [B, M, 4]; rows of NaN stay. A turned box is widened until it is
    upright; what leaves the photo is cut off, and a box of which less than `kept_min` of the area stays becomes NaN.
    """
    draws = draws.to(boxes.device)
    affine = _affine(amounts, draws, 2.0 * draws - 1.0)
    sides = boxes * (2.0 / side_px) - 1.0
    corners = torch.stack([sides[..., [0, 0, 2, 2]], sides[..., [1, 3, 1, 3]]], 3).flatten(1, 2)  # [B, 4 M, 2]
    moved = torch.linalg.solve(affine[:, :, :2], (corners - affine[:, None, :, 2]).transpose(1, 2)).transpose(1, 2)
    moved = ((moved + 1.0) * (side_px / 2.0)).view(len(boxes), -1, 4, 2)
    whole = torch.cat([moved.amin(2), moved.amax(2)], 2)
    inside = whole.clamp(0.0, side_px)
    kept = (inside[..., 2:] - inside[..., :2]).prod(2) / (whole[..., 2:] - whole[..., :2]).prod(2)
    return torch.where((kept >= kept_min)[..., None], inside, float("nan"))


def _affine(amounts: Augment, draws: Tensor, either: Tensor) -> Tensor:
    """Return where each pixel of a result comes from, [B, 2, 3], in coordinates of -1..1."""
    kept = (1.0 - draws[:, 2] * amounts.crop).sqrt()  # of the side
    mirror_x = torch.where(draws[:, 0] < amounts.flip, -1.0, 1.0)
    mirror_y = torch.where(draws[:, 1] < amounts.flip_vertical, -1.0, 1.0)
    x, y = (kept * mirror / (1.0 + either[:, at] * amounts.zoom) for mirror, at in ((mirror_x, 5), (mirror_y, 6)))
    angle = either[:, 7] * math.radians(amounts.rotation_deg)
    shear = (either[:, 8] * math.radians(amounts.shear_deg)).tan()
    cos, sin = angle.cos(), angle.sin()
    # rotation after shear after scale; the photo is square, so angles are true
    rows = [cos * x, (cos * shear - sin) * y, sin * x, (sin * shear + cos) * y]
    free = 1.0 - kept
    left, top = either[:, 3] * free, either[:, 4] * free
    return torch.stack([rows[0], rows[1], left, rows[2], rows[3], top], 1).view(-1, 2, 3)


def _warped(photos: Tensor, affine: Tensor, fill: str) -> Tensor:
    grid = F.affine_grid(affine, list(photos.shape), align_corners=False)
    if fill == "edge":
        return F.grid_sample(photos, grid, padding_mode="border", align_corners=False)
    mean = photos.mean((2, 3), keepdim=True)  # what lies outside is in the photo's own colour: black would be a signal
    return F.grid_sample(photos - mean, grid, padding_mode="zeros", align_corners=False) + mean


def _coloured(photos: Tensor, amounts: Augment, either: Tensor) -> Tensor:
    brightness, contrast, saturation = (
        1.0 + either[:, at] * amount
        for at, amount in ((9, amounts.brightness), (10, amounts.contrast), (11, amounts.saturation))
    )
    grey = constant(_GREY, photos)
    # saturation: s·x + (1 − s)·grey(x); contrast before it: c·x + (1 − c)·mean grey, itself times the brightness
    mix = saturation[:, None, None] * torch.eye(3, device=photos.device) + (1.0 - saturation)[:, None, None] * grey
    mix = (brightness * contrast)[:, None, None] * mix
    shift = brightness * (1.0 - contrast) * (photos.mean((2, 3)) @ grey)
    flat = photos.contiguous().flatten(2)
    return torch.baddbmm(shift[:, None, None], mix, flat).clamp_(0.0, 1.0).view(photos.shape)


def _boxes(side_px: int, chance: float, draws: Tensor) -> Tensor:
    """Mark one box per photo, or none, bool [B, 1, S, S]; its area and its aspect (1/3 to 3) are drawn."""
    least, most = _ERASED
    area = least + draws[:, 13] * (most - least)
    aspect = 3.0 ** (draws[:, 14] * 2.0 - 1.0)
    width, height = (area * aspect).sqrt().clamp_max(1.0), (area / aspect).sqrt().clamp_max(1.0)
    left, top = draws[:, 15] * (1.0 - width), draws[:, 16] * (1.0 - height)
    at = (torch.arange(side_px, device=draws.device) + 0.5) / side_px
    across = (at >= left[:, None]) & (at < (left + width)[:, None])
    down = (at >= top[:, None]) & (at < (top + height)[:, None])
    return ((draws[:, 12] < chance)[:, None, None] & down[:, :, None] & across[:, None, :])[:, None]
