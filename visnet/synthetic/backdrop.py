"""What stands behind the goods: a clean studio sweep, or a cluttered street, room, hedge or shelf."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from visnet.synthetic.palette import any_colour, shaded


def studio(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint a near-white or light grey sweep."""
    base = rng.uniform(222, 252)
    tint = rng.uniform(-3, 3, 3)
    light = (base + rng.uniform(-12, 6, (3, 3)))[:, :, None] + tint
    coarse = Image.fromarray(light.clip(0, 255).astype(np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def clutter(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Paint one of the busy places."""
    place = _PLACES[int(rng.integers(len(_PLACES)))]
    image = place(rng, width, height)
    if rng.random() < 0.6:
        image = image.filter(ImageFilter.BoxBlur(float(rng.uniform(0.4, 2.0))))
    return image


def _gradient(rng: np.random.Generator, width: int, height: int, spread: float = 40) -> Image.Image:
    colour = np.array(any_colour(rng))
    light = colour + rng.uniform(-spread, spread, (3, 3, 1)) + rng.uniform(-12, 12, (3, 3, 3))
    return Image.fromarray(light.clip(0, 255).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


def _wall(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    image = _gradient(rng, width, height)
    pen = ImageDraw.Draw(image)
    brick, joint = any_colour(rng), any_colour(rng)
    tall = int(rng.integers(7, 20))
    long = int(tall * rng.uniform(1.2, 3.5))
    floor = int(height * rng.uniform(0.6, 1.0))
    for row, y in enumerate(range(0, floor, tall)):
        for x in range(-(row % 2) * long // 2, width, long):
            pen.rectangle(
                (x, y, x + long - 1, y + tall - 1), fill=shaded(brick, float(rng.uniform(0.8, 1.15))), outline=joint
            )
    return image


def _room(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    image = _gradient(rng, width, height)
    pen = ImageDraw.Draw(image)
    floor = int(height * rng.uniform(0.55, 0.9))
    pen.rectangle((0, floor, width, height), fill=any_colour(rng))
    for _ in range(int(rng.integers(5, 14))):
        w, h = rng.uniform(0.06, 0.4) * width, rng.uniform(0.06, 0.5) * height
        x, y = rng.uniform(-0.1, 0.95) * width, rng.uniform(-0.1, 0.9) * height
        colour = any_colour(rng)
        kind = rng.random()
        if kind < 0.6:
            pen.rectangle((x, y, x + w, y + h), fill=colour, outline=shaded(colour, 0.6), width=int(rng.integers(1, 4)))
            if kind < 0.3:
                for k in range(1, 4):
                    pen.line((x, y + h * k / 4, x + w, y + h * k / 4), fill=any_colour(rng), width=2)
        elif kind < 0.8:
            pen.ellipse((x, y, x + w, y + h), fill=colour)
        else:
            pen.line((x, y, x + w, y + h), fill=colour, width=int(rng.integers(2, 8)))
    return image


def _foliage(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    image = _gradient(rng, width, height)
    pen = ImageDraw.Draw(image)
    leaf = any_colour(rng)
    xs, ys, sizes = rng.uniform(0, width, 90), rng.uniform(0, height, 90), rng.uniform(3, 14, (90, 2))
    tones = rng.uniform(0.55, 1.5, 90)
    for x, y, (w, h), tone in zip(xs, ys, sizes, tones, strict=True):
        pen.ellipse((x - w, y - h, x + w, y + h), fill=shaded(leaf, float(tone)))
    return image


def _lights(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    image = _gradient(rng, width, height, 25)
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(14, 34))):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(4, 26)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=any_colour(rng))
    return image.filter(ImageFilter.BoxBlur(float(rng.uniform(1, 4))))


def _shelves(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    image = _gradient(rng, width, height)
    pen = ImageDraw.Draw(image)
    y = 0
    while y < height:
        tall = int(rng.integers(24, 60))
        x = 0
        while x < width:
            wide = int(rng.integers(6, 30))
            head = int(rng.integers(2, tall // 2))
            pen.rectangle((x, y + head, x + wide - 2, y + tall), fill=any_colour(rng))
            x += wide
        pen.line((0, y + tall, width, y + tall), fill=(70, 54, 40), width=3)
        y += tall
    return image


_PLACES: tuple[Callable[[np.random.Generator, int, int], Image.Image], ...] = (
    _wall,
    _room,
    _foliage,
    _lights,
    _shelves,
)
