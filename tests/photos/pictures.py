"""Small pictures as files: a flag whose halves are told apart, noise, and PNG of sixteen bits."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from visnet.photos import png

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png_of_sixteen_bits(values: np.ndarray) -> bytes:
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return png.SIGNATURE + b"".join(chunk(kind, body) for kind, body in parts)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def flag(width: int = 32, height: int = 16) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def noise(width: int = 64, height: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8))


def assert_flag(image: Image.Image, tolerance: int = 12) -> None:
    assert (image.mode, image.size) == ("RGB", (32, 16))
    found = np.asarray(image).astype(int)
    assert abs(found[:, :12] - RED).max() <= tolerance
    assert abs(found[:, 20:] - BLUE).max() <= tolerance
