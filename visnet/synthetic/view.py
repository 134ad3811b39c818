"""Where the camera stands: the way from a garment's frame to the pixels of a photo, and back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from visnet.synthetic.raster import Picture
from visnet.synthetic.shapes import Points, Shape, bounds

Extent = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class View:
    """A turn, a tilt, a wave through the cloth, a scale and a place.

    middle, long: centre and longer side of the garment in its own frame. scale_px: pixels that the longer side gets.
    at_px: where the centre comes to lie. turn_deg: clockwise. tilt: perspective, 0 = straight on. squeeze: width over
    height against the original. wave: amplitude (share of the longer side), two frequencies, two phases.
    """

    middle: tuple[float, float]
    long: float
    scale_px: float
    at_px: tuple[float, float]
    turn_deg: float = 0.0
    tilt: tuple[float, float] = (0.0, 0.0)
    squeeze: float = 1.0
    mirrored: bool = False
    wave: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)

    @classmethod
    def of(cls, shapes: Sequence[Shape], scale_px: float, at_px: tuple[float, float], **others: Any) -> "View":
        """Look at the middle of these shapes."""
        left, top, right, bottom = bounds(shapes)
        return cls(((left + right) / 2, (top + bottom) / 2), max(right - left, bottom - top), scale_px, at_px, **others)

    def forward(self, points: Points) -> Points:
        """Map points of the garment's frame to pixels of the photo: [N, 2] -> [N, 2]."""
        q = (points - self.middle) / self.long * (-self.squeeze if self.mirrored else self.squeeze, 1.0)
        c, s = math.cos(math.radians(self.turn_deg)), math.sin(math.radians(self.turn_deg))
        q = q @ np.array([[c, s], [-s, c]])
        flat: Points = q / np.maximum(1 + q @ np.array(self.tilt), 0.3)[:, None]
        still = flat
        for _ in range(3):  # the wave is given on the way back; a few rounds undo it to well under a pixel
            still = flat - self._wave(still)
        pixels: Points = still * self.scale_px + self.at_px
        return pixels

    def inverse(self, pixels: Points) -> Points:
        """Map pixels of the photo back to the garment's frame: [N, 2] -> [N, 2]."""
        r = (pixels - self.at_px) / self.scale_px
        r = r + self._wave(r)
        q = r / np.maximum(1 - r @ np.array(self.tilt), 0.3)[:, None]
        c, s = math.cos(math.radians(self.turn_deg)), math.sin(math.radians(self.turn_deg))
        q = q @ np.array([[c, -s], [s, c]])
        points: Points = q / (-self.squeeze if self.mirrored else self.squeeze, 1.0) * self.long + self.middle
        return points

    def _wave(self, r: Points) -> Points:
        size, fx, fy, px, py = self.wave
        return size * np.stack([np.sin(fx * r[:, 1] + px), np.sin(fy * r[:, 0] + py)], axis=1)

    def extent(self, shapes: Sequence[Shape]) -> Extent:
        """Return left, top, right, bottom of the shapes, in pixels of the photo."""
        corners = [
            s.points + s.stroke / 2 * np.array(d)
            for s in shapes
            if not s.emblem
            for d in ([(1, 1), (-1, -1), (1, -1), (-1, 1)] if s.stroke else [(0, 0)])
        ]
        points = self.forward(np.concatenate(corners))
        low, high = points.min(0), points.max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def projected(
    picture: Picture, view: View, extent: Extent, size: tuple[int, int], cells: int = 6
) -> tuple[Image.Image, tuple[int, int]] | None:
    """Return the picture as the photo of this size shows it, RGBA, and its corner; None when it lies outside."""
    left, top = max(0, math.floor(extent[0]) - 2), max(0, math.floor(extent[1]) - 2)
    right, bottom = min(size[0], math.ceil(extent[2]) + 2), min(size[1], math.ceil(extent[3]) + 2)
    if right <= left or bottom <= top:
        return None
    xs = np.unique(np.linspace(left, right, cells + 1).round().astype(int))
    ys = np.unique(np.linspace(top, bottom, cells + 1).round().astype(int))
    knots = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(np.float64)
    source = ((view.inverse(knots) - (picture.left, picture.top)) * picture.unit_px).reshape(len(ys), len(xs), 2)
    mesh = []
    for j in range(len(ys) - 1):
        for i in range(len(xs) - 1):
            box = (int(xs[i] - left), int(ys[j] - top), int(xs[i + 1] - left), int(ys[j + 1] - top))
            quad = (*source[j, i], *source[j + 1, i], *source[j + 1, i + 1], *source[j, i + 1])
            mesh.append((box, tuple(float(v) for v in quad)))
    image = picture.image.transform((right - left, bottom - top), Image.Transform.MESH, mesh, Image.Resampling.BICUBIC)
    return image, (left, top)
