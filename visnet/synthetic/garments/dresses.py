"""Dresses, from shift to ball gown."""

from visnet.synthetic.garments import body
from visnet.synthetic.shapes import Cut, Pose, Shape, flipped, line, smooth, swayed, symmetric

CUT = {
    "neck": ("crew", "vee", "boat", "scoop", "straps"),
    "sleeve": ("none", "cap", "elbow", "long"),
    "length": ("mini", "knee", "maxi"),
    "waist": ("shift", "fitted", "empire", "belted"),
    "skirt": ("pencil", "flared", "tiered"),
}
PATTERNS = {"plain": 2.5, "stripes": 3, "checks": 1.5, "dots": 3, "florals": 3.5, "print": 1}
GRAIN = 1.5
STREWN = True
_HEM = {"mini": 0.8, "knee": 0.98, "maxi": 1.26}
_REACH = {"cap": 0.17, "elbow": 0.52, "long": 0.98}


def shapes(cut: Cut, pose: Pose) -> list[Shape]:
    """Draw a dress."""
    hem = _HEM[cut["length"]]
    seam = 0.33 if cut["waist"] == "empire" else body.WAIST_Y
    waist = body.CHEST if cut["waist"] == "shift" else body.WAIST
    spread = {"pencil": 0.0, "flared": 0.36, "tiered": 0.2}[cut["skirt"]] * (hem - seam)
    edge = body.HIP + 0.005 + spread
    hip = body.HIP + 0.01 + spread * 0.28
    sides = [
        (0.5 + body.CHEST, body.CHEST_Y - 0.02),
        (0.5 + waist, seam),
        (0.5 + hip, body.HIP_Y + 0.02),
        (0.5 + edge, hem),
    ]
    drawn: list[Shape] = []
    if cut["sleeve"] != "none":
        drawn += body.sleeves(pose, _REACH[cut["sleeve"]], 0.06, 0.046)
    if cut["neck"] == "straps":
        top = smooth([(0.5, 0.235), (0.56, 0.205), (0.61, 0.235)])
        bodice = symmetric(line(*map(tuple, top), *sides))
        for side in body.SIDES:
            drawn.append(Shape(line((0.5 + side * 0.065, 0.215), (0.5 + side * 0.085, 0.1)), "accent", stroke=0.016))
        drawn.append(Shape(bodice))
    else:
        tip = body.SHOULDER - (0.03 if cut["sleeve"] == "none" else 0.0)
        drawn.append(Shape(body.trunk(cut["neck"], [(0.5 + tip, body.SHOULDER_Y), *sides])))
        drawn.append(body.neck_trim(cut["neck"]))
    half = [(0.5, hem + 0.03), (0.5 + edge * 0.55, hem + 0.024), (0.5 + edge, hem)]  # a hem hangs in an arc
    drawn.append(Shape(symmetric(line((0.5, hem - 0.02), (0.5 + edge, hem - 0.002), *half[::-1]))))
    if cut["skirt"] == "tiered":
        for share in (0.4, 0.72):
            y = seam + (hem - seam) * share
            wide = hip + (edge - hip) * max(0.0, share - 0.2) * 1.1
            arc = smooth([(0.5, y + 0.028), (0.5 + wide * 0.6, y + 0.02), (0.5 + wide, y)])
            drawn.append(Shape(line(*map(tuple, flipped(arc)), *map(tuple, arc)), "accent", stroke=0.022))
    elif cut["skirt"] == "flared":
        for share in (-0.5, -0.18, 0.18, 0.5):
            drawn.append(
                Shape(line((0.5 + share * waist, seam + 0.05), (0.5 + share * edge, hem + 0.01)), "seam", stroke=0.006)
            )
    if cut["waist"] == "belted":
        drawn.append(body.band(0.5, waist + 0.006, seam - 0.02, seam + 0.022))
        drawn.append(body.band(0.5, 0.024, seam - 0.024, seam + 0.026, "metal"))
    elif cut["waist"] != "shift":
        drawn.append(Shape(line((0.5 - waist, seam), (0.5 + waist, seam)), "seam", stroke=0.009))
    return swayed(drawn, pose.sway, seam, 1.1)
