"""Faults that are laid over a photo: marks of whose it is, and what it costs."""

import math

import numpy as np
from PIL import Image, ImageDraw

from visnet.quality import lettering
from visnet.quality.lettering import OFFERS, OWNERS, RGB

VISIBLE = 16.0  # of 255: the least mean difference of a mark from what it lies on, were that flat
BANNERS = (0.14, 0.34)  # of the height
BADGES = (0.26, 0.5)  # of the shorter side


def watermarked(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Lay a faint name or sign over a photo: once and large, or many times.

    It is laid less faintly until it stands out from what it lies on: what nobody sees is no fault.
    """
    layer = _repeated(photo.size, rng) if rng.random() < 0.5 else _single(photo.size, rng)
    alpha = rng.uniform(0.16, 0.6)
    while True:
        marked = photo.copy()
        marked.paste(layer, (0, 0), lettering.faded(layer, min(alpha, 1.0)))
        if alpha >= 0.9 or _stands_out(marked, photo, layer):
            return marked
        alpha += 0.1
        if alpha > 0.6:  # it has the colour of what it lies on
            dark = np.asarray(photo.convert("L")).mean() > 128
            layer = _inked(layer, lettering.grey(rng, 0, 90) if dark else lettering.grey(rng, 190, 256))


def _stands_out(marked: Image.Image, photo: Image.Image, layer: Image.Image) -> bool:
    """Tell whether a mark differs from what it lies on by more than that differs from pixel to pixel."""
    before, after = (np.asarray(one.convert("L"), np.float32) for one in (photo, marked))
    under = np.asarray(layer.getchannel("A")) > 100
    if not under.any():
        return True
    busy = np.abs(np.diff(before, axis=1, append=before[:, -1:]))[under].mean()
    return bool(np.abs(after - before)[under].mean() >= VISIBLE + busy)


def promotional(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Lay an offer over a photo: a banner along an edge or across, badges, or large words, one or two of these."""
    made = photo.copy()
    for _ in range(1 + (rng.random() < 0.35)):
        (_banner, _ribbon, _badge, _words)[int(rng.integers(4))](made, rng)
    return made


def _mark(rng: np.random.Generator, height_px: float, ink: RGB) -> Image.Image:
    """Draw whose the photo is: words, a web address, a sign, or a sign with a word."""
    kind = rng.random()
    if kind < 0.5:
        said = lettering.phrase(rng, OWNERS)
        said = f"© {said}" if rng.random() < 0.3 else said
    else:
        said = (
            f"{'www.' * (rng.random() < 0.4)}{lettering.word(rng).lower()}.{rng.choice(['com', 'net', 'de', 'shop'])}"
        )
    words = lettering.text(said, height_px, ink)
    if kind < 0.75:
        return words
    sign = _sign(round(height_px * rng.uniform(1.2, 2.4)), rng, ink)
    if kind > 0.9:
        return sign
    both = Image.new(
        "RGBA", (sign.width + words.width + round(height_px / 3), max(sign.height, words.height)), (*ink, 0)
    )
    lettering.put(both, sign, (sign.width / 2, both.height / 2))
    lettering.put(both, words, (both.width - words.width / 2, both.height / 2))
    return both


def _sign(side_px: int, rng: np.random.Generator, ink: RGB) -> Image.Image:
    """Draw a ring, a square, a star or a diamond, with a letter or empty."""
    side = max(8, side_px) * lettering.FINER
    layer = Image.new("RGBA", (side, side), (*ink, 0))
    pen, width = ImageDraw.Draw(layer), max(2, side // int(rng.integers(9, 18)))
    inner = (width, width, side - width, side - width)
    kind = rng.integers(3)
    if kind == 0:
        pen.ellipse(inner, outline=(*ink, 255), width=width)
    elif kind == 1:
        pen.rounded_rectangle(inner, side // 6, outline=(*ink, 255), width=width)
    else:
        pen.polygon(
            star(side / 2, side / 2, side / 2 - width, int(rng.integers(4, 8)), 0.5), outline=(*ink, 255), width=width
        )
    if rng.random() < 0.7:
        lettering.put(layer, lettering.text(lettering.word(rng)[:2].upper(), side * 0.35, ink), (side / 2, side / 2))
    return layer.resize((side_px, side_px), Image.Resampling.LANCZOS)


def _single(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    ink = _faint_ink(rng)
    mark = _mark(rng, min(size) * rng.uniform(0.12, 0.3), ink)
    scale = min(1.0, size[0] * rng.uniform(0.55, 1.0) / mark.width)
    scale = max(scale, 0.45 * size[0] / mark.width) if mark.width > 2 * mark.height else scale
    mark = mark.resize(
        (max(1, round(mark.width * scale)), max(1, round(mark.height * scale))), Image.Resampling.LANCZOS
    )
    mark = lettering.turned(mark, float(rng.choice([0.0, 30.0, 45.0, rng.uniform(-50, 50)])))
    layer = Image.new("RGBA", size, (*ink, 0))
    lettering.put(layer, mark, (size[0] * rng.uniform(0.35, 0.65), size[1] * rng.uniform(0.3, 0.75)))
    return layer


def _repeated(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    ink = _faint_ink(rng)
    mark = _mark(rng, max(9.0, min(size) * rng.uniform(0.05, 0.12)), ink)
    if mark.width > size[0] * 0.7:
        mark = mark.resize((round(size[0] * 0.7), max(1, round(mark.height * size[0] * 0.7 / mark.width))))
    apart = mark.width * rng.uniform(1.1, 1.8), mark.height * rng.uniform(1.6, 4.0)
    wide = round(math.hypot(*size) * 1.1)
    layer, row, y = Image.new("RGBA", (wide, wide), (*ink, 0)), 0, 0.0
    while y < wide:
        x = (row % 2) * apart[0] / 2 * (rng.random() < 0.8)
        while x < wide:
            layer.paste(mark, (round(x), round(y)), mark)
            x += apart[0]
        row, y = row + 1, y + apart[1]
    layer = layer.rotate(float(rng.choice([0.0, 30.0, 45.0, rng.uniform(-60, 60)])), Image.Resampling.BICUBIC)
    left, top = (wide - size[0]) // 2, (wide - size[1]) // 2
    return layer.crop((left, top, left + size[0], top + size[1]))


def _faint_ink(rng: np.random.Generator) -> RGB:
    kind = rng.random()
    if kind < 0.4:
        return lettering.grey(rng, 215, 256)
    return lettering.grey(rng, 0, 130) if kind < 0.85 else lettering.colour(rng)


def _inked(layer: Image.Image, ink: RGB) -> Image.Image:
    other = Image.new("RGBA", layer.size, (*ink, 0))
    other.putalpha(layer.getchannel("A"))
    return other


def star(x: float, y: float, radius: float, points: int, inner: float) -> list[tuple[float, float]]:
    """Return the corners of a star, whose inner ones are at a share of its radius."""
    return [
        (x + r * math.sin(math.pi * at / points), y - r * math.cos(math.pi * at / points))
        for at in range(2 * points)
        for r in [radius * (inner if at % 2 else 1.0)]
    ]


def _banner(on: Image.Image, rng: np.random.Generator) -> None:
    width, height = on.size
    ground, high = lettering.colour(rng), round(height * rng.uniform(*BANNERS))
    top = (0, height - high, int(rng.integers(0, height - high + 1)))[int(rng.integers(3))]
    layer = Image.new("RGBA", (width, high), (*ground, int(rng.integers(170, 256))))
    lines = 1 + (rng.random() < 0.3)
    for at in range(lines):
        said = lettering.text(
            lettering.phrase(rng, OFFERS), high * rng.uniform(0.45, 0.75) / lines, lettering.contrasting(ground, rng),
            width_px=width * 0.94,
        )  # fmt: skip
        lettering.put(layer, said, (width / 2, high * (at + 0.5) / lines))
    on.paste(layer, (0, top), layer)


def _ribbon(on: Image.Image, rng: np.random.Generator) -> None:
    """Lay a band across a corner, or from corner to corner."""
    side, ground = min(on.size), lettering.colour(rng)
    high, long = round(side * rng.uniform(0.13, 0.22)), round(side * 1.6)
    band = Image.new("RGBA", (long, high), (*ground, 255))
    ink = lettering.contrasting(ground, rng)
    said = lettering.text(lettering.phrase(rng, OFFERS), high * 0.62, ink, width_px=side * 0.6)
    lettering.put(band, said, (long / 2, high / 2))
    right = rng.random() < 0.5
    band = lettering.turned(band, rng.uniform(35, 50) * (-1 if right else 1))
    away = rng.uniform(0.24, 0.5)
    lettering.put(on, band, (on.width * (1 - away) if right else on.width * away, on.height * away))


def _badge(on: Image.Image, rng: np.random.Generator) -> None:
    side = round(min(on.size) * rng.uniform(*BADGES))
    fine, ground = side * lettering.FINER, lettering.colour(rng)
    layer = Image.new("RGBA", (fine, fine), (*ground, 0))
    pen = ImageDraw.Draw(layer)
    kind = rng.integers(3)
    if kind == 0:
        pen.ellipse((0, 0, fine - 1, fine - 1), fill=(*ground, 255))
    elif kind == 1:
        points = int(rng.integers(9, 22))
        pen.polygon(star(fine / 2, fine / 2, fine / 2, points, rng.uniform(0.75, 0.92)), fill=(*ground, 255))
    else:
        pen.rounded_rectangle((0, fine * 0.22, fine - 1, fine * 0.78), fine * 0.1, fill=(*ground, 255))
    said = lettering.text(
        lettering.phrase(rng, OFFERS), fine * 0.32, lettering.contrasting(ground, rng), width_px=fine * 0.76
    )
    lettering.put(layer, said, (fine / 2, fine / 2))
    layer = layer.resize((side, side), Image.Resampling.LANCZOS)
    if rng.random() < 0.4:
        layer = lettering.turned(layer, rng.uniform(-25, 25))
    near = rng.uniform(0.16, 0.3, 2) * rng.integers(1, 3, 2)
    x, y = np.where(rng.random(2) < 0.5, near, 1 - near).tolist()
    lettering.put(on, layer, (on.width * x, on.height * y))


def _words(on: Image.Image, rng: np.random.Generator) -> None:
    """Write large words over the product, outlined or on nothing."""
    lines = int(rng.integers(1, 4))
    ink = lettering.colour(rng)
    edge = lettering.contrasting(ink, rng) if rng.random() < 0.75 else None
    high = on.height * rng.uniform(0.13, 0.26) / (1 + 0.25 * (lines - 1))
    y = on.height * rng.uniform(0.18, 0.5)
    for _ in range(lines):
        said = lettering.text(
            lettering.phrase(rng, OFFERS), high, ink, edge=edge, width_px=on.width * rng.uniform(0.7, 0.96)
        )
        lettering.put(on, said, (on.width * rng.uniform(0.46, 0.54), y))
        y += high * 1.25
