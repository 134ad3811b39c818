"""Leggings."""

from visnet.synthetic.garments import body
from visnet.synthetic.shapes import Cut, Pose, Shape, line, symmetric

CUT = {
    "length": ("knee", "calf", "ankle", "stirrup"),
    "panel": ("none", "side", "knee", "shin", "thigh"),
    "waistband": ("thin", "wide", "crossed"),
    "cuff": ("none", "banded", "lace"),
}
PATTERNS = {"plain": 2, "stripes": 4, "checks": 2, "dots": 2.5, "florals": 2.5, "print": 2}
GRAIN = 1.2
STREWN = True
_HEM = {"knee": 0.9, "calf": 1.08, "ankle": 1.26, "stirrup": 1.31}


def shapes(cut: Cut, pose: Pose) -> list[Shape]:
    """Draw leggings."""
    top, hem = body.WAIST_Y, _HEM[cut["length"]]
    stride = 0.012 + pose.stride * (hem - 0.5)
    end = 0.072 + (0.034 - 0.072) * (hem - body.HIP_Y) / 0.72
    drawn = []
    for side in body.SIDES:
        path = body.leg(side, (0.072, body.HIP_Y), hem, stride)
        drawn.append(Shape(body.limb(path, 0.077, end)))
        places = {"knee": (0.42, 0.62), "shin": (0.66, 0.9), "thigh": (0.1, 0.34)}
        if cut["panel"] in places:
            ends = [_along(path, t) for t in places[cut["panel"]]]
            widths = [0.077 + (end - 0.077) * t for t in places[cut["panel"]]]
            drawn.append(Shape(body.limb(ends, *widths), "accent"))
        if cut["panel"] == "side":
            seam = [(x + side * w * 0.72, y) for (x, y), w in zip(path, (0.077, (0.077 + end) / 2, end), strict=True)]
            drawn.append(Shape(line(*seam), "accent", stroke=0.03))
        if cut["cuff"] == "banded":
            drawn.append(Shape(body.limb([_along(path, 0.94), path[-1]], end * 1.15, end * 1.15), "dark"))
        if cut["cuff"] == "lace":
            x, y = path[-1]
            drawn += [body.disc(x + d * end, y, end * 0.36, "accent") for d in (-0.75, 0.0, 0.75)]
    hips = [(0.5 + body.WAIST, top), (0.5 + body.HIP - 0.002, body.HIP_Y), (0.5 + 0.147, body.HIP_Y + 0.02)]
    drawn.append(Shape(symmetric(line((0.5, top), *hips, (0.512, body.CROTCH_Y + 0.015), (0.5, body.CROTCH_Y)))))
    drawn.append(Shape(line((0.5, top + 0.06), (0.5, body.CROTCH_Y)), "seam", stroke=0.006))
    if cut["waistband"] == "crossed":
        for side in body.SIDES:
            drawn.append(
                Shape(line((0.5 - side * 0.12, top + 0.005), (0.5 + side * 0.125, top + 0.075)), "dark", stroke=0.036)
            )
    else:
        drawn.append(
            body.band(
                0.5, body.WAIST + 0.003, top - 0.006, top + (0.09 if cut["waistband"] == "wide" else 0.03), "dark"
            )
        )
    return drawn


def _along(path: list[tuple[float, float]], share: float) -> tuple[float, float]:
    # The path has three dots; its middle one stands at half of the way.
    (x0, y0), (x1, y1) = path[:2] if share < 0.5 else path[1:]
    t = share * 2 if share < 0.5 else share * 2 - 1
    return x0 + (x1 - x0) * t, y0 + (y1 - y0) * t
