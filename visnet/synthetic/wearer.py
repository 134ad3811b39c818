"""Who wears the garment in a street photo: a plain figure in other clothes, drawn in the garment's own frame."""

from dataclasses import dataclass

import numpy as np

from visnet.synthetic.garments import body
from visnet.synthetic.palette import HAIR, RGB, SKIN, any_colour, shaded
from visnet.synthetic.shapes import Cut, Pose, Shape, line, oval, smooth, symmetric

Part = tuple[Shape, RGB]


@dataclass(frozen=True)
class Tones:
    """The figure's colours."""

    skin: RGB
    hair: RGB
    upper: RGB
    lower: RGB
    shoes: RGB


def tones(rng: np.random.Generator) -> Tones:
    """Draw a figure's colours."""
    skin, hair = SKIN[int(rng.integers(len(SKIN)))], HAIR[int(rng.integers(len(HAIR)))]
    return Tones(skin, hair, any_colour(rng), any_colour(rng), any_colour(rng))


def behind(category: str, cut: Cut, pose: Pose, tone: Tones) -> list[Part]:
    """Return what stands behind the worn garment, from back to front."""
    if category in ("tops", "dresses", "outerwear", "skirts", "pants", "leggings"):
        return _figure(category, pose, tone)
    return {"belts": _waist, "hats": _head, "eyewear": _face, "bags": _hip, "footwear": _legs}[category](cut, tone)


def _figure(category: str, pose: Pose, tone: Tones) -> list[Part]:
    low = category in ("skirts", "pants", "leggings")
    parts: list[Part] = []
    legs = tone.lower if category in ("tops", "outerwear") else tone.skin
    for side in body.SIDES:
        path = body.leg(side, (0.072, body.HIP_Y), body.ANKLE_Y + 0.03, 0.014 + pose.stride * 0.78)
        parts.append((Shape(body.limb(path, 0.072, 0.034)), legs))
        x, y = path[-1]
        parts.append((Shape(oval(x + side * 0.02, y + 0.02, 0.06, 0.034)), tone.shoes))
    parts.append((Shape(symmetric(line((0.5, 0.4), (0.61, 0.4), (0.645, 0.55), (0.57, 0.66), (0.5, 0.65)))), legs))
    for side in (-1, 1):
        parts.append((Shape(body.limb(body.arm(side, pose), 0.044, 0.028)), tone.skin))
        x, y = body.arm(side, pose)[-1]
        parts.append((Shape(oval(x, y + 0.02, 0.034, 0.042)), tone.skin))
    parts.append((Shape(oval(0.5, -0.055, 0.112, 0.135)), tone.hair))
    parts.append((Shape(body.band(0.5, 0.05, 0.0, 0.16).points), tone.skin))
    parts.append((Shape(oval(0.5, -0.04, 0.084, 0.108)), tone.skin))
    parts.append(
        (
            Shape(
                smooth(
                    [(0.415, -0.06), (0.45, -0.13), (0.55, -0.13), (0.585, -0.06), (0.52, -0.105), (0.45, -0.1)],
                    4,
                    closed=True,
                )
            ),
            tone.hair,
        )
    )
    chest = symmetric(line((0.5, 0.12), (0.56, 0.09), (0.655, 0.13), (0.64, 0.3), (0.615, 0.43), (0.5, 0.45)))
    parts.append((Shape(chest), tone.upper if low or category == "outerwear" else tone.skin))
    if low:
        for sleeve in body.sleeves(pose, 0.5, 0.058, 0.046):
            parts.append((sleeve, tone.upper))
    return parts


def _waist(cut: Cut, tone: Tones) -> list[Part]:
    upper = symmetric(smooth([(0.5, -0.9), (0.95, -0.8), (0.93, -0.2), (0.97, 0.5), (0.95, 0.62), (0.5, 0.7)], 4))
    lower = symmetric(line((0.5, 0.55), (0.97, 0.46), (1.1, 1.0), (1.12, 2.0), (0.56, 2.0), (0.52, 1.2), (0.5, 1.15)))
    loops = [(Shape(line((x, 0.36), (x, 0.8)), stroke=0.04), shaded(tone.lower, 0.75)) for x in (0.24, 0.76)]
    return [(Shape(lower), tone.lower), (Shape(upper), tone.upper), *loops]


def _head(cut: Cut, tone: Tones) -> list[Part]:
    return [
        (Shape(symmetric(smooth([(0.5, 1.25), (0.7, 1.3), (1.15, 1.5), (1.25, 2.2), (0.5, 2.2)], 4))), tone.upper),
        (Shape(oval(0.5, 0.85, 0.32, 0.42)), tone.hair),
        (Shape(body.band(0.5, 0.13, 1.0, 1.42).points), shaded(tone.skin, 0.9)),
        *_features(0.5, 0.86, 0.26, 0.36, tone),
    ]


def _face(cut: Cut, tone: Tones) -> list[Part]:
    return [
        (Shape(oval(0.5, 0.42, 0.6, 0.82)), tone.hair),
        (Shape(body.band(0.5, 0.25, 0.9, 1.6).points), shaded(tone.skin, 0.9)),
        *_features(0.5, 0.56, 0.48, 0.66, tone),
        (
            Shape(
                smooth(
                    [
                        (0.04, 0.4),
                        (0.16, -0.05),
                        (0.5, -0.2),
                        (0.84, -0.05),
                        (0.96, 0.4),
                        (0.78, 0.1),
                        (0.5, 0.06),
                        (0.22, 0.12),
                    ],
                    4,
                    closed=True,
                )
            ),
            tone.hair,
        ),
    ]


def _features(x: float, y: float, rx: float, ry: float, tone: Tones) -> list[Part]:
    dark = shaded(tone.skin, 0.55)
    parts: list[Part] = [(Shape(oval(x, y, rx, ry)), tone.skin)]
    for side in (-1, 1):
        parts.append((Shape(oval(x + side * rx * 0.45, y - ry * 0.06, rx * 0.1, ry * 0.045)), (40, 34, 32)))
    parts.append(
        (Shape(line((x, y), (x + rx * 0.1, y + ry * 0.22), (x - rx * 0.04, y + ry * 0.25)), stroke=rx * 0.05), dark)
    )
    parts.append((Shape(oval(x, y + ry * 0.52, rx * 0.26, ry * 0.05)), (164, 72, 70)))
    return parts


def _hip(cut: Cut, tone: Tones) -> list[Part]:
    return [
        (Shape(line((0.62, -1.2), (1.6, -1.2), (1.5, 0.4), (1.6, 2.0), (0.75, 2.0), (0.72, 0.4))), tone.upper),
        (
            Shape(line((0.3, -1.1), (0.62, -1.15), (0.64, -0.4), (0.6, 0.2), (0.42, 0.2), (0.36, -0.4))),
            shaded(tone.upper, 0.85),
        ),
        (Shape(oval(0.5, 0.24, 0.11, 0.1)), tone.skin),
    ]


def _legs(cut: Cut, tone: Tones) -> list[Part]:
    return [
        (Shape(oval(0.05, 0.72, 0.42, 0.12)), tone.shoes),
        (Shape(line((-0.25, 0.66), (-0.28, -1.4), (0.12, -1.4), (0.05, 0.66))), shaded(tone.lower, 0.8)),
        (
            Shape(line((0.14, 0.7), (0.08, 0.2), (0.02, -1.4), (0.56, -1.4), (0.46, 0.2), (0.46, 0.72))),
            tone.lower if cut["shaft"] != "pump" else tone.skin,
        ),
    ]
