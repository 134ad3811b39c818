"""Which formats are read as photos, which are not and what then helps, and what decoding one takes."""

import functools
import re

from PIL import Image

# Raster formats that a shop or a phone writes. Pillow knows more; some of those run other programs (EPS) or have no
# business in a catalog, so bytes that only they would accept are "not an image".
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "MPO", "AVIF", "BMP", "TIFF", "JPEG2000", "HEIF")

# Bytes that a decoder holds for each pixel beside the picture it makes, measured on 16 million pixels with Pillow 13.
# JPEG: see `jpeg.Scan`. JPEG2000: per channel.
WORKING_BYTES = {"WEBP": 13.5, "AVIF": 10.0, "HEIF": 8.0, "TIFF": 4.0, "GIF": 1.0}
WORKING_BYTES_JPEG2000 = 5.0
STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # Pillow's others take 4

_HEIC = re.compile(rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL)
_OTHERS = {
    "JPEG XL is not read: save it as JPEG or PNG": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"),
    "SVG is a drawing, and is not turned into pixels here: save it as PNG": re.compile(
        rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml.{,4096}?|<!--.{,4096}?|<!DOCTYPE svg.{,4096}?)?<svg[\s>]", re.DOTALL
    ),
    "PSD is Photoshop's own: save it as JPEG or PNG": re.compile(rb"8BPS"),
}


def readable() -> tuple[str, ...]:
    """Return those of `FORMATS` that this installation reads: Pillow may be built without some, HEIC is an extra."""
    _heif()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def unread(data: bytes) -> str | None:
    """Say of bytes that no decoder takes which format they are and what helps; None when they are no known one."""
    if _HEIC.match(data) and not _heif():
        return "HEIC is not read: install pillow-heif (the extra heic), then raise ask_again"
    if data[4:12] in (b"ftypavif", b"ftypavis") and "AVIF" not in readable():
        return "AVIF is not read by this build of Pillow: install a wheel of Pillow"
    return next((why for why, start in _OTHERS.items() if start.match(data)), None)


def size_of_webp(data: bytes) -> tuple[int, int] | None:
    """Read width and height from a WebP header: to open such a file, Pillow makes room for all of its pixels."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        both = int.from_bytes(data[21:25], "little")
        return 1 + (both & 0x3FFF), 1 + (both >> 14 & 0x3FFF)
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


@functools.cache
def _heif() -> bool:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True
