"""T-shirts, jumpers, blouses and vests."""

from visnet.synthetic.garments import body
from visnet.synthetic.shapes import Cut, Pose, Shape, line, swayed

CUT = {
    "neck": ("crew", "vee", "boat", "scoop", "polo"),
    "sleeve": ("none", "short", "elbow", "long"),
    "length": ("cropped", "hip", "tunic"),
    "fit": ("slim", "boxy"),
    "pocket": ("none", "chest", "two"),
    "cuff": ("none", "banded"),
}
PATTERNS = {"plain": 2, "stripes": 4, "checks": 1.5, "dots": 2, "florals": 1.5, "print": 4}
GRAIN = 1.0
_HEM = {"cropped": 0.43, "hip": 0.56, "tunic": 0.7}
_REACH = {"short": 0.3, "elbow": 0.55, "long": 0.98}


def shapes(cut: Cut, pose: Pose) -> list[Shape]:
    """Draw a top."""
    hem, boxy = _HEM[cut["length"]], cut["fit"] == "boxy"
    neck = "crew" if cut["neck"] == "polo" else cut["neck"]
    tip = body.SHOULDER - (0.03 if cut["sleeve"] == "none" else 0.0)
    waist = body.CHEST + 0.012 if boxy else body.WAIST + 0.008
    edge = body.CHEST + 0.02 if boxy else body.HIP - 0.008
    sides = [(0.5 + tip, body.SHOULDER_Y), (0.5 + body.CHEST + boxy * 0.012, body.CHEST_Y)]
    sides += [(0.5 + waist, min(body.WAIST_Y, hem - 0.06)), (0.5 + edge, hem)]
    drawn = []
    if cut["sleeve"] != "none":
        width = 0.062 + boxy * 0.01
        cuff = 0.03 if cut["cuff"] == "banded" else 0.0
        drawn += body.sleeves(pose, _REACH[cut["sleeve"]], width, 0.052 if boxy else 0.044, cuff=cuff)
    drawn.append(Shape(body.trunk(neck, sides)))
    if cut["cuff"] == "banded":
        drawn.append(body.band(0.5, edge * 1.01, hem - 0.026, hem))
    if cut["neck"] == "polo":
        drawn.append(Shape(line((0.5, 0.13), (0.5, 0.27)), "seam", stroke=0.008))
        for side in body.SIDES:
            drawn.append(
                Shape(
                    line(
                        (0.5, 0.14), (0.5 + side * 0.065, 0.09), (0.5 + side * 0.095, 0.15), (0.5 + side * 0.04, 0.19)
                    ),
                    "accent",
                )
            )
        drawn += [body.disc(0.5, y, 0.008, "accent") for y in (0.2, 0.24)]
    else:
        drawn.append(body.neck_trim(neck))
    places = {"none": [], "chest": [0.595], "two": [0.405, 0.595]}[cut["pocket"]]
    for x in places:
        sack = line((x - 0.04, 0.215), (x + 0.04, 0.215), (x + 0.04, 0.29), (x, 0.308), (x - 0.04, 0.29))
        drawn.append(Shape(sack, "dark"))
    drawn.append(Shape(line((0.5, 0.365), (0.585, 0.365)), "accent", emblem=True))
    return swayed(drawn, pose.sway, 0.3, 0.7)
