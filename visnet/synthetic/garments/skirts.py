"""Skirts."""

from visnet.synthetic.garments import body
from visnet.synthetic.shapes import Cut, Pose, Shape, line, smooth, swayed, symmetric

CUT = {
    "length": ("mini", "knee", "midi"),
    "form": ("pencil", "a-line", "circle"),
    "hem": ("straight", "ruffle", "scallop", "banded"),
    "waistband": ("thin", "wide", "tied"),
    "front": ("closed", "buttons", "pleats", "slit"),
}
PATTERNS = {"plain": 2.5, "stripes": 3, "checks": 3, "dots": 2.5, "florals": 2.5, "print": 1}
GRAIN = 1.15
STREWN = True
_HEM = {"mini": 0.74, "knee": 0.94, "midi": 1.12}


def shapes(cut: Cut, pose: Pose) -> list[Shape]:
    """Draw a skirt."""
    top, hem = body.WAIST_Y, _HEM[cut["length"]]
    waist = body.WAIST + 0.004
    edge = {
        "pencil": body.HIP - 0.012,
        "a-line": body.HIP + 0.32 * (hem - 0.5),
        "circle": body.HIP + 0.62 * (hem - 0.48),
    }[cut["form"]]
    hip = body.HIP + 0.005 if cut["form"] == "pencil" else waist + (edge - waist) * 0.42
    arc = 0.008 if cut["form"] == "pencil" else 0.03
    side = smooth([(0.5 + waist, top), (0.5 + hip, body.HIP_Y), (0.5 + edge, hem)], 5)
    lower = [(0.5 + edge * 0.6, hem + arc * 0.8), (0.5, hem + arc)]
    if cut["hem"] == "scallop":
        lower = [
            (0.5 + edge * t, hem + arc * (1 - t) + 0.03 * (i % 2))
            for i, t in enumerate((0.83, 0.66, 0.5, 0.33, 0.17, 0.0))
        ]
    drawn = [Shape(symmetric(line((0.5, top), *map(tuple, side), *lower)))]
    if cut["front"] == "pleats":
        for t in (-0.75, -0.45, -0.15, 0.15, 0.45, 0.75):
            drawn.append(
                Shape(
                    line((0.5 + t * waist, top + 0.05), (0.5 + t * edge, hem + arc * (1 - abs(t)))),
                    "seam",
                    stroke=0.009,
                )
            )
    if cut["front"] == "slit":
        drawn.append(
            Shape(
                line((0.5 + edge * 0.42, hem - 0.2), (0.5 + edge * 0.36, hem + 0.03), (0.5 + edge * 0.56, hem + 0.02)),
                "lining",
            )
        )
    if cut["front"] == "buttons":
        drawn.append(Shape(line((0.5, top), (0.5, hem + arc)), "seam", stroke=0.006))
        count = int((hem - top) / 0.075)
        drawn += [body.disc(0.5, top + 0.08 + i * 0.075, 0.014, "accent") for i in range(count - 1)]
    if cut["hem"] == "banded":
        drawn.append(
            Shape(
                line((0.5 - edge * 0.97, hem - 0.035), (0.5, hem + arc - 0.035), (0.5 + edge * 0.97, hem - 0.035)),
                "accent",
                stroke=0.03,
            )
        )
    if cut["hem"] == "ruffle":
        wave = [(0.5 - edge * 1.08 + edge * 2.16 * i / 16, hem + 0.045 + 0.016 * (i % 2)) for i in range(17)]
        drawn.append(
            Shape(line((0.5 - edge, hem - 0.015), (0.5, hem + arc - 0.015), (0.5 + edge, hem - 0.015), *wave[::-1]))
        )
        drawn.append(
            Shape(
                line((0.5 - edge, hem - 0.012), (0.5, hem + arc - 0.012), (0.5 + edge, hem - 0.012)),
                "seam",
                stroke=0.012,
            )
        )
    drawn.append(
        body.band(0.5, waist + 0.004, top - 0.008, top + (0.06 if cut["waistband"] == "wide" else 0.026), "dark")
    )
    if cut["waistband"] == "tied":
        for x, y in ((0.53, 0.58), (0.565, 0.555)):
            drawn.append(Shape(line((0.52, top + 0.012), (x, y)), "accent", stroke=0.02))
        drawn.append(body.disc(0.52, top + 0.012, 0.022, "accent"))
    return swayed(drawn, pose.sway, top, 1.0)
