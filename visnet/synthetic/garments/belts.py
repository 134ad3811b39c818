"""Belts, buckled into a loop, seen from the front and a little from above."""

import math

from visnet.synthetic.garments.body import disc
from visnet.synthetic.shapes import Cut, Pose, Shape, line, oval

CUT = {
    "buckle": ("square", "round", "double", "plate", "knot"),
    "width": ("thin", "medium", "wide"),
    "studs": ("none", "holes", "studs", "stitched"),
    "tip": ("short", "long", "hanging"),
    "loop": ("plain", "accent"),
}
PATTERNS = {"plain": 4, "stripes": 4, "checks": 3, "dots": 3, "florals": 2, "print": 1.5}
GRAIN = 1.0
STREWN = True
_WIDTH = {"thin": 0.12, "medium": 0.18, "wide": 0.26}


def _at(degrees: float, y: float, depth: float = 0.1) -> tuple[float, float]:
    turn = math.radians(degrees)
    return 0.5 + 0.48 * math.sin(turn), y + depth * math.cos(turn)


def shapes(cut: Cut, pose: Pose) -> list[Shape]:
    """Draw a belt; when worn, the body hides its back."""
    width = _WIDTH[cut["width"]]
    middle = 0.5
    drawn = []
    if not pose.worn:
        back = [_at(a, middle - width * 0.5) for a in range(90, 271, 12)]
        drawn.append(Shape(line(*back, *((x, y + width * 0.8) for x, y in back[::-1])), "lining"))
    turns = range(-90, 91, 12)
    upper = [_at(a, middle - width / 2) for a in turns]
    lower = [_at(a, middle + width / 2) for a in turns]
    drawn.append(Shape(line(*upper, *lower[::-1])))
    if cut["studs"] == "stitched":
        for edge in (-0.36, 0.36):
            drawn.append(Shape(line(*(_at(a, middle + edge * width) for a in turns)), "accent", stroke=0.012))
    drawn += _tip(cut["tip"], middle, width)
    if cut["studs"] in ("studs", "holes"):
        spots = [_at(a, middle) for a in ((-68, -54, -40, 40, 54, 68) if cut["studs"] == "studs" else (16, 27, 38, 49))]
        drawn += [
            disc(x, y, 0.024 if cut["studs"] == "studs" else 0.02, "metal" if cut["studs"] == "studs" else "seam")
            for x, y in spots
        ]
    if cut["loop"] == "accent":
        x, y = _at(-19, middle)
        drawn.append(Shape(line((x, y - width * 0.58), (x, y + width * 0.58)), "accent", stroke=0.05))
    return drawn + _buckle(cut["buckle"], _at(0, middle), width)


def _tip(tip: str, middle: float, width: float) -> list[Shape]:
    x, y = _at(0, middle)
    if tip == "hanging":
        return [
            Shape(
                line(
                    (x + 0.1, y),
                    (x + 0.1 + width * 0.8, y),
                    (x + 0.14 + width * 0.8, y + 0.36),
                    (x + 0.14 + width * 0.4, y + 0.42),
                    (x + 0.12, y + 0.36),
                ),
                turn_deg=90,
            )
        ]
    reach = 24 if tip == "short" else 46
    end, point = _at(reach, middle + 0.012), _at(reach + 6, middle + 0.012)
    half = width * 0.5
    return [
        Shape(line((x, y - half), (end[0], end[1] - half), point, (end[0], end[1] + half), (x, y + half)), turn_deg=5),
        Shape(line((end[0], end[1] - half), point, (end[0], end[1] + half)), "seam", stroke=0.016),
    ]


def _buckle(kind: str, at: tuple[float, float], width: float) -> list[Shape]:
    x, y = at
    high = width * 0.68
    if kind == "plate":
        return [
            Shape(oval(x, y, 0.13, high * 0.9, power=0.6), "metal"),
            Shape(oval(x, y, 0.085, high * 0.5, power=0.6), "accent"),
        ]
    if kind == "knot":
        return [
            Shape(line((x, y), (x - 0.06, y + 0.3)), "cloth", stroke=width * 0.55),
            Shape(oval(x, y, 0.085, high * 0.85), "dark"),
        ]
    if kind == "round":
        ring = oval(x, y, high * 0.95, high * 0.95)
        return [
            Shape(line(*map(tuple, ring), *map(tuple, ring[:2])), "metal", stroke=0.045),
            Shape(line((x - 0.1, y), (x + high, y)), "metal", stroke=0.025),
        ]
    rings = (-0.075, 0.075) if kind == "double" else (0.0,)
    drawn = []
    for shift in rings:
        left, right = x + shift - 0.09, x + shift + 0.09
        drawn.append(
            Shape(
                line(
                    (left, y - high),
                    (right, y - high),
                    (right, y + high),
                    (left, y + high),
                    (left, y - high),
                    (right, y - high),
                ),
                "metal",
                stroke=0.036,
            )
        )
    return [*drawn, Shape(line((x - 0.09, y), (x + 0.09, y)), "metal", stroke=0.024)]
