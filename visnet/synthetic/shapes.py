"""What a garment is drawn from: filled outlines and strokes, in the garment's own frame.

Worn things share one body frame (x to the right with the body's axis at 0.5, y down, shoulders at 0.13, waist at 0.42,
ankles at 1.28); bags, shoes, hats and glasses have frames of their own, about one unit wide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float64]  # [N, 2]
Cut: TypeAlias = Mapping[str, str]
Dot: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """One outline and what fills it.

    points: [N, 2] in the garment's frame. paint: "cloth", or a name that `raster.paints` knows. turn_deg: how far the
    cloth's pattern is turned. stroke: 0 = filled; else the points are an open line of this width. emblem: the points
    are the middle and the right end of the place where a print goes.
    """

    points: Points
    paint: str = "cloth"
    turn_deg: float = 0.0
    stroke: float = 0.0
    emblem: bool = False


@dataclass(frozen=True)
class Pose:
    """How the garment is held.

    arms_deg, bend_deg: left and right arm from the body, and both elbows. stride: how far apart the ankles are. sway:
    how far the hem swings. worn: whether somebody is inside.
    """

    arms_deg: tuple[float, float] = (24.0, 24.0)
    bend_deg: float = 4.0
    stride: float = 0.0
    sway: float = 0.0
    worn: bool = False


def line(*dots: Dot) -> Points:
    """Return the points as an array, [N, 2]."""
    return np.array(dots, dtype=np.float64)


def smooth(dots: Sequence[Dot] | Points, steps: int = 6, *, closed: bool = False) -> Points:
    """Run a Catmull-Rom curve through the points: [N, 2] -> about [N · steps, 2]."""
    p = np.asarray(dots, dtype=np.float64)
    padded = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    a, b, c, d = padded[:-3, None], padded[1:-2, None], padded[2:-1, None], padded[3:, None]
    t = (np.arange(steps) / steps)[None, :, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    flat = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, p[-1:]])


def flipped(points: Points) -> Points:
    """Mirror points on the body's axis, in reverse order, so that an outline stays an outline."""
    return np.stack([1.0 - points[::-1, 0], points[::-1, 1]], axis=1)


def symmetric(half: Points) -> Points:
    """Close the right half of an outline (top to bottom) with its mirror image."""
    return np.concatenate([half, flipped(half)])


def oval(x: float, y: float, rx: float, ry: float, corners: int = 28, power: float = 1.0) -> Points:
    """Return an ellipse; a `power` below 1 makes it boxier, down to a rounded rectangle."""
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack(
        [x + rx * np.sign(cos) * np.abs(cos) ** power, y + ry * np.sign(sin) * np.abs(sin) ** power], axis=1
    )


def swayed(shapes: Sequence[Shape], sway: float, top: float, bottom: float) -> list[Shape]:
    """Push what lies below `top` aside, by `sway` at `bottom`."""
    if sway == 0:
        return list(shapes)
    moved = []
    for shape in shapes:
        points = shape.points.copy()
        points[:, 0] += sway * np.clip((points[:, 1] - top) / (bottom - top), 0, None) ** 1.5
        moved.append(replace(shape, points=points))
    return moved


def bounds(shapes: Sequence[Shape]) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom of all shapes, strokes with half their width."""
    low = np.min([s.points.min(0) - s.stroke / 2 for s in shapes if not s.emblem], axis=0)
    high = np.max([s.points.max(0) + s.stroke / 2 for s in shapes if not s.emblem], axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
