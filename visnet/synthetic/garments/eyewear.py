"""Spectacles and sunglasses, from the front."""

from visnet.synthetic.garments.body import disc
from visnet.synthetic.shapes import Cut, Pose, Shape, flipped, line, oval, smooth

CUT = {
    "lens": ("round", "square", "cat", "aviator", "oval", "shield"),
    "rim": ("thin", "medium", "thick", "browline"),
    "bridge": ("single", "double", "keyhole"),
    "glass": ("clear", "smoke", "fade", "amber"),
    "hinge": ("plain", "dot", "bar"),
}
PATTERNS = {"plain": 4, "stripes": 3, "checks": 2, "dots": 2, "florals": 2}
GRAIN = 0.75
_RIM = {"thin": 0.024, "medium": 0.046, "thick": 0.078, "browline": 0.03}


def shapes(cut: Cut, pose: Pose) -> list[Shape]:
    """Draw a pair of glasses."""
    x, y = 0.735, 0.5
    lens = {
        "round": oval(x, y, 0.17, 0.165),
        "oval": oval(x, y, 0.185, 0.12),
        "square": oval(x, y, 0.185, 0.135, power=0.35),
        "shield": oval(x, y + 0.01, 0.205, 0.17, power=0.55),
        "cat": smooth(
            [
                (x - 0.17, y - 0.07),
                (x, y - 0.12),
                (x + 0.21, y - 0.17),
                (x + 0.17, y + 0.03),
                (x + 0.04, y + 0.13),
                (x - 0.12, y + 0.09),
            ],
            5,
            closed=True,
        ),
        "aviator": smooth(
            [
                (x - 0.17, y - 0.12),
                (x + 0.04, y - 0.14),
                (x + 0.19, y - 0.1),
                (x + 0.16, y + 0.09),
                (x + 0.03, y + 0.2),
                (x - 0.12, y + 0.13),
            ],
            5,
            closed=True,
        ),
    }[cut["lens"]]
    rim = _RIM[cut["rim"]]
    drawn = []
    for points in (lens, flipped(lens)):
        drawn.append(Shape(points, "glass_" + cut["glass"]))
        if cut["glass"] == "fade":
            low, high = points[:, 1].min(), points[:, 1].max()
            upper = points.copy()
            upper[:, 1] = upper[:, 1].clip(None, low + (high - low) * 0.45)
            drawn.append(Shape(upper, "glass_smoke"))
        drawn.append(Shape(line(*map(tuple, points), *map(tuple, points[:2])), "cloth", stroke=rim))
        if cut["rim"] == "browline":
            brow = points[points[:, 1] < y - 0.02]
            brow = brow[brow[:, 0].argsort()]
            drawn.append(Shape(brow, "cloth", stroke=0.085))
    inner = float(lens[:, 0].min())
    for height in {"single": (0.46,), "double": (0.37, 0.49), "keyhole": (0.43,)}[cut["bridge"]]:
        arch = 0.045 if cut["bridge"] != "keyhole" else 0.09
        drawn.append(
            Shape(
                smooth([(1 - inner, height + 0.02), (0.5, height - arch + 0.03), (inner, height + 0.02)]),
                "cloth",
                stroke=max(rim * 0.8, 0.022),
            )
        )
    if cut["bridge"] == "keyhole":
        drawn += [disc(0.5 + s * (inner - 0.5), 0.55, 0.035, "accent") for s in (-1, 1)]
    outer = float(lens[:, 0].max())
    for side in (-1, 1):
        edge = 0.5 + side * (outer - 0.5)
        drawn.append(Shape(line((edge - side * 0.02, 0.42), (edge + side * 0.045, 0.41)), "cloth", stroke=0.06))
        if cut["hinge"] == "dot":
            drawn.append(disc(edge + side * 0.012, 0.415, 0.03, "metal"))
        if cut["hinge"] == "bar":
            drawn.append(Shape(line((edge - side * 0.045, 0.415), (edge + side * 0.045, 0.41)), "accent", stroke=0.042))
    return drawn
