"""A photo's file before it is decoded: put in order, opened, and weighed, with a reason when it will not do."""

import io
import threading
from dataclasses import dataclass

from PIL import Image, ImageFile

from visnet.errors import TooLarge
from visnet.photos import formats, jpeg, png
from visnet.pipeline import budget

BYTES_PER_PIXEL = 16  # the most memory for each of the pixels that are allowed; only WebP and JPEG2000 come near it
OPENING_BYTES = 64 << 20  # what a header and its metadata may take
# Ways in which Pillow reads 16-bit colours as 8 bits, the upper byte of each -> what reads the lower one.
LOWER_BYTES = {"RGB;16B": "RGB;16L", "RGB;16L": "RGB;16B", "RGBA;16B": "RGBA;16L", "RGBA;16L": "RGBA;16B"}
_opening = threading.Lock()


class Undecodable(ValueError):
    """The bytes are no usable photo; the message is a short reason."""


class TooManyPixels(Undecodable, TooLarge):
    """The photo has more pixels than allowed, or they take more memory."""


class Unread(Undecodable):
    """The bytes are of a format that is not read here; the message says which, and what helps."""


@dataclass(frozen=True)
class File:
    """What the decoder gets, and what is known of it beforehand."""

    data: bytes
    scan: jpeg.Scan | None = None  # of a JPEG


def prepared(data: bytes, max_pixels: int | None) -> File:
    """Put a file in order for the decoder; `Undecodable` when its bytes alone show that it is no whole photo."""
    if not data:
        raise Undecodable("empty file")
    if max_pixels is not None and (size := formats.size_of_webp(data)):
        refuse_large(size, max_pixels)
    if not data.startswith(b"\xff\xd8\xff"):
        return File(png.needed(data) if data.startswith(png.SIGNATURE) else data)
    scan = jpeg.scan(data)
    if scan.missing:
        raise Undecodable("truncated" if scan.cut else "damaged")
    return File(scan.data, scan)


def refuse_large(size: tuple[int, int], max_pixels: int, needed_bytes: int = 0, format: str | None = None) -> None:
    """Raise `TooManyPixels` for more pixels than allowed, or for pixels that take more memory than so many may."""
    width, height = size
    if width * height > max_pixels:
        raise TooManyPixels(f"{width} x {height} px exceeds {max_pixels:,} px (max_pixels)")
    if needed_bytes > max_pixels * BYTES_PER_PIXEL:
        needs = f"{width} x {height} px of {format} need {needed_bytes >> 20} MiB to decode"
        raise TooManyPixels(f"{needs}, over {BYTES_PER_PIXEL} bytes for each of {max_pixels:,} px (max_pixels)")


def opened(file: File) -> ImageFile.ImageFile:
    """Read a file's header; `Undecodable` says what it is instead of a photo, `MemoryError` that memory is lacking."""
    # Pillow's own limit would refuse before the size is known, and it is a global: lifted for the header alone.
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(file.data), formats=formats.readable())
        except Exception as error:  # hostile bytes make decoders raise nearly anything: struct.error, KeyError, …
            if not budget.is_there(OPENING_BYTES):
                raise MemoryError(f"out of memory: no {OPENING_BYTES >> 20} MiB to open a photo") from error
            if why := formats.unread(file.data):
                raise Unread(why) from error
            webp = file.data[:4] == b"RIFF" and file.data[8:12] == b"WEBP"  # its decoder reads all to open a file
            cut = webp and int.from_bytes(file.data[4:8], "little") + 8 > len(file.data)
            raise Undecodable("truncated" if cut else "not an image") from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def bytes_to_decode(file: File, image: ImageFile.ImageFile) -> int:
    """Return the most memory that the photo takes until it is an upright RGB picture."""
    stored, working = _bytes_per_pixel(file, image)
    if rawmode(image) in LOWER_BYTES:
        working = 8  # both bytes of each channel, and the two put together
    return int(image.width * image.height * max(stored + working, stored + 4))  # 4: RGB, or turned upright


def bytes_to_check(file: File, image: ImageFile.ImageFile) -> int:
    """Return the most memory that it takes to find out whether the photo decodes."""
    if file.scan and file.scan.sequential:
        return image.width * image.height // 16
    return int(image.width * image.height * sum(_bytes_per_pixel(file, image)))


def _bytes_per_pixel(file: File, image: ImageFile.ImageFile) -> tuple[float, float]:
    """Return what the picture takes, and what the decoder takes beside it."""
    stored = formats.STORED_BYTES.get(image.mode, 4)
    if file.scan:
        return stored, file.scan.working_bytes
    if image.format == "JPEG2000":
        return stored, formats.WORKING_BYTES_JPEG2000 * len(image.getbands())
    return stored, formats.WORKING_BYTES.get(image.format or "", 0.0)


def rawmode(image: ImageFile.ImageFile) -> str:
    """Return how Pillow reads the file's samples, where it reads them without a library's help."""
    args = image.tile[0].args if len(image.tile) == 1 else None
    return args if isinstance(args, str) else ""
