"""Trousers, jeans and shorts."""

from visnet.synthetic.garments import body
from visnet.synthetic.shapes import Cut, Pose, Shape, line, symmetric

CUT = {
    "length": ("shorts", "cropped", "full"),
    "leg": ("slim", "straight", "flared"),
    "pocket": ("slant", "cargo", "patch", "none"),
    "hem": ("plain", "turned", "torn"),
    "waistband": ("thin", "wide", "drawstring"),
    "side": ("plain", "piped"),
}
PATTERNS = {"plain": 4, "stripes": 3, "checks": 3, "dots": 1, "florals": 1.5, "print": 1}
GRAIN = 1.35
STREWN = True
_HEM = {"shorts": 0.82, "cropped": 1.1, "full": 1.28}


def shapes(cut: Cut, pose: Pose) -> list[Shape]:
    """Draw trousers."""
    top, hem = body.WAIST_Y - 0.01, _HEM[cut["length"]]
    stride = 0.016 + pose.stride * (hem - 0.5)
    thigh = {"slim": 0.079, "straight": 0.084, "flared": 0.08}[cut["leg"]]
    ankle = {"slim": 0.04, "straight": 0.074, "flared": 0.125}[cut["leg"]]
    share = (hem - body.HIP_Y) / (body.ANKLE_Y - body.HIP_Y)
    end = thigh + (ankle - thigh) * (share**2 if cut["leg"] == "flared" else share)
    drawn = []
    for side in body.SIDES:
        path = body.leg(side, (0.072, body.HIP_Y), hem, stride)
        knee = min(thigh, (thigh + end) / 2) * (0.86 if cut["leg"] == "flared" else 1.0)
        upper, lower = body.limb(path[:2], thigh, knee), body.limb(path[1:], knee, end)
        drawn += [Shape(lower), Shape(upper)]
        x, y = path[-1]
        if cut["hem"] == "turned":
            drawn.append(body.band(x, end * 1.08, y - 0.05, y, "accent"))
        if cut["hem"] == "torn":
            drawn += [
                Shape(line((x - 0.8 * end, y - d), (x + 0.8 * end, y - d - 0.012)), "light", stroke=0.014)
                for d in (0.05, 0.1)
            ]
        if cut["side"] == "piped":
            seam = [(px + side * w * 0.84, py) for (px, py), w in zip(path, (thigh, knee, end), strict=True)]
            drawn.append(Shape(line(*seam), "accent", stroke=0.022))
        if cut["pocket"] == "cargo":
            (x0, y0), (x1, y1) = path[:2]
            drawn.append(
                body.band((x0 + x1) / 2 + side * 0.04, 0.042, (y0 + y1) / 2 - 0.03, (y0 + y1) / 2 + 0.07, "dark")
            )
    hips = [(0.5 + body.WAIST, top), (0.5 + body.HIP + 0.002, body.HIP_Y), (0.5 + 0.075 + thigh, body.HIP_Y + 0.02)]
    drawn.append(Shape(symmetric(line((0.5, top), *hips, (0.5 + 0.015, body.CROTCH_Y + 0.015), (0.5, body.CROTCH_Y)))))
    drawn.append(Shape(line((0.5, top + 0.03), (0.5, body.CROTCH_Y)), "seam", stroke=0.007))
    drawn += _pockets(cut["pocket"], top)
    drawn.append(
        body.band(0.5, body.WAIST + 0.004, top - 0.006, top + (0.09 if cut["waistband"] == "wide" else 0.024), "dark")
    )
    if cut["waistband"] == "drawstring":
        for x in (0.485, 0.515):
            drawn.append(Shape(line((0.5, top + 0.015), (x, top + 0.12)), "accent", stroke=0.012))
    else:
        drawn.append(body.disc(0.5, top + 0.012, 0.011, "metal"))
    return drawn


def _pockets(pocket: str, top: float) -> list[Shape]:
    drawn = []
    for side in body.SIDES:
        if pocket == "slant":
            drawn.append(
                Shape(line((0.5 + side * 0.075, top + 0.03), (0.5 + side * 0.14, top + 0.13)), "seam", stroke=0.012)
            )
        if pocket == "patch":
            drawn.append(body.band(0.5 + side * 0.082, 0.038, top + 0.06, top + 0.15, "accent"))
    return drawn
