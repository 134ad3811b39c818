"""Products on a plain background: which pixels are theirs."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

_BORDER_PX = 2
_DIFFERENT = 36.0  # Euclidean, of RGB in 0..255
_PLAIN_MIN = 0.8  # share of a border that is of its own median colour
_SHARES = (0.02, 0.9)  # of the photo that a product covers


def product_mask(picture: Image.Image) -> NDArray[np.bool_] | None:
    """Find the product in a photo with a plain background, bool [H, W]; None where the border has no colour of its own.

    What differs from the border's median colour is the product: the largest connected piece, its holes filled.
    """
    pixels = np.asarray(picture.convert("RGB"), np.float32)
    edges = [pixels[:_BORDER_PX], pixels[-_BORDER_PX:], pixels[:, :_BORDER_PX], pixels[:, -_BORDER_PX:]]
    border = np.concatenate([edge.reshape(-1, 3) for edge in edges])
    colour = np.median(border, axis=0)
    if (np.linalg.norm(border - colour, axis=1) < _DIFFERENT).mean() < _PLAIN_MIN:
        return None
    pieces, count = ndimage.label(np.linalg.norm(pixels - colour, axis=2) >= _DIFFERENT)
    if not count:
        return None
    largest = pieces == 1 + int(np.argmax(ndimage.sum_labels(pieces > 0, pieces, range(1, count + 1))))
    mask: NDArray[np.bool_] = ndimage.binary_fill_holes(largest)
    return mask if _SHARES[0] <= mask.mean() <= _SHARES[1] else None


def cutout(picture: Image.Image) -> Image.Image | None:
    """Cut a product out of a photo with a plain background, RGBA, tight; None where `product_mask` finds none."""
    mask = product_mask(picture)
    if mask is None:
        return None
    whole = picture.convert("RGB")
    whole.putalpha(Image.fromarray(mask.astype(np.uint8) * 255))
    return whole.crop(whole.getchannel("A").getbbox())
