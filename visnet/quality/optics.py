"""Faults of the camera: too near, and out of focus."""

import numpy as np
from PIL import Image, ImageFilter

from visnet.localizing.plain_background import product_mask

PART = (0.14, 0.42)  # of a photo's sides, or of the product's where that is known, that a close-up shows
SOFT = (0.016, 0.05)  # of the longer side: the standard deviation of a blur that hides what is told apart by
STREAK = (0.06, 0.18)  # of the longer side: how far the camera moved
COARSE = (0.09, 0.26)  # of its pixels along a side are left when a photo is enlarged from a thumbnail


def close_up(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Show a small part of the product as large as the photo; where that is too coarse, it is sharpened.

    So that being coarse does not tell a close-up.
    """
    mask = product_mask(photo)
    left, top, right, bottom = (mask is not None and Image.fromarray(mask).getbbox()) or (0, 0, *photo.size)
    inside = 0.12 if (right - left, bottom - top) == photo.size else 0.0
    share = rng.uniform(*PART)
    width, height = ((right - left) * share, (bottom - top) * share)
    if rng.random() < 0.7:  # as cameras do: of the photo's own shape
        scale = share * np.sqrt((right - left) * (bottom - top) / (photo.width * photo.height))
        width, height = photo.width * max(scale, 0.1), photo.height * max(scale, 0.1)
    middle = [
        rng.uniform(low + (high - low) * (0.25 + inside), high - (high - low) * (0.25 + inside))
        for low, high in ((left, right), (top, bottom))
    ]
    width, height = max(width, 12.0), max(height, 12.0)
    x = min(max(0.0, middle[0] - width / 2), max(0.0, photo.width - width))
    y = min(max(0.0, middle[1] - height / 2), max(0.0, photo.height - height))
    turn = rng.uniform(-25, 25) if rng.random() < 0.4 else 0.0
    box = (x, y, min(x + width, photo.width), min(y + height, photo.height))
    source = photo.rotate(turn, Image.Resampling.BICUBIC, center=(x + width / 2, y + height / 2)) if turn else photo
    part = source.resize(photo.size, Image.Resampling.BICUBIC, box=box)
    enlarged = photo.width / width
    if enlarged > 1.5 and rng.random() < 0.8:
        part = part.filter(ImageFilter.UnsharpMask(enlarged * rng.uniform(0.5, 0.9), int(rng.integers(100, 260)), 1))
    return _textured(part, rng) if rng.random() < 0.7 else part


def blurred(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Put a photo out of focus, shake the camera, or enlarge a thumbnail of it."""
    side = max(photo.size)
    kind = rng.integers(3)
    if kind == 0:
        return photo.filter(ImageFilter.GaussianBlur(side * rng.uniform(*SOFT)))
    if kind == 1:
        return _shaken(photo, side * rng.uniform(*STREAK), rng.uniform(0, np.pi))
    share = rng.uniform(*COARSE)
    size = max(4, round(photo.width * share)), max(4, round(photo.height * share))
    way = Image.Resampling.BILINEAR if rng.random() < 0.5 else Image.Resampling.BICUBIC
    return photo.resize(size, Image.Resampling.BOX).resize(photo.size, way)


def _shaken(photo: Image.Image, length_px: float, angle: float) -> Image.Image:
    """Average a photo along a line; what moves in at an edge is the edge."""
    steps = max(3, min(24, round(length_px)))
    pixels = np.asarray(photo, np.float32)
    total = np.zeros_like(pixels)
    for at in np.linspace(-0.5, 0.5, steps) * length_px:
        dx, dy = round(float(np.cos(angle) * at)), round(float(np.sin(angle) * at))
        rows = np.clip(np.arange(pixels.shape[0]) + dy, 0, pixels.shape[0] - 1)
        columns = np.clip(np.arange(pixels.shape[1]) + dx, 0, pixels.shape[1] - 1)
        total += pixels[rows][:, columns]
    return Image.fromarray((total / steps).round().astype(np.uint8))


def _textured(part: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Lay a weave over a part: threads of a few pixels, as cloth has that is seen from near, or none but its grain."""
    height, width = part.height, part.width
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    thread = max(2.2, max(part.size) * rng.uniform(0.012, 0.04))
    angle = rng.uniform(0, np.pi)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    weave = np.sin(2 * np.pi * u / thread) * (
        np.sin(2 * np.pi * v / (thread * rng.uniform(0.7, 1.5))) if rng.random() < 0.6 else 1
    )
    grain = rng.standard_normal((height, width)).astype(np.float32)
    strength = rng.uniform(2, 12) * weave * (rng.random() < 0.7) + rng.uniform(1, 7) * grain
    pixels = np.asarray(part, np.float32) + strength[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).round().astype(np.uint8))
