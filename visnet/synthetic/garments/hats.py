"""Caps, beanies, bucket and brimmed hats."""

from visnet.synthetic.garments.body import disc
from visnet.synthetic.shapes import Cut, Pose, Shape, line, oval, smooth, symmetric

CUT = {
    "form": ("cap", "beanie", "bucket", "fedora", "sun"),
    "crown": ("low", "tall"),
    "band": ("none", "thin", "wide", "bow"),
    "top": ("plain", "button", "bobble"),
    "brim": ("short", "long"),
}
PATTERNS = {"plain": 3, "stripes": 3, "checks": 2, "dots": 2, "florals": 2, "print": 4}
GRAIN = 1.25


def shapes(cut: Cut, pose: Pose) -> list[Shape]:
    """Draw a hat from the front."""
    form, rim = cut["form"], 0.66
    peak = rim - (0.36 if cut["crown"] == "low" else 0.5)
    half = {"cap": 0.31, "beanie": 0.3, "bucket": 0.29, "fedora": 0.27, "sun": 0.27}[form]
    long = cut["brim"] == "long"
    drawn: list[Shape] = []
    if form in ("fedora", "sun"):
        reach = (0.42 if form == "fedora" else 0.5) + long * 0.07
        drawn.append(Shape(oval(0.5, rim, reach, 0.09 if form == "fedora" else 0.14)))
    if cut["top"] == "bobble":
        drawn.append(Shape(oval(0.5, peak - 0.05, 0.095, 0.09), "accent"))
    crowns = {
        "cap": [(0.5, peak), (0.5 + half * 0.6, peak + 0.06), (0.5 + half, rim - 0.12), (0.5 + half, rim + 0.03)],
        "beanie": [(0.5, peak), (0.5 + half * 0.6, peak + 0.05), (0.5 + half, rim - 0.14), (0.5 + half, rim + 0.1)],
        "sun": [(0.5, peak), (0.5 + half * 0.7, peak + 0.07), (0.5 + half, rim - 0.1), (0.5 + half, rim)],
    }
    if form == "bucket":
        crown = line((0.5, peak), (0.5 + half * 0.8, peak), (0.5 + half, rim - 0.06))
    elif form == "fedora":
        crown = smooth(
            [(0.5, peak + 0.07), (0.5 + half * 0.45, peak), (0.5 + half * 0.85, peak + 0.1), (0.5 + half, rim)]
        )
    else:
        crown = smooth(crowns[form])
    drawn.append(Shape(symmetric(line(*map(tuple, crown), (0.5, crown[-1, 1] + 0.03)))))
    if form == "bucket":
        edge = half + 0.12 + long * 0.07
        drawn.append(
            Shape(
                symmetric(line((0.5, rim - 0.07), (0.5 + half, rim - 0.07), (0.5 + edge, rim + 0.1), (0.5, rim + 0.15)))
            )
        )
        drawn.append(Shape(line((0.5 - half, rim - 0.07), (0.5 + half, rim - 0.07)), "seam", stroke=0.01))
    if form == "cap":
        visor = [(0.5 + half, rim), (0.5 + half * 0.95, rim + 0.11 + long * 0.08), (0.5, rim + 0.16 + long * 0.1)]
        for x in (-0.42, 0.42):
            drawn.append(
                Shape(
                    smooth([(0.5, peak), (0.5 + x * half * 0.8, peak + 0.14), (0.5 + x * half, rim)]),
                    "seam",
                    stroke=0.008,
                )
            )
        drawn.append(Shape(symmetric(line((0.5, rim + 0.02), *map(tuple, smooth(visor, 5)))), "dark"))
    if form == "beanie":
        deep = 0.12 + long * 0.08
        drawn.append(Shape(oval(0.5, rim + 0.11 - deep / 2, half + 0.015, deep * 0.6, power=0.3), "dark"))
    if cut["top"] == "button":
        drawn.append(disc(0.5, peak + (0.04 if form == "fedora" else 0.0), 0.042, "accent"))
    drawn += _band(cut["band"], half, rim - (0.0 if form in ("cap", "sun", "fedora") else 0.1))
    drawn.append(Shape(line((0.5, (peak + rim) / 2 + 0.02), (0.605, (peak + rim) / 2 + 0.02)), "accent", emblem=True))
    return drawn


def _band(band: str, half: float, y: float) -> list[Shape]:
    if band == "none":
        return []
    width = 0.035 if band == "thin" else 0.085
    arc = smooth([(0.5 - half, y - width / 2), (0.5, y + 0.02 - width / 2), (0.5 + half, y - width / 2)])
    drawn = [Shape(arc, "accent", stroke=width)]
    if band == "bow":
        x = 0.5 + half * 0.72
        drawn.append(Shape(line((x, y - 0.05), (x + 0.12, y - 0.14), (x + 0.12, y + 0.03)), "accent"))
        drawn.append(Shape(line((x, y - 0.05), (x - 0.12, y - 0.13), (x - 0.11, y + 0.04)), "accent"))
        drawn.append(disc(x, y - 0.05, 0.025, "seam"))
    return drawn
