"""Pixels: bytes to upright RGB pictures and back, whatever the web calls a photo."""

import contextlib
import io
import math
from collections.abc import Iterator

from PIL import Image, ImageFile

from visnet.photos import photo_file
from visnet.photos.photo_file import File
from visnet.photos.photo_file import Undecodable as Undecodable
from visnet.photos.photo_file import Unread as Unread
from visnet.photos.rgb import colours_of_sixteen_bits, rgb
from visnet.pipeline import budget
from visnet.pipeline.budget import DECODING

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
_OVER_12_BITS = [0] * 16 + [255] * 240  # of the upper byte


def decode(data: bytes, *, max_pixels: int | None = MAX_PIXELS) -> Image.Image:
    """Decode one photo to an upright RGB picture, uint8 per channel.

    The EXIF orientation is applied, transparency is laid on white, deeper pixels are scaled to 8 bits by their range
    of values, and of an animation the first frame is taken. Colour profiles are not applied. The size in the header is
    compared with `max_pixels` before any pixel is decoded; None stands for photos that were let through before.
    Raises `Undecodable` with a short reason, and `MemoryError` when it is the machine that lacks memory.
    """
    with decoded(data, max_pixels=max_pixels) as picture:
        return picture


@contextlib.contextmanager
def decoded(data: bytes, *, max_pixels: int | None = MAX_PIXELS) -> Iterator[Image.Image]:
    """As `decode`, with the picture's memory held within the budget of all threads until the block ends."""
    with contextlib.ExitStack() as held:
        yield _read(data, max_pixels, held)


def check(data: bytes, *, max_pixels: int | None = MAX_PIXELS) -> None:
    """Raise what `decode` raises, without making the picture: a JPEG is read to its end at an eighth of its size."""
    with contextlib.ExitStack() as held:
        _read(data, max_pixels, held, only_check=True)


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


def _read(data: bytes, max_pixels: int | None, held: contextlib.ExitStack, *, only_check: bool = False) -> Image.Image:
    """Decode within the budget. What fails is tried again alone, to tell a broken photo from a lack of memory."""
    budget.return_what_is_freed()
    file = photo_file.prepared(data, max_pixels)
    for alone in (False, True):
        with photo_file.opened(file) as image:
            most_bytes = photo_file.bytes_to_decode(file, image)
            if max_pixels is not None:
                photo_file.refuse_large(image.size, max_pixels, most_bytes, image.format)
            needed_bytes = photo_file.bytes_to_check(file, image) if only_check else most_bytes
            try:
                held.enter_context(DECODING.hold(DECODING.size if alone else needed_bytes))
                if alone and not budget.is_there(needed_bytes):
                    size = f"{image.width} x {image.height}"
                    raise MemoryError(f"out of memory: a photo of {size} px needs {needed_bytes >> 20} MiB to decode")
                return _checked(file, image) if only_check else _whole(file, image)
            except (Undecodable, MemoryError):
                held.close()
                if alone:
                    raise
    raise AssertionError("the second try returns or raises")


def _checked(file: File, image: ImageFile.ImageFile) -> Image.Image:
    if file.scan and file.scan.sequential:
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
    _load(file, image)
    return image


def _whole(file: File, image: ImageFile.ImageFile) -> Image.Image:
    lower = photo_file.LOWER_BYTES.get(photo_file.rawmode(image))
    _load(file, image)
    upright = _UPRIGHT.get(_orientation(image))
    picture: Image.Image = image
    if lower and not any(image.getchannel(band).point(_OVER_12_BITS).getbbox() for band in "RGB"):
        with photo_file.opened(file) as other:
            other.tile = [other.tile[0]._replace(args=lower)]
            _load(file, other)
            picture = colours_of_sixteen_bits(image, other)
    picture = rgb(picture)
    picture.info.clear()
    return picture if upright is None else picture.transpose(upright)


def _load(file: File, image: ImageFile.ImageFile) -> None:
    try:
        image.load()
    except Exception as error:  # as above; a lack of memory, too, is often called by another name
        cut = "truncated" in str(error).lower() and not (file.scan and not file.scan.cut)
        raise Undecodable("truncated" if cut else "damaged") from error


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF is common, and says nothing against the pixels
        return 1
