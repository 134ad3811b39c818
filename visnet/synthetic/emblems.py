"""Prints: numerals, letters and simple emblems as strokes and outlines, so that no font file is needed."""

import math

import numpy as np

from visnet.synthetic.shapes import Points, line, oval

# Strokes on a grid two wide and four high, y down.
_STROKES: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "0": (((0, 0), (2, 0), (2, 4), (0, 4), (0, 0)),),
    "1": (((0.3, 0.8), (1.2, 0), (1.2, 4)),),
    "2": (((0, 0.6), (1, 0), (2, 0.8), (2, 1.6), (0, 4), (2, 4)),),
    "3": (((0, 0), (2, 0), (1, 1.7), (2, 2.6), (1.6, 4), (0, 4)),),
    "4": (((1.5, 4), (1.5, 0), (0, 2.7), (2.1, 2.7)),),
    "5": (((2, 0), (0, 0), (0, 1.7), (1.6, 1.7), (2, 2.8), (1.6, 4), (0, 4)),),
    "7": (((0, 0), (2, 0), (0.7, 4)),),
    "8": (((1, 1.9), (0, 1), (1, 0), (2, 1), (1, 1.9), (0, 3), (1, 4), (2, 3), (1, 1.9)),),
    "A": (((0, 4), (1, 0), (2, 4)), ((0.4, 2.7), (1.6, 2.7))),
    "E": (((2, 0), (0, 0), (0, 4), (2, 4)), ((0, 2), (1.5, 2))),
    "K": (((0, 0), (0, 4)), ((2, 0), (0, 2.2), (2, 4))),
    "M": (((0, 4), (0, 0), (1, 2), (2, 0), (2, 4)),),
    "R": (((0, 4), (0, 0), (1.7, 0), (2, 1), (1.7, 2), (0, 2), (2, 4)),),
    "X": (((0, 0), (2, 4)), ((2, 0), (0, 4))),
    "Z": (((0, 0), (2, 0), (0, 4), (2, 4)),),
}
WORDS = ("07", "23", "48", "51", "88", "A1", "K", "MK", "ZE", "XR")
FIGURES = ("star", "heart", "bolt", "moon", "ring", "cross", "peak", "target")
EMBLEMS = (*WORDS, *FIGURES)


def outlines(emblem: str) -> list[tuple[Points, float]]:
    """Return the emblem in a frame from -1 to 1 as pairs (points [N, 2], stroke width; 0 = filled)."""
    if emblem in WORDS:
        drawn = []
        for i, letter in enumerate(emblem):
            x = (i - len(emblem) / 2) * 1.1 + 0.15
            for stroke in _STROKES[letter]:
                drawn.append((np.array(stroke, dtype=np.float64) * [0.4, 0.4] + [x, -0.8], 0.26))
        return drawn
    return _figure(emblem)


def _star(points: int, inner: float) -> Points:
    turns = [math.pi * i / points - math.pi / 2 for i in range(2 * points)]
    return line(*((math.cos(t) * r, math.sin(t) * r) for i, t in enumerate(turns) for r in [inner if i % 2 else 1.0]))


def _figure(name: str) -> list[tuple[Points, float]]:
    if name == "star":
        return [(_star(5, 0.42), 0.0)]
    if name == "heart":
        t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        return [(np.stack([16 * np.sin(t) ** 3, -y], axis=1) / 16.5, 0.0)]
    if name == "bolt":
        return [(line((0.2, -1), (-0.6, 0.15), (-0.05, 0.15), (-0.25, 1), (0.65, -0.25), (0.1, -0.25)), 0.0)]
    if name == "moon":
        t = np.linspace(-2.2, 2.2, 20)
        outer = np.stack([-np.cos(t), np.sin(t)], axis=1) * 0.95
        inner = np.stack([0.35 - np.cos(t[::-1]) * 0.62, np.sin(t[::-1]) * 0.78], axis=1)
        return [(np.concatenate([outer, inner]), 0.0)]
    if name == "ring":
        circle = oval(0, 0, 0.75, 0.75)
        return [(np.concatenate([circle, circle[:2]]), 0.34)]
    if name == "cross":
        return [(line((-0.85, 0), (0.85, 0)), 0.5), (line((0, -0.85), (0, 0.85)), 0.5)]
    if name == "peak":
        return [(line((-1, 0.7), (-0.35, -0.6), (0, 0), (0.35, -0.9), (1, 0.7)), 0.0)]
    if name == "target":
        circle = oval(0, 0, 0.85, 0.85)
        return [(np.concatenate([circle, circle[:2]]), 0.2), (oval(0, 0, 0.4, 0.4), 0.0)]
    raise ValueError(f"no emblem is called {name!r}; there are {', '.join(EMBLEMS)}")
