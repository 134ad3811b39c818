"""What a garment is made of: plain, striped, checked, dotted, flowered, or strewn with a motif."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from visnet.synthetic.emblems import EMBLEMS, outlines
from visnet.synthetic.palette import COLOURS, shaded

# What can differ within a pattern. Neighbouring sizes are a factor of about 1.7 apart: a person can tell them, a colour
# histogram cannot.
DETAILS: dict[str, dict[str, tuple[str, ...]]] = {
    "plain": {},
    "stripes": {"stripe": ("hairline", "narrow", "medium", "wide"), "run": ("across", "along", "diagonal")},
    "checks": {"check": ("gingham", "windowpane", "tartan"), "check_size": ("small", "medium", "large")},
    "dots": {"dot": ("pin", "small", "medium", "large"), "spread": ("dense", "loose")},
    "florals": {"bloom": ("small", "medium", "large"), "petals": ("3", "5", "8")},
    "print": {"emblem": EMBLEMS},
}
_STRIPE = {"hairline": 0.026, "narrow": 0.046, "medium": 0.08, "wide": 0.14}
_RUN_DEG = {"across": 90.0, "along": 0.0, "diagonal": 45.0}
_CHECK = {"small": 0.035, "medium": 0.065, "large": 0.12}
_DOT = {"pin": 0.0075, "small": 0.013, "medium": 0.023, "large": 0.04}
_BLOOM = {"small": 0.026, "medium": 0.046, "large": 0.08}

Field = NDArray[np.float32]


def _stripes(look: Mapping[str, str], x: Field, y: Field) -> Field:
    turn = math.radians(_RUN_DEG[look["run"]])
    phase = (x * np.float32(math.cos(turn)) + y * np.float32(math.sin(turn))) / np.float32(_STRIPE[look["stripe"]])
    return np.asarray(phase - np.floor(phase) < 0.5, dtype=np.float32)


_NONE, _HALF, _FULL = np.float32(0), np.float32(0.5), np.float32(1)
_CHECKED: dict[str, Callable[[Field], Field]] = {
    "gingham": lambda t: np.where(t < 0.5, _HALF, _NONE),
    "windowpane": lambda t: np.where(t < 0.14, _FULL, _NONE),
    "tartan": lambda t: np.where((t < 0.36) | ((t > 0.62) & (t < 0.74)), _HALF, _NONE),
}


def _checks(look: Mapping[str, str], x: Field, y: Field) -> Field:
    size = np.float32(_CHECK[look["check_size"]])
    u, v = x / size, y / size
    u, v = u - np.floor(u), v - np.floor(v)
    across, along = (_CHECKED[look["check"]](t) for t in (u, v))
    return np.asarray(np.minimum(across + along, 1), dtype=np.float32)


def _cells(x: Field, y: Field, pitch: float) -> tuple[Field, Field, Field]:
    # Distances to the nearest knot of a brick lattice, and the knot's row: flowers of odd rows are turned.
    row = np.floor(y / np.float32(pitch))
    v = y - (row + np.float32(0.5)) * np.float32(pitch)
    u = x / np.float32(pitch) + np.float32(0.5) * (row % 2)
    return (u - np.floor(u) - np.float32(0.5)) * np.float32(pitch), v, row


def _dots(look: Mapping[str, str], x: Field, y: Field) -> Field:
    radius = _DOT[look["dot"]]
    u, v, _ = _cells(x, y, radius * (3.0 if look["spread"] == "dense" else 4.6))
    return (u * u + v * v < np.float32(radius * radius)).astype(np.float32)


def _florals(look: Mapping[str, str], x: Field, y: Field) -> Field:
    radius = _BLOOM[look["bloom"]]
    u, v, row = _cells(x, y, radius * 2.5)
    r = np.sqrt(u * u + v * v) + np.float32(1e-6)
    c, s = u / r, v / r
    wave, turned = (
        c,
        s,
    )  # cosine of petals times the angle, by repeated rotation: no call whose last bit depends on the CPU
    for _ in range(int(look["petals"]) - 1):
        wave, turned = wave * c - turned * s, wave * s + turned * c
    wave = np.where(row % 2 == 0, wave, turned)
    petals = r < np.float32(radius) * (np.float32(0.72) + np.float32(0.38) * wave)
    heart = r < np.float32(radius * 0.24)
    return np.where(heart, np.float32(-1), petals.astype(np.float32))


_PATTERNS = {"stripes": _stripes, "checks": _checks, "dots": _dots, "florals": _florals}


@dataclass(frozen=True)
class Cloth:
    """The cloth of one look, and how large a piece of it is drawn.

    unit_px: pixels per unit of the pattern's sizes. strewn: a print is repeated all over the cloth, not placed once.
    """

    look: Mapping[str, str]
    unit_px: float
    strewn: bool

    def piece(self, left: float, top: float, width: int, height: int, turn_deg: float = 0.0) -> Image.Image:
        """Cut an RGB piece of width × height pixels, its corner at (left, top) of the whole cloth, turned."""
        look = self.look
        main, accent = COLOURS[look["colour"]], COLOURS[look["accent"]]
        if look["pattern"] == "print" and self.strewn:
            return self._strewn(left, top, width, height)
        if look["pattern"] not in _PATTERNS:
            return Image.new("RGB", (width, height), main)
        x = ((np.arange(width, dtype=np.float32) + np.float32(left)) / np.float32(self.unit_px))[None, :]
        y = ((np.arange(height, dtype=np.float32) + np.float32(top)) / np.float32(self.unit_px))[:, None]
        if turn_deg:
            c, s = np.float32(math.cos(math.radians(turn_deg))), np.float32(math.sin(math.radians(turn_deg)))
            x, y = x * c - y * s, x * s + y * c
        share = _PATTERNS[look["pattern"]](look, x, y)
        # One byte per pixel through a colour table: a tenth of the time of blending three planes.
        index = np.broadcast_to(np.where(share < 0, 101, share * 100), (height, width)).astype(np.uint8)
        image = Image.frombytes("P", (width, height), index.tobytes())
        steps = [tuple(round(a + (b - a) * t / 100) for a, b in zip(main, accent, strict=True)) for t in range(101)]
        image.putpalette([c for step in [*steps, shaded(main, 0.6)] for c in step])
        return image.convert("RGB")

    def _strewn(self, left: float, top: float, width: int, height: int) -> Image.Image:
        image = Image.new("RGB", (width, height), COLOURS[self.look["colour"]])
        draw = ImageDraw.Draw(image)
        accent = COLOURS[self.look["accent"]]
        pitch, size = 0.15 * self.unit_px, 0.048 * self.unit_px
        parts = outlines(self.look["emblem"])
        for row in range(math.floor(top / pitch), math.ceil((top + height) / pitch) + 1):
            for column in range(math.floor(left / pitch) - 1, math.ceil((left + width) / pitch) + 1):
                middle = ((column + 0.5 * (row % 2)) * pitch - left, row * pitch - top)
                for points, stroke in parts:
                    flat = (points * size + middle).ravel().tolist()
                    if stroke:
                        draw.line(flat, fill=accent, width=max(1, round(stroke * size)), joint="curve")
                    else:
                        draw.polygon(flat, fill=accent)
        return image
