"""Pixels: bytes to upright RGB pictures and back, whatever the web calls a photo."""

import functools
import io
import math
import threading

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Raster formats that a shop or a phone writes. Pillow knows more; some of those run other programs (EPS) or have no
# business in a catalog, so bytes that only they would accept are "not an image".
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "MPO", "AVIF", "BMP", "TIFF", "JPEG2000")
MAX_PIXELS = 64_000_000

_ORIENTATION = 0x0112  # EXIF: how the camera was held -> what sets the photo upright
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Modes deeper than 8 bits -> the values that may stand for white. The lowest one that holds the photo's brightest
# pixel is taken, so a float photo in 0..1 and one in 0..255 both come out as they look.
_WHITES = {"I;16": (65535,), "I;16B": (65535,), "I;16L": (65535,), "I;16N": (65535,), "I": (255, 65535), "F": (1, 255)}
_opening = threading.Lock()


class Undecodable(ValueError):
    """The bytes are no usable photo; the message is a short reason."""


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode one photo to an upright RGB picture, uint8 per channel.

    The EXIF orientation is applied, transparency is laid on white, deeper pixels are scaled to 8 bits by their range
    of values, and of an animation the first frame is taken. Colour profiles are not applied. The size in the header is
    compared with `max_pixels` before any pixel is decoded. Raises `Undecodable` with a short reason.
    """
    if not data:
        raise Undecodable("empty file")
    with _header(data) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise Undecodable(f"{width} x {height} px exceeds {max_pixels:,} px")
        try:
            image.load()
            upright = _UPRIGHT.get(_orientation(image))
            rgb = _rgb(image)
        except Exception as error:  # hostile bytes make decoders raise nearly anything: struct.error, KeyError, …
            raise Undecodable("truncated" if "truncated" in str(error).lower() else "damaged") from error
    rgb.info.clear()
    return rgb if upright is None else rgb.transpose(upright)


def crop(image: Image.Image, box: tuple[float, float, float, float] | None) -> Image.Image:
    """Cut out box = (left, top, width, height), in pixels; None is the whole photo.

    The box is widened to whole pixels and clamped to the photo. Raises `ValueError` when nothing is left of it.
    """
    if box is None:
        return image
    left, top, width, height = box
    if not all(map(math.isfinite, box)) or width <= 0 or height <= 0:
        raise ValueError(f"box of no size: left {left:g}, top {top:g}, width {width:g}, height {height:g}")
    edges = (
        max(0, math.floor(left)),
        max(0, math.floor(top)),
        min(image.width, math.ceil(left + width)),
        min(image.height, math.ceil(top + height)),
    )
    if edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise ValueError(f"box outside the photo: left {left:g}, top {top:g}, photo {image.width} x {image.height} px")
    return image.crop(edges)


def fit(image: Image.Image, long_side_px: int) -> Image.Image:
    """Shrink so that neither side is longer than `long_side_px`, keeping the aspect; never enlarge."""
    if long_side_px < 1:
        raise ValueError(f"long_side_px is {long_side_px}; it must be at least 1")
    scale = long_side_px / max(image.size)
    if scale >= 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def encode(image: Image.Image, quality: int = 90) -> bytes:
    """Encode as JPEG without metadata and with full colour resolution; equal pixels give equal bytes."""
    buffer = io.BytesIO()
    # 4:4:4, since stripes and small prints live in the colour; the empty comment keeps the photo's own one out.
    image.convert("RGB").save(buffer, "JPEG", quality=quality, subsampling=0, comment="")
    return buffer.getvalue()


def _header(data: bytes) -> Image.Image:
    # Pillow's own limit would refuse before the size is known, and it is a global: lifted for the header alone.
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(data), formats=_formats())
        except Exception as error:  # as above
            webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"  # the one decoder that reads all to open a file
            cut = webp and int.from_bytes(data[4:8], "little") + 8 > len(data)
            raise Undecodable("truncated" if cut else "not an image") from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()  # a build of Pillow may lack some
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF is common, and says nothing against the pixels
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in _WHITES:
        return _eight_bits(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    white.alpha_composite(layer)
    return white.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values: NDArray[np.float32] = np.nan_to_num(np.asarray(image).astype(np.float32))
    brightest = float(values.max(initial=0.0))
    white = next((top for top in _WHITES[image.mode] if top >= brightest), brightest)
    grey = np.clip(values * (255.0 / white), 0, 255).round().astype(np.uint8)
    if "transparency" in image.info:  # a grey PNG may name one value that is see-through
        grey[np.asarray(image) == image.info["transparency"]] = 255
    return Image.fromarray(grey).convert("RGB")
