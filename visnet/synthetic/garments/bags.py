"""Handbags, totes and satchels."""

import math

from visnet.synthetic.garments.body import band, disc
from visnet.synthetic.shapes import Cut, Pose, Shape, line, oval, smooth, symmetric

CUT = {
    "form": ("tote", "satchel", "clutch", "bucket", "hobo"),
    "handle": ("top", "two", "long", "chain"),
    "flap": ("none", "half", "full", "pointed"),
    "clasp": ("none", "disc", "bar", "twin"),
    "pocket": ("none", "zip", "front"),
    "trim": ("none", "corners", "base"),
}
PATTERNS = {"plain": 4, "stripes": 3, "checks": 2.5, "dots": 2, "florals": 2, "print": 3}
GRAIN = 1.35
# half width at the top and the bottom, height
_FORM = {
    "tote": (0.4, 0.33, 0.62),
    "satchel": (0.4, 0.42, 0.5),
    "clutch": (0.45, 0.45, 0.36),
    "bucket": (0.27, 0.34, 0.6),
    "hobo": (0.3, 0.36, 0.5),
}


def shapes(cut: Cut, pose: Pose) -> list[Shape]:
    """Draw a bag from the front; `pose.sway` swings its handle."""
    wide, base, height = _FORM[cut["form"]]
    top = 0.42
    bottom = top + height
    drop = {"none": 0.0, "half": 0.36, "full": 0.66, "pointed": 0.55}[cut["flap"]] * height
    return [
        *_handles(cut["handle"], top, wide, pose.sway),
        _body(cut["form"], top, height),
        *_trim(cut["trim"], base, bottom),
        _flap(cut["flap"], top, wide, drop),
        *_pocket(cut["pocket"], base, height, bottom),
        *_clasp(cut["clasp"], top, wide, top + (drop or 0.06)),
        Shape(line((0.5, bottom - height * 0.34), (0.63, bottom - height * 0.34)), "accent", emblem=True),
    ]


def _body(form: str, top: float, height: float) -> Shape:
    wide, base, _ = _FORM[form]
    bottom = top + height
    if form == "hobo":
        points = [
            (0.5, top + 0.08),
            (0.5 + wide * 0.7, top + 0.03),
            (0.5 + wide, top),
            (0.5 + base + 0.05, top + height * 0.6),
            (0.5 + base * 0.7, bottom),
            (0.5, bottom + 0.02),
        ]
        return Shape(symmetric(smooth(points)))
    half = line((0.5, top), (0.5 + wide, top), (0.5 + base, bottom - 0.05), (0.5 + base - 0.05, bottom), (0.5, bottom))
    return Shape(symmetric(half))


def _trim(kind: str, base: float, bottom: float) -> list[Shape]:
    if kind == "base":
        upper = [(0.5 - base, bottom - 0.1), (0.5 + base, bottom - 0.1)]
        lower = [(0.5 + base - 0.04, bottom), (0.5 - base + 0.04, bottom)]
        return [Shape(line(*upper, *lower), "accent")]
    corners = [
        [
            (0.5 + side * base, bottom - 0.15),
            (0.5 + side * (base - 0.05), bottom),
            (0.5 + side * (base - 0.18), bottom),
        ]
        for side in (-1, 1)
    ]
    return [Shape(line(*corner), "accent") for corner in corners if kind == "corners"]


def _flap(kind: str, top: float, wide: float, drop: float) -> Shape:
    if kind == "none":
        return band(0.5, wide, top, top + 0.035, "dark")
    if kind == "pointed":
        side = top + drop * 0.3
        tip = [(0.5 + wide * 0.9, side), (0.5, top + drop), (0.5 - wide * 0.9, side)]
        return Shape(line((0.5 - wide, top), (0.5 + wide, top), *tip), "dark")
    points = [
        (0.5, top),
        (0.5 + wide, top),
        (0.5 + wide * 0.98, top + drop * 0.75),
        (0.5 + wide * 0.8, top + drop),
        (0.5, top + drop),
    ]
    return Shape(symmetric(smooth(points, 4)), turn_deg=90)


def _pocket(kind: str, base: float, height: float, bottom: float) -> list[Shape]:
    if kind == "front":
        return [band(0.5, base * 0.55, bottom - height * 0.42, bottom - height * 0.08, "dark")]
    y = bottom - height * 0.3
    zipper = Shape(line((0.5 - base * 0.6, y), (0.5 + base * 0.6, y)), "metal", stroke=0.022)
    return [zipper] if kind == "zip" else []


def _clasp(kind: str, top: float, wide: float, y: float) -> list[Shape]:
    if kind == "disc":
        return [disc(0.5, y, 0.045, "metal")]
    if kind == "bar":
        return [band(0.5, 0.1, y - 0.022, y + 0.022, "metal")]
    drawn = []
    for side in (-1, 1):
        drawn.append(band(0.5 + side * wide * 0.5, 0.028, top, y + 0.06, "accent"))
        drawn.append(band(0.5 + side * wide * 0.5, 0.034, y - 0.01, y + 0.04, "metal"))
    return drawn if kind == "twin" else []


def _handles(kind: str, top: float, wide: float, sway: float) -> list[Shape]:
    if kind in ("long", "chain"):
        rise = 0.5
        arc = [
            (0.5 + wide * 0.92 * math.cos(t) + sway * math.sin(t), top + 0.05 - rise * math.sin(t))
            for t in [math.pi * i / 16 for i in range(17)]
        ]
        if kind == "long":
            return [Shape(line(*arc), "leather", stroke=0.034)]
        return [Shape(oval(x, y, 0.03, 0.022), "metal") for x, y in smooth(arc, 2)]
    rise, reach = (0.2, 0.45) if kind == "top" else (0.27, 0.6)
    shift = (0.0,) if kind == "top" else (-0.05, 0.05)
    return [
        Shape(
            smooth(
                [
                    (0.5 - wide * reach + s, top + 0.04),
                    (0.5 - wide * reach * 0.8 + s + sway, top - rise),
                    (0.5 + wide * reach * 0.8 + s + sway, top - rise),
                    (0.5 + wide * reach + s, top + 0.04),
                ]
            ),
            "leather",
            stroke=0.05 if kind == "top" else 0.03,
        )
        for s in shift
    ]
