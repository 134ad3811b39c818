"""Any of Pillow's pictures as 8-bit RGB, a strip at a time: the whole is held twice at most."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Modes deeper than 8 bits -> the values that may stand for white. The lowest one that holds the photo's brightest
# pixel is taken, so photos of 8 or 12 bits kept in 16, and float photos in 0..1 or 0..255, come out as they look.
DEEP = (255, 4095, 65535)
WHITES = {"I;16": DEEP, "I;16B": DEEP, "I;16L": DEEP, "I;16N": DEEP, "I": DEEP, "F": (1, 255)}
STRIP_PIXELS = 1 << 20


def rgb(image: Image.Image) -> Image.Image:
    """Return a loaded picture as RGB, transparency laid on white, without its file and decoder."""
    if image.mode in WHITES:
        return _eight_bits(image)
    if not image.has_transparency_data:
        return image._new(image.im) if image.mode == "RGB" else image.convert("RGB")
    opaque = _is_clear_by_mistake(image)
    whole = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        layer = strip.convert("RGBA")
        if not opaque:
            white = Image.new("RGBA", layer.size, "white")
            white.alpha_composite(layer)
            layer = white
        whole.paste(layer.convert("RGB"), (0, top))
    return whole


def colours_of_sixteen_bits(upper: Image.Image, lower: Image.Image) -> Image.Image:
    """Put colours of 16 bits together from their bytes, each a picture RGB or RGBA, and scale them by their range."""
    brightest = [0.0, 0.0]  # of the colours, and of the transparency
    for _, values in _joined(upper, lower):
        parts = values[..., :3], values[..., 3:]
        brightest = [max(most, float(part.max(initial=0))) for most, part in zip(brightest, parts, strict=True)]
    white = np.array([_white(DEEP, brightest[0])] * 3 + [_white(DEEP, brightest[1])], np.float32)
    whole = Image.new(upper.mode, upper.size)
    for top, values in _joined(upper, lower):
        whole.paste(Image.fromarray(_scaled(values, white[: values.shape[2]])), (0, top))
    return whole


def _joined(upper: Image.Image, lower: Image.Image) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for (top, high), (_, low) in zip(_strips(upper), _strips(lower), strict=True):
        yield top, np.asarray(high).astype(np.float32) * 256 + np.asarray(low)


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _is_clear_by_mistake(image: Image.Image) -> bool:
    """Whether all is see-through although there are colours: a program has left the transparency empty."""
    darkest, brightest = np.full(3, 255, np.uint8), np.zeros(3, np.uint8)
    for _, strip in _strips(image):
        pixels = np.asarray(strip.convert("RGBA"))
        if pixels[..., 3].any():
            return False
        darkest = np.minimum(darkest, pixels[..., :3].min((0, 1)))
        brightest = np.maximum(brightest, pixels[..., :3].max((0, 1)))
    return bool((darkest != brightest).any())


def _eight_bits(image: Image.Image) -> Image.Image:
    brightest = max(float(_values(strip).max(initial=0.0)) for _, strip in _strips(image))
    white = _white(WHITES[image.mode], brightest)
    clear = image.info.get("transparency")  # a grey PNG may name one value that is see-through
    whole = Image.new("L", image.size)
    for top, strip in _strips(image):
        grey = _scaled(_values(strip), white)
        if clear is not None:
            grey[np.asarray(strip) == clear] = 255
        whole.paste(Image.fromarray(grey), (0, top))
    return whole.convert("RGB")


def _values(strip: Image.Image) -> NDArray[np.float32]:
    return np.nan_to_num(np.asarray(strip).astype(np.float32))


def _white(whites: tuple[int, ...], brightest: float) -> float:
    return next((top for top in whites if top >= brightest), brightest)


def _scaled(values: NDArray[np.float32], white: float | NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(values * (255.0 / white), 0, 255).round().astype(np.uint8)
