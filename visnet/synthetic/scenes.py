"""What each photo shows, decided before a pixel is painted: pose, camera and the garment's box."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visnet.synthetic.assortment import Product, Recipe, product
from visnet.synthetic.emblems import WORDS
from visnet.synthetic.garments import CATEGORIES
from visnet.synthetic.seeds import generator
from visnet.synthetic.shapes import Pose, Shape, bounds
from visnet.synthetic.view import Extent, View

_STREET = 1.5  # a street photo's longer side, against a shop photo's: the garment is only a part of it
_ASPECTS = ((1.0, 1.0), (0.75, 1.0), (0.8, 1.0), (1.0, 0.75))
Box = tuple[float, float, float, float]  # left, top, width, height


@dataclass(frozen=True)
class Scene:
    """All that is decided before a pixel is painted."""

    product: Product
    photo_id: str
    size: tuple[int, int]
    pose: Pose
    shapes: Sequence[Shape]
    view: View
    box: Box  # left, top, width, height of the garment, a little loose, inside the photo


def photo_id(product_id: str, side: str, number: int) -> str:
    """Name a photo: `dresses-0012-shop-2`."""
    return f"{product_id.replace('/', '-')}-{side}-{number}"


def scene(recipe: Recipe, name: str) -> Scene:
    """Decide what the photo of this id shows; `ValueError` for an id that the shop does not give."""
    parts = name.split("-")
    if (
        len(parts) != 4
        or parts[0] not in CATEGORIES
        or parts[2] not in ("shop", "street")
        or not (parts[1] + parts[3]).isdecimal()
    ):
        raise ValueError(f"photo_id {name!r} is none of the synthetic shop's; they look like dresses-0012-shop-2")
    shown = product(recipe, f"{parts[0]}/{parts[1]}")
    rng = generator("scene", recipe.seed, name)
    return _street(recipe, shown, name, rng) if parts[2] == "street" else _shop(recipe, shown, name, rng, int(parts[3]))


def _shop(recipe: Recipe, shown: Product, name: str, rng: np.random.Generator, number: int) -> Scene:
    side = recipe.side_px
    first = number == 1
    pose = Pose(
        arms_deg=two(rng, 16, 36),
        bend_deg=rng.uniform(-4, 10),
        stride=rng.uniform(0, 0.05),
        sway=rng.uniform(-0.02, 0.02),
    )
    shapes = CATEGORIES[shown.category].shapes(shown.look, pose)
    zoom = 1.0 if first or rng.random() > 0.22 else rng.uniform(1.25, 1.6)  # at times only a detail is shown
    slack = 0.03 + (zoom - 1) * 0.3
    view = View.of(
        shapes,
        scale_px=side * rng.uniform(0.78, 0.92) * zoom,
        at_px=(side * (0.5 + rng.uniform(-slack, slack)), side * (0.5 + rng.uniform(-slack, slack))),
        turn_deg=rng.uniform(-3, 3) if first else rng.uniform(-9, 9),
        tilt=(0.0, 0.0) if first else two(rng, -0.12, 0.12),
        squeeze=1.0 if first else rng.uniform(0.88, 1.06),
        mirrored=not first and _may_turn(shown) and rng.random() < 0.35,
    )
    return Scene(shown, name, (side, side), pose, shapes, view, (0.0, 0.0, float(side), float(side)))


def _street(recipe: Recipe, shown: Product, name: str, rng: np.random.Generator) -> Scene:
    long = round(recipe.side_px * _STREET)
    aspect = _ASPECTS[int(rng.integers(len(_ASPECTS)))]
    width, height = round(long * aspect[0]), round(long * aspect[1])
    pose = Pose(
        two(rng, 4, 52), rng.uniform(-12, 40), rng.uniform(-0.01, 0.13), rng.uniform(-0.1, 0.1), rng.random() < 0.75
    )
    shapes = CATEGORIES[shown.category].shapes(shown.look, pose)
    left, top, right, bottom = bounds(shapes)
    rel = max(right - left, bottom - top)
    room = min(width * rel / (right - left), height * rel / (bottom - top))
    scale = room * rng.uniform(0.5, 0.8)
    free = [
        max(0.0, 1 - scale * (b - a) / rel / n - 0.08) / 2 for a, b, n in ((left, right, width), (top, bottom, height))
    ]
    view = View.of(
        shapes,
        scale_px=scale,
        at_px=(width * (0.5 + rng.uniform(-free[0], free[0])), height * (0.5 + rng.uniform(-free[1], free[1]))),
        turn_deg=rng.uniform(-15, 15) if pose.worn else rng.uniform(-28, 28),
        tilt=two(rng, -0.22, 0.22),
        squeeze=rng.uniform(0.8, 1.1),
        mirrored=_may_turn(shown) and rng.random() < 0.4,
        wave=(rng.uniform(0.004, 0.02), *two(rng, 4, 9), *two(rng, 0, 6.28)),
    )
    return Scene(shown, name, (width, height), pose, shapes, view, _loose(rng, view.extent(shapes), width, height))


def two(rng: np.random.Generator, low: float, high: float) -> tuple[float, float]:
    """Draw two numbers between low and high."""
    return float(rng.uniform(low, high)), float(rng.uniform(low, high))


def _may_turn(shown: Product) -> bool:
    return shown.look.get("emblem") not in WORDS  # a mirrored "23" would be another product


def _loose(rng: np.random.Generator, extent: Extent, width: int, height: int) -> Box:
    margin = rng.uniform(0.01, 0.06, 4) * max(extent[2] - extent[0], extent[3] - extent[1])
    left, top = (round(max(0.0, extent[i] - margin[i]), 1) for i in (0, 1))
    right, bottom = (round(min(float(side), extent[i] + margin[i]), 1) for i, side in ((2, width), (3, height)))
    return left, top, round(right - left, 1), round(bottom - top, 1)
