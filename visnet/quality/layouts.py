"""Faults of what is in one picture: several photos, or several products."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from visnet.localizing.plain_background import cutout
from visnet.quality import lettering

SEVERAL = (3, 8)  # products
GRIDS = ((1, 2), (2, 1), (1, 3), (3, 1), (2, 2), (2, 3), (3, 2), (3, 3))  # columns, rows


def collage(photos: Sequence[Image.Image], rng: np.random.Generator) -> Image.Image:
    """Lay 2 to 9 photos, or parts of them, side by side in a grid, or one large and small ones beside it.

    photos: the first gives the size; the others are of any product, and one may stand there twice.
    """
    size, ground = photos[0].size, lettering.colour(rng) if rng.random() < 0.4 else (255, 255, 255)
    page = Image.new("RGB", size, ground)
    gap = round(max(size) * rng.uniform(0.005, 0.03)) if rng.random() < 0.65 else 0
    tiles = _beside(size, rng) if rng.random() < 0.35 else _grid(size, rng)
    for at, (left, top, right, bottom) in enumerate(tiles):
        inner = (left + gap, top + gap, right - gap, bottom - gap)
        wide, high = max(4, inner[2] - inner[0]), max(4, inner[3] - inner[1])
        source = photos[at] if at < len(photos) and rng.random() < 0.85 else photos[int(rng.integers(len(photos)))]
        page.paste(_tile(source, (wide, high), rng), inner[:2])
    if gap and rng.random() < 0.3:
        pen = ImageDraw.Draw(page)
        for left, top, right, bottom in tiles:
            pen.rectangle(
                (left + gap, top + gap, right - gap, bottom - gap), outline=lettering.contrasting(ground, rng)
            )
    return page


def several(photos: Sequence[Image.Image], rng: np.random.Generator) -> Image.Image | None:
    """Scatter several products on the background of the first photo; None where fewer than three can be cut out."""
    wanted = int(rng.integers(SEVERAL[0], SEVERAL[1] + 1))
    pieces = [piece for photo in photos[:wanted] if (piece := cutout(photo)) is not None]
    if len(pieces) < SEVERAL[0]:
        return None
    pieces = [pieces[at % len(pieces)] for at in range(wanted)]
    page = _background(photos[0], rng)
    columns = int(np.ceil(np.sqrt(wanted)))
    rows = -(-wanted // columns)
    if rng.random() < 0.5:
        columns, rows = rows, columns
    cells = rng.permutation(columns * rows)[:wanted]
    for piece, cell in zip(pieces, cells.tolist(), strict=True):
        wide, high = page.width / columns, page.height / rows
        scale = min(wide / piece.width, high / piece.height) * rng.uniform(0.75, 1.15)
        piece = piece.resize(
            (max(2, round(piece.width * scale)), max(2, round(piece.height * scale))), Image.Resampling.LANCZOS
        )
        if rng.random() < 0.5:
            piece = lettering.turned(piece, rng.uniform(-35, 35))
        x, y = cell % columns + 0.5 + rng.uniform(-0.15, 0.15), cell // columns + 0.5 + rng.uniform(-0.15, 0.15)
        lettering.put(page, piece, (x * wide, y * high))
    return page


def _grid(size: tuple[int, int], rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    columns, rows = GRIDS[int(rng.integers(len(GRIDS)))]
    x, y = (
        np.linspace(0, side, count + 1).round().astype(int).tolist()
        for side, count in zip(size, (columns, rows), strict=True)
    )
    return [(x[i], y[j], x[i + 1], y[j + 1]) for j in range(rows) for i in range(columns)]


def _beside(size: tuple[int, int], rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Return one large tile, and two to four small ones at one side of it."""
    count, share = int(rng.integers(2, 5)), rng.uniform(0.6, 0.78)
    flipped = rng.random() < 0.5  # the small ones below, else at the right
    long, across = (size[1], size[0]) if flipped else size
    edge = round(long * share)
    y = np.linspace(0, across, count + 1).round().astype(int).tolist()
    tiles = [(0, 0, edge, across), *((edge, y[at], long, y[at + 1]) for at in range(count))]
    return [(top, left, bottom, right) if flipped else (left, top, right, bottom) for left, top, right, bottom in tiles]


def _tile(photo: Image.Image, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """Fill a tile with a photo or a part of it, mirrored or not."""
    if rng.random() < 0.4:
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    share = rng.uniform(0.35, 0.8) if rng.random() < 0.3 else 1.0
    scale = min(photo.width / size[0], photo.height / size[1]) * share
    wide, high = min(size[0] * scale, photo.width), min(size[1] * scale, photo.height)
    left, top = (photo.width - wide) * rng.uniform(0.3, 0.7), (photo.height - high) * rng.uniform(0.3, 0.7)
    return photo.resize(size, Image.Resampling.LANCZOS, box=(left, top, left + wide, top + high))


def _background(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return an empty page: of the colour of a photo's border, or a white or grey one."""
    pixels = np.asarray(photo)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(border, axis=0).astype(int).tolist()
    ground = (red, green, blue) if rng.random() < 0.75 else lettering.grey(rng, 200, 256)
    return Image.new("RGB", photo.size, ground)
