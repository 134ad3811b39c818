"""Pictures that are drawn, what is made of them, and the same thing in another colour."""

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps
from torch import Tensor

from visnet.duplicates.views import SIDE_PX
from visnet.embedding.crop_dataset import square

SIZE = (120, 150)


def drawn(seed: int, hue: int | None = None) -> Image.Image:
    """Draw a thing with a print on a plain ground; another `hue` is the same thing in another colour."""
    rng = np.random.default_rng(seed)
    ground = int(rng.integers(215, 240))
    picture = Image.new("RGB", SIZE, (ground, ground, ground))
    draw = ImageDraw.Draw(picture)
    own = int(rng.integers(0, 256)) if hue is None else hue
    body = Image.new("HSV", (1, 1), (own, 170, 190)).convert("RGB").getpixel((0, 0))
    left, top, right, low = rng.integers([14, 14, 78, 100], [40, 44, 108, 140]).tolist()
    draw.polygon([(left, top), (right, top + 8), (right - 6, low), (left + 10, low - 5)], fill=body)
    for _ in range(14):
        x, y, size = rng.integers([left, top, 4], [right, low, 15]).tolist()
        shade = tuple(int(part * rng.uniform(0.4, 0.95)) for part in body)  # type: ignore[union-attr]
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x, y, x + size, y + size * 0.7), fill=shade)
    return picture.filter(ImageFilter.GaussianBlur(0.6))


def _saved(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=30)
    return Image.open(file).convert("RGB")


def _cut(picture: Image.Image) -> Image.Image:
    return picture.crop((12, 6, 12 + 105, 6 + 131))


def _written_over(picture: Image.Image) -> Image.Image:
    picture = picture.copy()
    draw = ImageDraw.Draw(picture)
    draw.ellipse((88, 4, 116, 32), fill="#c00")
    draw.text((92, 12), "-50%", fill="white")
    return picture


def _marked(picture: Image.Image) -> Image.Image:
    mark = Image.new("L", picture.size, 0)
    for y in range(10, 150, 50):
        ImageDraw.Draw(mark).text((6, y), "shop.example shop.example", fill=90)
    return Image.composite(Image.new("RGB", picture.size, "white"), picture, mark)


def _beside_another(picture: Image.Image) -> Image.Image:
    page = Image.new("RGB", (2 * SIZE[0], SIZE[1]), "white")
    page.paste(picture, (0, 0))
    page.paste(drawn(99), (SIZE[0], 0))
    return page


MADE: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved again": _saved,
    "smaller": lambda picture: picture.resize((66, 82)),
    "squashed": lambda picture: picture.resize((120, 120)),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.08),
    "less contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(0.75),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned": lambda picture: picture.rotate(5, Image.Resampling.BICUBIC, fillcolor=picture.getpixel((0, 0))),
    "cut": _cut,
    "written over": _written_over,
    "watermarked": _marked,
    "beside another": _beside_another,
}


def pixels(picture: Image.Image) -> Tensor:
    """Return what is compared of a picture."""
    return square(picture, SIDE_PX)


def stacked(pictures: list[Image.Image]) -> Tensor:
    """Return what is compared of pictures."""
    return torch.stack([pixels(picture) for picture in pictures])
