"""Drawn products on a plain ground, and a noisy photo without one."""

import numpy as np
from PIL import Image, ImageDraw

SIDE_PX = 160


def product(seed: int, size: tuple[int, int] = (SIDE_PX, SIDE_PX)) -> Image.Image:
    """Draw a striped thing in the middle of a light ground."""
    rng = np.random.default_rng(seed)
    page = Image.new("RGB", size, tuple(int(level) for level in rng.integers(225, 256, 3)))
    pen = ImageDraw.Draw(page)
    left, top = size[0] * rng.uniform(0.2, 0.3), size[1] * rng.uniform(0.15, 0.25)
    right, bottom = size[0] - left, size[1] - top
    one, other = (tuple(int(level) for level in rng.integers(0, 170, 3)) for _ in range(2))
    pen.rounded_rectangle((left, top, right, bottom), 12, fill=one)
    step = int(rng.integers(9, 20))
    for at in range(round(top) + step, round(bottom) - 4, step):
        pen.line((left, at, right, at), fill=other, width=int(rng.integers(2, 5)))
    return page


def noise(seed: int = 0) -> Image.Image:
    """Draw a photo whose background is not plain."""
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    return Image.fromarray(pixels).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
