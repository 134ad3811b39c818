"""Random changes to the photos of a training batch, each drawn from one generator so that a batch can be made again."""

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from visnet.zoo import Augment


def augment(photos: Tensor, amounts: Augment, generator: torch.Generator) -> Tensor:
    """Change each of the uint8 photos [B, 3, S, S] by its own draw; the same generator state gives the same bytes."""
    # Every amount is drawn for every photo, so that turning one off does not change what the others do.
    draws = torch.rand(len(photos), 8, generator=generator, dtype=torch.float64).tolist()
    return torch.stack([_changed(photo, amounts, draw) for photo, draw in zip(photos, draws, strict=True)])


def _changed(photo: Tensor, amounts: Augment, draw: list[float]) -> Tensor:
    side_px = photo.shape[-1]
    flip, area, top, left, brightness, contrast, saturation, rotation = draw
    if amounts.rotation_deg:
        angle = (2.0 * rotation - 1.0) * amounts.rotation_deg
        mean = photo.float().mean((1, 2)).tolist()  # corners in the photo's own mean colour: black would be a signal
        photo = F.rotate(photo, angle, interpolation=InterpolationMode.BILINEAR, fill=mean)
    if amounts.crop:
        kept_px = max(1, round(side_px * (1.0 - area * amounts.crop) ** 0.5))
        free_px = side_px - kept_px
        box = [round(top * free_px), round(left * free_px), kept_px, kept_px]
        photo = F.resized_crop(photo, *box, size=[side_px, side_px], antialias=True)
    if flip < amounts.flip:
        photo = F.horizontal_flip(photo)
    if amounts.brightness:
        photo = F.adjust_brightness(photo, 1.0 + (2.0 * brightness - 1.0) * amounts.brightness)
    if amounts.contrast:
        photo = F.adjust_contrast(photo, 1.0 + (2.0 * contrast - 1.0) * amounts.contrast)
    if amounts.saturation:
        photo = F.adjust_saturation(photo, 1.0 + (2.0 * saturation - 1.0) * amounts.saturation)
    return photo
