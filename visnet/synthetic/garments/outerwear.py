"""Jackets, coats and parkas."""

from visnet.synthetic.garments import body
from visnet.synthetic.shapes import Cut, Pose, Shape, line, oval, smooth, swayed, symmetric

CUT = {
    "length": ("bomber", "jacket", "coat"),
    "collar": ("lapel", "stand", "hood", "fur"),
    "closure": ("zip", "single", "double", "toggle"),
    "pocket": ("none", "flap", "patch", "welt"),
    "waist": ("straight", "belted"),
    "quilt": ("smooth", "quilted"),
}
PATTERNS = {"plain": 4, "stripes": 1.5, "checks": 4, "dots": 1, "florals": 1, "print": 2}
GRAIN = 1.35
_HEM = {"bomber": 0.5, "jacket": 0.66, "coat": 0.96}


def shapes(cut: Cut, pose: Pose) -> list[Shape]:
    """Draw a coat or jacket."""
    hem = _HEM[cut["length"]]
    tip, chest = body.SHOULDER + 0.014, body.CHEST + 0.026
    edge = chest + (hem - 0.5) * 0.11
    waist = body.WAIST + 0.02 if cut["waist"] == "belted" else chest + 0.002
    drawn = body.sleeves(pose, 1.0, 0.074, 0.056, cuff=0.035 if cut["length"] == "bomber" else 0.018)
    if cut["collar"] == "hood":
        drawn.append(Shape(oval(0.5, 0.085, 0.12, 0.105), "cloth"))
        drawn.append(Shape(oval(0.5, 0.095, 0.075, 0.075), "lining"))
    sides = [(0.5 + tip, body.SHOULDER_Y), (0.5 + chest, body.CHEST_Y), (0.5 + waist, body.WAIST_Y), (0.5 + edge, hem)]
    drawn.append(Shape(symmetric(line((0.5, 0.1), (0.565, 0.085), *map(tuple, smooth(sides, 4)), (0.5, hem + 0.012)))))
    if cut["quilt"] == "quilted":
        y = 0.2
        while y < hem - 0.03:
            drawn.append(Shape(line((0.5 - chest, y), (0.5, y + 0.012), (0.5 + chest, y)), "seam", stroke=0.008))
            y += 0.075
    drawn += _front(cut, hem, waist, edge)
    drawn += _pockets(cut["pocket"], min(hem - 0.13, 0.5))
    drawn += _collar(cut["collar"])
    drawn.append(Shape(line((0.585, 0.285), (0.64, 0.285)), "accent", emblem=True))
    return swayed(drawn, pose.sway, 0.3, 0.9)


def _front(cut: Cut, hem: float, waist: float, edge: float) -> list[Shape]:
    drawn = []
    shift = 0.05 if cut["closure"] == "double" else 0.0
    paint, width = ("metal", 0.014) if cut["closure"] == "zip" else ("seam", 0.008)
    drawn.append(Shape(line((0.5 + shift, 0.13), (0.5 + shift, hem)), paint, stroke=width))
    if cut["length"] == "bomber":
        drawn.append(body.band(0.5, edge, hem - 0.035, hem + 0.01))
    if cut["waist"] == "belted":
        drawn.append(body.band(0.5, waist + 0.008, body.WAIST_Y - 0.02, body.WAIST_Y + 0.024))
        drawn.append(body.band(0.5, 0.024, body.WAIST_Y - 0.026, body.WAIST_Y + 0.03, "metal"))
    if cut["closure"] in ("single", "double"):
        columns = (0.5 - shift, 0.5 + shift) if shift else (0.516,)
        rows = [0.25 + 0.085 * i for i in range(5) if 0.25 + 0.085 * i < hem - 0.05]
        drawn += [body.disc(x, y, 0.014, "accent") for x in columns for y in rows]
    if cut["closure"] == "toggle":
        for i in range(3):
            y = 0.24 + i * 0.1
            if y < hem - 0.04:
                drawn.append(Shape(line((0.43, y), (0.57, y)), "accent", stroke=0.01))
                drawn.append(Shape(line((0.475, y), (0.525, y)), "leather", stroke=0.024))
    return drawn


def _pockets(pocket: str, y: float) -> list[Shape]:
    drawn = []
    for side in body.SIDES if pocket != "none" else ():
        x = 0.5 + side * 0.095
        if pocket == "flap":
            drawn.append(body.band(x, 0.046, y, y + 0.034, "dark"))
        elif pocket == "patch":
            drawn.append(body.band(x, 0.048, y - 0.01, y + 0.09, "dark"))
            drawn.append(Shape(line((x - 0.048, y), (x + 0.048, y)), "accent", stroke=0.01))
        else:
            drawn.append(Shape(line((x - side * 0.02, y - 0.02), (x + side * 0.03, y + 0.07)), "seam", stroke=0.018))
    return drawn


def _collar(collar: str) -> list[Shape]:
    drawn = []
    if collar == "stand":
        drawn.append(Shape(line((0.425, 0.07), (0.575, 0.07), (0.585, 0.135), (0.5, 0.15), (0.415, 0.135)), "dark"))
    if collar == "fur":
        drawn.append(
            Shape(
                smooth(
                    [(0.4, 0.12), (0.44, 0.06), (0.56, 0.06), (0.6, 0.12), (0.56, 0.2), (0.5, 0.24), (0.44, 0.2)],
                    4,
                    closed=True,
                ),
                "accent",
            )
        )
        drawn.append(Shape(line((0.5, 0.1), (0.5, 0.24)), "seam", stroke=0.008))
    if collar == "lapel":
        drawn.append(Shape(line((0.44, 0.085), (0.56, 0.085), (0.5, 0.27)), "lining"))
        for side in body.SIDES:
            lapel = [(0.06, 0.08), (0.105, 0.14), (0.075, 0.165), (0.1, 0.185), (0.0, 0.3), (0.045, 0.16)]
            drawn.append(Shape(line(*((0.5 + side * x, y) for x, y in lapel)), "dark"))
    return drawn
