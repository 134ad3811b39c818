"""The faults that make a photo mislead a search, each with what plants it in a good photo.

A product seen from behind misleads, too; it is no fault here, since no photo of its front tells what its back is like,
and one that was planted would be made up.
"""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from visnet.quality import blanks, layouts, optics, overlays

Photos = Sequence[Image.Image]
Planted = Callable[[Photos, np.random.Generator], Image.Image | None]


def _alone(plant: Callable[[Image.Image, np.random.Generator], Image.Image]) -> Planted:
    return lambda photos, rng: plant(photos[0], rng)


# The first of the photos is made faulty; others, of any product, may stand beside it. None where it cannot be done.
FAULTS: dict[str, Planted] = {
    "close_up": _alone(optics.close_up),
    "blurred": _alone(optics.blurred),
    "watermarked": _alone(overlays.watermarked),
    "promotional": _alone(overlays.promotional),
    "text_only": _alone(blanks.text_only),
    "collage": layouts.collage,
    "placeholder": _alone(blanks.placeholder),
    "several": layouts.several,
}
REASONS = {
    "close_up": "a close-up: the product as a whole is not seen",
    "blurred": "blurred",
    "watermarked": "a watermark lies over it",
    "promotional": "an offer or a badge lies over it",
    "text_only": "words instead of a product",
    "collage": "a collage of several photos",
    "placeholder": "a placeholder instead of a photo",
    "several": "several products in one photo",
}
OTHERS = 8  # photos of other products that a fault may want
