"""Turn shapes into pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from visnet.synthetic.assortment import Look
from visnet.synthetic.cloth import Cloth
from visnet.synthetic.emblems import outlines
from visnet.synthetic.palette import COLOURS, shaded
from visnet.synthetic.shapes import Shape, bounds

_TWICE = 2  # drawn at this many times the size, then averaged down: smooth edges
_PALE = [COLOURS[name] for name in ("beige", "yellow", "white")]  # brass would not show on these
_GLASS = {
    "glass_clear": (214, 226, 230, 110),
    "glass_smoke": (44, 44, 50, 225),
    "glass_fade": (120, 118, 124, 150),
    "glass_amber": (176, 110, 44, 200),
}


@dataclass(frozen=True)
class Picture:
    """A drawn garment: RGBA pixels, and where they are (left, top in the garment's frame; pixels per unit)."""

    image: Image.Image
    left: float
    top: float
    unit_px: float


def paints(look: Look) -> dict[str, tuple[int, ...]]:
    """Return the colours of a look's parts by the names that shapes use; RGB or RGBA."""
    main, accent = COLOURS[look["colour"]], COLOURS[look["accent"]]
    deep = sum(main) < 200  # black and navy: what should be darker is drawn lighter, or it would not show
    return {
        "accent": accent,
        "seam": shaded(main, 1.7 if deep else 0.55),
        "dark": shaded(main, 1.4 if deep else 0.78),
        "lining": shaded(main, 0.4),
        "light": (238, 234, 226),
        "metal": (92, 94, 102) if main in _PALE else (214, 198, 150),
        "leather": (112, 74, 48),
        "sole": (196, 176, 146) if deep else (62, 52, 48),
        **_GLASS,
    }


def drawn(
    shapes: Sequence[Shape], look: Look, grain: float, *, strewn: bool, long_px: float, rng: np.random.Generator
) -> Picture:
    """Draw a garment whose longer side becomes about `long_px` pixels; `rng` lays the folds."""
    left, top, right, bottom = bounds(shapes)
    unit = _TWICE * long_px / max(right - left, bottom - top)
    pad = 2 * _TWICE
    left, top = left - pad / unit, top - pad / unit
    width = math.ceil(((right - left) * unit + pad) / _TWICE) * _TWICE
    height = math.ceil(((bottom - top) * unit + pad) / _TWICE) * _TWICE
    image = Image.new("RGBA", (width, height))
    cloth = Cloth(look, unit * grain, strewn)
    colours = paints(look)
    edge = colours["seam"]
    pen = ImageDraw.Draw(image)
    for shape in shapes:
        points = (shape.points - (left, top)) * unit
        if shape.emblem:
            if look["pattern"] == "print" and not strewn:
                _emblem(pen, points, look["emblem"], colours["accent"])
        elif shape.paint == "cloth":
            _panel(image, points, shape, cloth, unit, left * unit, top * unit)
            if not shape.stroke:
                pen.line([*points.ravel().tolist(), *points[0].tolist()], fill=edge, width=_TWICE)
        elif shape.stroke:
            pen.line(
                points.ravel().tolist(),
                fill=colours[shape.paint],
                width=max(_TWICE, round(shape.stroke * unit)),
                joint="curve",
            )
        else:
            pen.polygon(points.ravel().tolist(), fill=colours[shape.paint], outline=edge)
    return Picture(_folded(image.reduce(_TWICE), rng), left, top, unit / _TWICE)


def _panel(
    image: Image.Image, points: np.ndarray, shape: Shape, cloth: Cloth, unit: float, left: float, top: float
) -> None:
    wide = max(_TWICE, round(shape.stroke * unit))
    reach = wide // 2 + 1 if shape.stroke else 1
    x0, y0 = (int(v) for v in np.maximum(np.floor(points.min(0)) - reach, 0))
    x1, y1 = (int(v) for v in np.minimum(np.ceil(points.max(0)) + reach, image.size))
    if x1 <= x0 or y1 <= y0:
        return
    mask = Image.new("L", (x1 - x0, y1 - y0))
    local = (points - (x0, y0)).ravel().tolist()
    if shape.stroke:
        ImageDraw.Draw(mask).line(local, fill=255, width=wide, joint="curve")
    else:
        ImageDraw.Draw(mask).polygon(local, fill=255)
    if shape.turn_deg:  # cut from anywhere, but always the same: from its own first corner on
        left, top = -float(points[0, 0]), -float(points[0, 1])
    image.paste(cloth.piece(x0 + left, y0 + top, x1 - x0, y1 - y0, shape.turn_deg), (x0, y0), mask)


def _emblem(pen: ImageDraw.ImageDraw, place: np.ndarray, emblem: str, colour: tuple[int, ...]) -> None:
    middle, size = place[0], float(np.hypot(*(place[1] - place[0])))
    for points, stroke in outlines(emblem):
        flat = (points * size + middle).ravel().tolist()
        if stroke:
            pen.line(flat, fill=colour, width=max(_TWICE, round(stroke * size)), joint="curve")
        else:
            pen.polygon(flat, fill=colour)


def _folded(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    # Cloth is darker towards its edges and in long folds; a coarse map of light, enlarged, does both.
    across = 1 - 0.26 * np.abs(np.linspace(-1, 1, 9)) ** 2.2
    light = across[None, :] * (1 + rng.uniform(-0.11, 0.06, (5, 9)))
    coarse = Image.fromarray((light * 255).clip(0, 255).astype(np.uint8))
    plane = coarse.resize(image.size, Image.Resampling.BICUBIC)
    shade = ImageChops.multiply(image.convert("RGB"), Image.merge("RGB", (plane, plane, plane)))
    shade.putalpha(image.getchannel("A"))
    return shade
