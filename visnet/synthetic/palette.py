"""The colours of the shop, by name."""

from collections.abc import Collection

import numpy as np

from visnet.synthetic.seeds import pick

RGB = tuple[int, int, int]

# Few on purpose: several products of each category share a colour, so colour alone cannot tell them apart.
COLOURS: dict[str, RGB] = {
    "black": (40, 38, 42),
    "white": (238, 236, 230),
    "grey": (142, 144, 148),
    "navy": (36, 48, 92),
    "blue": (78, 128, 192),
    "red": (188, 44, 50),
    "green": (64, 122, 78),
    "yellow": (226, 186, 70),
    "pink": (224, 146, 168),
    "brown": (116, 76, 50),
    "beige": (208, 186, 154),
}
# Which colours stand out against one another; without this, navy dots on black would be a product nobody can see.
_DARK = ("black", "navy", "brown")
_LIGHT = ("white", "beige", "yellow", "pink")

SKIN: tuple[RGB, ...] = ((236, 200, 176), (214, 168, 136), (176, 126, 92), (128, 86, 62), (92, 62, 46))
HAIR: tuple[RGB, ...] = ((38, 30, 28), (84, 56, 38), (150, 106, 60), (206, 170, 112), (120, 118, 116))


def colourway(rng: np.random.Generator, but: Collection[str] = ()) -> tuple[str, str]:
    """Draw a main colour, none of `but`, and an accent that stands out against it."""
    main = pick(rng, [name for name in COLOURS if name not in but])
    if main in _DARK:
        others = [*_LIGHT, "red" if main != "brown" else "grey"]
    elif main in _LIGHT:
        others = [*_DARK, "red", "green", "blue"]
    else:
        others = ["white", "black", "navy" if main in ("red", "grey") else "beige"]
    return main, pick(rng, others)


def shaded(colour: RGB, factor: float) -> RGB:
    """Darken (below 1) or lighten (above 1) a colour."""
    if factor <= 1:
        red, green, blue = (round(c * factor) for c in colour)
    else:
        red, green, blue = (round(255 - (255 - c) / factor) for c in colour)
    return red, green, blue


def any_colour(rng: np.random.Generator) -> RGB:
    """Draw any colour at all, for what stands around the garment; most of the world is less bright than clothes are."""
    if rng.random() < 0.4:
        return shaded(COLOURS[pick(rng, list(COLOURS))], float(rng.uniform(0.75, 1.3)))
    grey, colour, share = rng.uniform(60, 225), rng.integers(30, 230, 3), rng.uniform(0.15, 0.7)
    red, green, blue = (round(float(grey + (c - grey) * share)) for c in colour)
    return red, green, blue
