"""The body that worn things are cut for, and the parts they share: necks, sleeves and legs."""

import math

import numpy as np

from visnet.synthetic.shapes import Dot, Points, Pose, Shape, flipped, line, smooth, symmetric

SHOULDER_Y, CHEST_Y, WAIST_Y, HIP_Y, CROTCH_Y, KNEE_Y, ANKLE_Y = 0.13, 0.3, 0.42, 0.55, 0.63, 0.95, 1.28
SHOULDER, CHEST, WAIST, HIP = 0.165, 0.145, 0.118, 0.15  # half widths
SIDES = (-1, 1)  # left and right in the picture
_ARM, _FOREARM = 0.27, 0.25

NECK_DEPTH = {"crew": 0.035, "vee": 0.15, "boat": 0.012, "scoop": 0.1}
NECK_WIDTH = {"crew": 0.062, "vee": 0.065, "boat": 0.115, "scoop": 0.085}


def arm(side: int, pose: Pose, reach: float = 1.0) -> list[Dot]:
    """Return shoulder, elbow and wrist; `reach` below 1 ends the arm earlier, counted over its whole length."""
    swing = math.radians(pose.arms_deg[0 if side < 0 else 1])
    bend = swing - math.radians(pose.bend_deg)
    dots = [(0.5 + side * (SHOULDER - 0.035), SHOULDER_Y + 0.035)]
    left = reach * (_ARM + _FOREARM)
    for length, angle in ((_ARM, swing), (_FOREARM, bend)):
        step = min(length, left)
        left -= step
        if step > 0:
            x, y = dots[-1]
            dots.append((x + side * step * math.sin(angle), y + step * math.cos(angle)))
    return dots


def limb(dots: list[Dot], start: float, end: float) -> Points:
    """Widen a path to an outline whose half width runs from `start` to `end`."""
    path = np.array(dots)
    ahead = np.gradient(path, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    across = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1) * np.linspace(start, end, len(path))[:, None]
    return np.concatenate([path + across, (path - across)[::-1]])


def sleeves(pose: Pose, reach: float, start: float, end: float, *, cuff: float = 0.0) -> list[Shape]:
    """Cut both sleeves; the cloth turns with the arm. `cuff` > 0 adds a band of that width in the accent colour."""
    cut = []
    for side in SIDES:
        dots = arm(side, pose, reach)
        turn = math.degrees(math.atan2(dots[-1][0] - dots[0][0], dots[-1][1] - dots[0][1]))
        cut.append(Shape(limb(dots, start, end), turn_deg=turn))
        if cuff:
            (x0, y0), (x1, y1) = dots[-2:]
            length = math.hypot(x1 - x0, y1 - y0)
            back = (x1 - (x1 - x0) * cuff / length, y1 - (y1 - y0) * cuff / length)
            cut.append(Shape(limb([back, dots[-1]], end * 1.06, end * 1.06), "accent"))
    return cut


def neckline(neck: str) -> Points:
    """Return the right half of a neck opening, from its lowest point to the shoulder."""
    depth, width = NECK_DEPTH[neck], NECK_WIDTH[neck]
    top = SHOULDER_Y - 0.045 + width * 0.22
    if neck == "vee":
        return line((0.5, top + depth), (0.5 + width, top))
    return smooth([(0.5, top + depth), (0.5 + width * 0.6, top + depth * 0.72), (0.5 + width, top)])


def trunk(neck: str, sides: list[Dot]) -> Points:
    """Return an outline from the neck over the shoulders down `sides` (right-hand dots, top to hem)."""
    return symmetric(np.concatenate([neckline(neck), smooth(sides, 4)]))


def neck_trim(neck: str, paint: str = "accent", width: float = 0.014) -> Shape:
    """Bind the neck opening with a band."""
    half = neckline(neck)
    return Shape(np.concatenate([flipped(half), half]), paint, stroke=width)


def leg(side: int, top: Dot, bottom_y: float, stride: float) -> list[Dot]:
    """Return the middle line of a leg from `top` (x counted from the axis) to `bottom_y`."""
    x, y = top
    fall = bottom_y - y
    return [
        (0.5 + side * x, y),
        (0.5 + side * (x + stride * 0.45), y + fall * 0.5),
        (0.5 + side * (x + stride), bottom_y),
    ]


def band(x: float, half: float, top: float, bottom: float, paint: str = "accent") -> Shape:
    """Return an upright rectangle around `x`."""
    return Shape(line((x - half, top), (x + half, top), (x + half, bottom), (x - half, bottom)), paint)


def disc(x: float, y: float, radius: float, paint: str) -> Shape:
    """Return a small button."""
    turns = [i * math.pi / 4 for i in range(8)]
    return Shape(line(*((x + radius * math.cos(t), y + radius * math.sin(t)) for t in turns)), paint)
