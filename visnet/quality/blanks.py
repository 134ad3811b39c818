"""Faults of a picture that shows no product: words alone, and what stands in the place of a photo."""

import numpy as np
from PIL import Image, ImageDraw

from visnet.localizing.plain_background import cutout
from visnet.quality import lettering
from visnet.quality.lettering import ABSENT, NOTES, OFFERS, RGB


def text_only(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Make a page of words of a photo's size: a few large lines, many small ones, or a table, on a plain ground."""
    ground = lettering.colour(rng) if rng.random() < 0.45 else lettering.grey(rng, 205, 256)
    page = _ground(photo.size, ground, rng)
    ink = (
        lettering.contrasting(ground, rng)
        if rng.random() < 0.6
        else ((0, 0, 0) if lettering.brightness(ground) > 128 else (255,) * 3)
    )
    kind = rng.random()
    if kind < 0.25:
        _table(page, ink, rng)
    else:
        _lines(page, ink, int(rng.integers(2, 5)) if kind < 0.6 else int(rng.integers(5, 12)), rng)
    if rng.random() < 0.25:
        edge = max(1, round(min(page.size) * rng.uniform(0.01, 0.03)))
        ImageDraw.Draw(page).rectangle((edge, edge, page.width - edge, page.height - edge), outline=ink, width=edge)
    return page


def placeholder(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Make what stands in the place of a photo: a plate with a sign or a word, a colour, a gradient or a silhouette."""
    ground = lettering.grey(rng, 165, 256) if rng.random() < 0.7 else lettering.colour(rng)
    kind = rng.random()
    if kind < 0.12:
        return _ground(photo.size, ground, rng, plain=True)
    if kind < 0.24:
        return _gradient(
            photo.size, ground, lettering.colour(rng) if rng.random() < 0.5 else lettering.grey(rng, 60, 256), rng
        )
    page = _ground(photo.size, ground, rng)
    shade = 1 if lettering.brightness(ground) < 128 else -1
    level = int(np.clip(lettering.brightness(ground) + shade * rng.uniform(25, 150), 0, 255))
    ink: RGB = (level, level, level) if rng.random() < 0.8 else lettering.contrasting(ground, rng)
    side = min(page.size) * rng.uniform(0.25, 0.6)
    x, y = page.width / 2, page.height * rng.uniform(0.38, 0.52)
    piece = cutout(photo) if kind > 0.88 else None
    if piece is not None:
        flat = Image.new("RGBA", piece.size, (*ink, 0))
        flat.putalpha(piece.getchannel("A"))
        scale = side * 1.4 / max(piece.size)
        flat = flat.resize(
            (max(2, round(piece.width * scale)), max(2, round(piece.height * scale))), Image.Resampling.LANCZOS
        )
        lettering.put(page, flat, (x, y))
    elif kind > 0.36:
        lettering.put(page, icon(round(side), ink, rng), (x, y))
    if kind <= 0.36 or rng.random() < 0.5:
        said = lettering.text(
            lettering.phrase(rng, ABSENT), page.height * rng.uniform(0.05, 0.14), ink, width_px=page.width * 0.88
        )
        lettering.put(
            page, said, (page.width / 2, page.height / 2 if kind <= 0.36 else min(page.height * 0.93, y + side * 0.75))
        )
    return page


def icon(side_px: int, ink: RGB, rng: np.random.Generator) -> Image.Image:
    """Draw a sign that stands for a photo, RGBA: landscape, camera, hanger, head, cross or a mark."""
    side = max(12, side_px) * lettering.FINER
    layer = Image.new("RGBA", (side, side), (*ink, 0))
    pen, width, full = ImageDraw.Draw(layer), max(2, side // int(rng.integers(11, 24))), (*ink, 255)
    kind = int(rng.integers(6))
    if kind == 0:
        pen.rounded_rectangle((width, side * 0.15, side - width, side * 0.85), side // 16, outline=full, width=width)
        pen.ellipse((side * 0.2, side * 0.26, side * 0.36, side * 0.42), fill=full)
        pen.polygon([(side * 0.1, side * 0.78), (side * 0.4, side * 0.42), (side * 0.6, side * 0.66),
                     (side * 0.72, side * 0.52), (side * 0.9, side * 0.78)], fill=full)  # fmt: skip
    elif kind == 1:
        pen.rounded_rectangle((0, side * 0.28, side - 1, side * 0.86), side // 12, fill=full)
        pen.rectangle((side * 0.33, side * 0.17, side * 0.67, side * 0.32), fill=full)
        pen.ellipse(
            (side * 0.32, side * 0.38, side * 0.68, side * 0.74), fill=(*ink, 0), outline=(*ink, 90), width=width
        )
    elif kind == 2:
        pen.arc((side * 0.4, side * 0.12, side * 0.6, side * 0.32), 150, 90, fill=full, width=width)
        arms = [(0.5, 0.32), (0.5, 0.42), (0.05, 0.75), (0.95, 0.75), (0.5, 0.42)]
        pen.line([(side * x, side * y) for x, y in arms], fill=full, width=width, joint="curve")
    elif kind == 3:
        pen.ellipse((side * 0.3, side * 0.08, side * 0.7, side * 0.48), fill=full)
        pen.pieslice((side * 0.1, side * 0.54, side * 0.9, side * 1.5), 180, 360, fill=full)
    elif kind == 4:
        pen.rectangle((width, width, side - width, side - width), outline=full, width=width)
        pen.line((width, width, side - width, side - width), fill=full, width=width)
        pen.line((width, side - width, side - width, width), fill=full, width=width)
    else:
        lettering.put(layer, lettering.text(str(rng.choice(["?", "!", "Ø"])), side * 0.85, ink), (side / 2, side / 2))
    return layer.resize((side_px, side_px), Image.Resampling.LANCZOS)


def _ground(size: tuple[int, int], ground: RGB, rng: np.random.Generator, *, plain: bool = False) -> Image.Image:
    """Return a page of one colour, or one that hardly changes, with the grain of a scan or none."""
    page = Image.new("RGB", size, ground)
    if not plain and rng.random() < 0.2:
        lighter = tuple(int(np.clip(level + rng.integers(-30, 31), 0, 255)) for level in ground)
        page = _gradient(size, ground, (lighter[0], lighter[1], lighter[2]), rng)
    if rng.random() < 0.25:
        grain = rng.normal(0.0, rng.uniform(0.5, 4.0), (size[1], size[0], 1))
        page = Image.fromarray(np.clip(np.asarray(page) + grain, 0, 255).astype(np.uint8))
    return page


def _gradient(size: tuple[int, int], one: RGB, other: RGB, rng: np.random.Generator) -> Image.Image:
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    if rng.random() < 0.3:
        at = np.hypot(x / size[0] - 0.5, y / size[1] - 0.5) / 0.71
    else:
        angle = rng.uniform(0, 2 * np.pi)
        at = np.cos(angle) * x / size[0] + np.sin(angle) * y / size[1]
        at = (at - at.min()) / max(float(np.ptp(at)), 1e-9)
    pixels = (1 - at[..., None]) * np.array(one) + at[..., None] * np.array(other)
    return Image.fromarray(pixels.round().astype(np.uint8))


def _lines(page: Image.Image, ink: RGB, count: int, rng: np.random.Generator) -> None:
    left, high = rng.random() < 0.4, page.height * 0.86 / count
    y = page.height * 0.07 + high / 2
    for _ in range(count):
        said = lettering.phrase(rng, NOTES if rng.random() < 0.7 else OFFERS)
        if count > 4 and rng.random() < 0.5:
            said = f"{said} {lettering.phrase(rng, NOTES)}"
        words = lettering.text(said, high * rng.uniform(0.4, 0.8), ink, width_px=page.width * rng.uniform(0.6, 0.94))
        x = page.width * 0.04 + words.width / 2 if left else page.width / 2
        lettering.put(page, words, (x, y))
        y += high


def _table(page: Image.Image, ink: RGB, rng: np.random.Generator) -> None:
    columns, rows = int(rng.integers(3, 7)), int(rng.integers(4, 9))
    pen, left, top = ImageDraw.Draw(page), page.width * 0.04, page.height * rng.uniform(0.05, 0.25)
    wide, high = (page.width - 2 * left) / columns, (page.height * 0.95 - top) / rows
    if top > page.height * 0.12:
        title = lettering.text(lettering.phrase(rng, NOTES), top * 0.5, ink, width_px=page.width * 0.9)
        lettering.put(page, title, (page.width / 2, top / 2))
    for at in range(rows + 1):
        pen.line((left, top + at * high, page.width - left, top + at * high), fill=ink)
    for at in range(columns + 1 if rng.random() < 0.7 else 0):
        pen.line((left + at * wide, top, left + at * wide, top + rows * high), fill=ink)
    for row in range(rows):
        for column in range(columns):
            said = lettering.word(rng)[:4].upper() if not row or not column else str(int(rng.integers(1, 160)))
            cell = lettering.text(said, high * 0.5, ink, width_px=wide * 0.8)
            lettering.put(page, cell, (left + (column + 0.5) * wide, top + (row + 0.5) * high))
