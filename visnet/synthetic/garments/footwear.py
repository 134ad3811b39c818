"""Shoes and boots, seen from the side."""

from visnet.synthetic.garments.body import disc
from visnet.synthetic.shapes import Cut, Dot, Pose, Shape, line, smooth

CUT = {
    "shaft": ("pump", "shoe", "ankle", "knee"),
    "heel": ("flat", "wedge", "block", "stiletto"),
    "toe": ("round", "pointed", "square", "capped"),
    "fastening": ("none", "laces", "buckle", "zip", "velcro"),
    "sole": ("thin", "platform"),
}
PATTERNS = {"plain": 4, "stripes": 3, "checks": 2, "dots": 2, "florals": 1.5, "print": 2}
GRAIN = 1.5
_GROUND = 0.86
_LIFT = {"flat": 0.025, "wedge": 0.15, "block": 0.14, "stiletto": 0.21}
_RISE = {"pump": 0.17, "shoe": 0.27, "ankle": 0.48, "knee": 0.95}  # from the heel to the opening


def shapes(cut: Cut, pose: Pose) -> list[Shape]:
    """Draw a shoe whose toe points to the right."""
    thick = 0.035 if cut["sole"] == "thin" else 0.09
    ball = _GROUND - thick  # where the toes rest
    heel = ball - _LIFT[cut["heel"]]
    toe = cut["toe"]
    tip = 1.06 if toe == "pointed" else 0.95
    under = [
        tuple(p)
        for p in smooth([(0.07, heel), (0.28, heel + 0.015), (0.5, ball - 0.012), (0.62, ball), (tip - 0.03, ball)], 4)
    ]
    nose: list[Dot] = {
        "pointed": [(tip, ball - 0.012), (0.86, ball - 0.09)],
        "square": [(tip, ball), (tip, ball - 0.11), (0.86, ball - 0.135)],
    }.get(toe, [(tip, ball - 0.05), (0.93, ball - 0.1), (0.85, ball - 0.13)])
    opening, throat = _opening(cut["shaft"], heel, ball)
    drawn = [_heel(cut["heel"], heel, ball, under)]
    drawn.append(Shape(line(*under, *((x, y + thick) for x, y in under[::-1])), "sole"))
    drawn.append(Shape(line(*under, *map(tuple, smooth(nose, 4)), *map(tuple, smooth(opening, 4)))))
    if toe == "capped":
        cap = smooth(
            [
                (0.78, ball),
                (0.76, ball - 0.08),
                (0.79, ball - 0.15),
                (0.86, ball - 0.125),
                (0.93, ball - 0.1),
                (tip, ball - 0.05),
                (tip - 0.03, ball),
            ],
            3,
        )
        drawn.append(Shape(cap, "accent"))
    drawn += (
        _pump_fastening(cut["fastening"], heel, ball) if cut["shaft"] == "pump" else _fastening(cut, throat, heel, ball)
    )
    place = {"pump": (0.83, ball - 0.07), "shoe": (0.27, heel - 0.13)}.get(cut["shaft"], (0.26, heel - 0.27))
    size = 0.055 if cut["shaft"] == "pump" else 0.1
    drawn.append(Shape(line(place, (place[0] + size, place[1])), "accent", emblem=True))
    return drawn


def _opening(shaft: str, heel: float, ball: float) -> tuple[list[Dot], Dot]:
    # From the vamp over the opening to the back of the heel; and where the fastening begins.
    top = heel - _RISE[shaft]
    back: list[Dot] = [(0.05, heel - 0.08)]
    if shaft == "pump":
        return [
            (0.7, ball - 0.185),
            (0.63, ball - 0.17),
            (0.42, heel - 0.075),
            (0.22, heel - 0.1),
            (0.08, top),
            *back,
        ], (0.6, ball - 0.16)
    vamp = [(0.7, ball - 0.2)]
    if shaft == "shoe":
        return [*vamp, (0.49, top + 0.035), (0.43, top - 0.005), (0.34, top + 0.025), (0.09, top + 0.03), *back], (
            0.47,
            top + 0.03,
        )
    calf = 0.46 if shaft == "knee" else 0.42
    return [
        *vamp,
        (0.49, heel - 0.24),
        (0.41, heel - 0.36),
        (calf, top),
        (0.04 if shaft == "knee" else 0.07, top),
        (0.08, heel - 0.3),
        *back,
    ], (0.43, max(top, heel - 0.6) + 0.08)


def _heel(kind: str, heel: float, ball: float, under: list[Dot]) -> Shape:
    if kind == "wedge":
        front = [(x, y) for x, y in under if x < 0.64]
        return Shape(line(*front, (0.64, _GROUND), (0.08, _GROUND)), "sole")
    if kind == "stiletto":
        return Shape(line((0.07, heel), (0.22, heel + 0.02), (0.13, _GROUND), (0.09, _GROUND)), "sole")
    return Shape(line((0.07, heel), (0.3, heel + 0.012), (0.27, _GROUND), (0.075, _GROUND)), "sole")


def _fastening(cut: Cut, throat: Dot, heel: float, ball: float) -> list[Shape]:
    kind, end = cut["fastening"], (0.64, ball - 0.21)
    spots = [
        (throat[0] + (end[0] - throat[0]) * t, throat[1] + (end[1] - throat[1]) * t) for t in (0.0, 0.33, 0.66, 1.0)
    ]
    if cut["shaft"] != "shoe":  # the front of a boot bends inwards between shaft and foot
        spots = [(x - 0.035 * (i in (1, 2)), y) for i, (x, y) in enumerate(spots)]
    if kind == "laces":
        return [Shape(line((x - 0.1, y + 0.0), (x - 0.01, y + 0.035)), "light", stroke=0.024) for x, y in spots]
    if kind == "zip":
        return [Shape(line((0.19, heel - _RISE[cut["shaft"]] + 0.03), (0.21, heel - 0.05)), "metal", stroke=0.024)]
    if kind == "velcro":
        return [
            Shape(line((x - 0.16, y + 0.035), (x - 0.012, y + 0.035)), "accent", stroke=0.055)
            for x, y in (spots[0], spots[2])
        ]
    if kind == "buckle":
        x, y = spots[1]
        strap = Shape(line((0.08, y - 0.01), (x - 0.01, y + 0.03)), "accent", stroke=0.045)
        return [
            strap,
            Shape(
                line((x - 0.12, y - 0.02), (x - 0.05, y - 0.015), (x - 0.05, y + 0.06), (x - 0.12, y + 0.055)), "metal"
            ),
        ]
    return []


def _pump_fastening(kind: str, heel: float, ball: float) -> list[Shape]:
    x, y = 0.67, ball - 0.15
    if kind == "laces":  # a bow on the vamp
        bow = [Shape(line((x, y), (x + d, y - 0.055), (x + d, y + 0.045)), "accent") for d in (-0.085, 0.085)]
        return [*bow, disc(x, y, 0.022, "dark")]
    if kind == "zip":
        return [Shape(line((0.1, heel - 0.12), (0.11, heel - 0.02)), "metal", stroke=0.03)]
    if kind == "velcro":  # a strap across the instep
        return [Shape(smooth([(0.33, heel - 0.06), (0.4, heel - 0.15), (0.47, heel - 0.06)]), "accent", stroke=0.04)]
    if kind == "buckle":
        return [
            Shape(
                line((x - 0.05, y - 0.035), (x + 0.05, y - 0.02), (x + 0.05, y + 0.045), (x - 0.05, y + 0.035)), "metal"
            )
        ]
    return []
