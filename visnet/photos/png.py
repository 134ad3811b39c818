"""PNG files as they are found: what is not needed for the pixels is left out before Pillow reads, or refuses, it."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
# Text in which cameras and Photoshop say how the photo is turned. Pillow reads all text, and refuses the photo for one
# that unpacks to over 1 MiB; no other text, no profile and no animation changes what is shown of a photo here.
TURNING = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"Raw profile type APP1")
TEXT = {b"tEXt", b"zTXt", b"iTXt"}
TEXT_MAX = 1 << 18
TRANSPARENT_BYTES = {0: 2, 2: 6}  # colour type -> how long tRNS must be; of a palette (3), one byte a colour


def needed(data: bytes) -> bytes:
    """Return a PNG file without the chunks that change no pixel, or that are broken and may be left out.

    Whatever ends a file too early, or breaks a chunk of pixels, is left to the decoder.
    """
    kept: list[bytes] = [SIGNATURE]
    view, at, colour_type, text = memoryview(data), len(SIGNATURE), -1, 0
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", view[at : at + 8])
        end = at + 12 + length
        if end > len(data):
            break
        body = view[at + 8 : end - 4]
        if kind == b"IHDR" and length > 9:
            colour_type = body[9]
        if kind in PIXELS or kind[:1].isupper():
            keep = True
        elif zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            keep = False
        elif kind == b"tRNS":
            keep = length >= TRANSPARENT_BYTES.get(colour_type, 1)
        elif kind in TEXT:
            text += length
            keep = text <= TEXT_MAX and bytes(body).startswith(TURNING) and _is_short(kind, bytes(body))
        else:
            keep = kind == b"eXIf"
        if keep:
            kept.append(data[at:end])
        at = end
        if kind == b"IEND":
            return b"".join(kept)
    kept.append(data[at:])  # the rest of a file that was cut
    return b"".join(kept)


def _is_short(kind: bytes, body: bytes) -> bool:
    """Whether a text unpacks to little."""
    _, _, rest = body.partition(b"\0")
    if kind == b"tEXt" or (kind == b"iTXt" and rest[:1] != b"\1"):
        return True
    packed = rest[1:] if kind == b"zTXt" else rest[2:].split(b"\0", 2)[-1]
    try:
        return len(zlib.decompressobj().decompress(packed, TEXT_MAX)) < TEXT_MAX
    except zlib.error:
        return False
