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
    if cut["form"] == "hobo":
        half = smooth(
            [
                (0.5, top + 0.08),
                (0.5 + wide * 0.7, top + 0.03),
                (0.5 + wide, top),
                (0.5 + base + 0.05, top + height * 0.6),
                (0.5 + base * 0.7, bottom),
                (0.5, bottom + 0.02),
            ]
        )
    else:
        half = line(
            (0.5, top), (0.5 + wide, top), (0.5 + base, bottom - 0.05), (0.5 + base - 0.05, bottom), (0.5, bottom)
        )
    drawn = _handles(cut["handle"], top, wide, pose.sway)
    drawn.append(Shape(symmetric(half)))
    if cut["trim"] == "base":
        drawn.append(
            Shape(
                line(
                    (0.5 - base, bottom - 0.1),
                    (0.5 + base, bottom - 0.1),
                    (0.5 + base - 0.04, bottom),
                    (0.5 - base + 0.04, bottom),
                ),
                "accent",
            )
        )
    if cut["trim"] == "corners":
        for side in (-1, 1):
            drawn.append(
                Shape(
                    line(
                        (0.5 + side * base, bottom - 0.15),
                        (0.5 + side * (base - 0.05), bottom),
                        (0.5 + side * (base - 0.18), bottom),
                    ),
                    "accent",
                )
            )
    drop = {"none": 0.0, "half": 0.36, "full": 0.66, "pointed": 0.55}[cut["flap"]] * height
    if cut["flap"] == "pointed":
        drawn.append(
            Shape(
                line(
                    (0.5 - wide, top),
                    (0.5 + wide, top),
                    (0.5 + wide * 0.9, top + drop * 0.3),
                    (0.5, top + drop),
                    (0.5 - wide * 0.9, top + drop * 0.3),
                ),
                "dark",
            )
        )
    elif drop:
        lid = symmetric(
            smooth(
                [
                    (0.5, top),
                    (0.5 + wide, top),
                    (0.5 + wide * 0.98, top + drop * 0.75),
                    (0.5 + wide * 0.8, top + drop),
                    (0.5, top + drop),
                ],
                4,
            )
        )
        drawn.append(Shape(lid, turn_deg=90))
    else:
        drawn.append(band(0.5, wide, top, top + 0.035, "dark"))
    if cut["pocket"] == "front":
        drawn.append(band(0.5, base * 0.55, bottom - height * 0.42, bottom - height * 0.08, "dark"))
    if cut["pocket"] == "zip":
        drawn.append(
            Shape(
                line((0.5 - base * 0.6, bottom - height * 0.3), (0.5 + base * 0.6, bottom - height * 0.3)),
                "metal",
                stroke=0.022,
            )
        )
    y = top + (drop or 0.06)
    if cut["clasp"] == "disc":
        drawn.append(disc(0.5, y, 0.045, "metal"))
    if cut["clasp"] == "bar":
        drawn.append(band(0.5, 0.1, y - 0.022, y + 0.022, "metal"))
    if cut["clasp"] == "twin":
        for side in (-1, 1):
            drawn.append(band(0.5 + side * wide * 0.5, 0.028, top, y + 0.06, "accent"))
            drawn.append(band(0.5 + side * wide * 0.5, 0.034, y - 0.01, y + 0.04, "metal"))
    drawn.append(Shape(line((0.5, bottom - height * 0.34), (0.63, bottom - height * 0.34)), "accent", emblem=True))
    return drawn


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
