"""Files that were damaged, forged or made to be costly, of all formats that are read: any number, by a seed."""

import functools
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from tests.photos.pictures import chunk, flag, noise, png_of_sixteen_bits, saved
from visnet.photos import formats, png

Rng = np.random.Generator
SIDES = (1, 2, 3, 7, 4000)
TOO_MANY = (20_000, 2**16 - 1, 2**31 - 1, 2**32 - 1)


@functools.cache
def wholes() -> dict[str, bytes]:
    """Return a small good file of each format that is read here, and of a few of their kinds."""
    kinds = {name: saved(noise(), name) for name in formats.readable() if name != "MPO"}
    kinds["progressive JPEG"] = saved(noise(), "JPEG", progressive=True)
    kinds["lossless WebP"] = saved(noise(), "WEBP", lossless=True)
    kinds["MPO"] = saved(noise(), "MPO", save_all=True, append_images=[flag()])
    kinds["compressed TIFF"] = saved(noise(), "TIFF", compression="tiff_lzw")
    return kinds


def _one(rng: Rng) -> bytearray:
    return bytearray(list(wholes().values())[rng.integers(len(wholes()))])


def flipped(rng: Rng) -> bytes:
    """Change a few bits anywhere, or only where the header is."""
    data = _one(rng)
    for at in rng.integers(0, len(data) if rng.integers(2) else min(64, len(data)), rng.integers(1, 20)):
        data[at] ^= 1 << rng.integers(8)
    return bytes(data)


def cut(rng: Rng) -> bytes:
    """Leave the end out."""
    data = _one(rng)
    return bytes(data[: rng.integers(0, len(data))])


def overwritten(rng: Rng) -> bytes:
    """Put noise, zeros or ones over a part."""
    data = _one(rng)
    start, stop = sorted(rng.integers(0, len(data), 2))
    put = (rng.bytes(stop - start), bytes(stop - start), b"\xff" * (stop - start))[rng.integers(3)]
    return bytes(data[:start] + put + data[stop:])


def polyglot(rng: Rng) -> bytes:
    """Be two things at once: the beginning of one format and the end of another, or an archive behind a photo."""
    first, second = _one(rng), _one(rng)
    if rng.integers(2):
        return bytes(first[: rng.integers(1, len(first))] + second[rng.integers(len(second)) :])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.html", "<script>alert(1)</script>")
    return bytes(first) + packed.getvalue()


def odd(rng: Rng) -> bytes:
    """Be a good file of another shape, mode, depth or turn than most."""
    shape = Image.new("RGB", (int(rng.choice(SIDES)), int(rng.choice(SIDES[:4]))), "red")
    turned = Image.Exif()
    turned[0x0112] = int(rng.integers(0, 12))
    modes = ("1", "L", "LA", "P", "RGBA", "I;16", "CMYK", "F", "I")
    mode = modes[rng.integers(len(modes))]
    deep = rng.integers(0, 65536, (5, 7, int(rng.integers(3, 5)))).astype(np.uint16)
    frames = [noise(32, 16)] * int(rng.integers(2, 40))
    moving = ("GIF", "WEBP", "TIFF", "PNG")[rng.integers(4)]
    makers: tuple[Callable[[], bytes], ...] = (
        lambda: saved(shape, ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")[rng.integers(6)]),
        lambda: saved(flag(), "JPEG", exif=turned),
        lambda: saved(flag().convert(mode), "TIFF"),
        lambda: saved(flag().convert("CMYK"), "JPEG"),
        lambda: png_of_sixteen_bits(deep),
        lambda: saved(flag(), moving, save_all=True, append_images=frames),
        lambda: saved(flag(), "JPEG", icc_profile=rng.bytes(int(rng.integers(1, 5000)))),
        lambda: saved(flag(), "JPEG", exif=b"Exif\0\0" + rng.bytes(200)),
        lambda: saved(flag(), "JPEG", comment=rng.bytes(60_000)),
    )
    return makers[rng.integers(len(makers))]()


def forged(rng: Rng) -> bytes:
    """Say in a header that there are many pixels."""
    side, name = TOO_MANY[rng.integers(len(TOO_MANY))], list(wholes())[rng.integers(len(wholes()))]
    data = bytearray(wholes()[name])
    order = "<" if name in ("BMP", "GIF", "WEBP", "lossless WebP") or "TIFF" in name else ">"
    wide, short = struct.pack(f"{order}II", side, side), struct.pack(f"{order}HH", side % 65536, side % 65536)
    if name == "PNG":
        data[16:24] = wide
        data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    elif name == "BMP":
        data[18:26] = wide
    elif name == "GIF":
        data[6:10] = short
    elif "WEBP" in name or "WebP" in name:
        at = 21 if "WebP" in name else 26
        data[at : at + 4] = short
    elif name == "JPEG2000" and (at := data.find(b"ihdr")) > 0:
        data[at + 4 : at + 12] = wide
    elif name in ("AVIF", "HEIF") and (at := data.find(b"ispe")) > 0:
        data[at + 8 : at + 16] = wide
    elif "TIFF" in name:
        at = struct.unpack("<I", data[4:8])[0]
        for entry in range(at + 2, at + 26, 12):
            data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, side)
    else:
        at = next(at for at in (data.find(b"\xff\xc0"), data.find(b"\xff\xc2")) if at > 0)
        data[at + 5 : at + 9] = short
    return bytes(data)


def chained(rng: Rng) -> bytes:
    """Be a TIFF of very many directories, of one that follows itself, or with directories in directories."""
    count, loop = int(rng.integers(2, 3000)), bool(rng.integers(2))
    tags = [
        (256, 4, 1, 4),
        (257, 4, 1, 4),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (279, 4, 1, 16),
    ]
    tags += [(330, 4, 1, 8), (34665, 4, 1, 8)][: int(rng.integers(0, 3))]  # directories within: again the same one
    size = 2 + 12 * len(tags) + 4
    parts = [b"II*\0", struct.pack("<I", 24), bytes(16)]
    for number in range(count):
        follows = 24 if loop else 24 + size * (number + 1) if number + 1 < count else 0
        rows = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        parts.append(struct.pack("<H", len(tags)) + rows + struct.pack("<I", follows))
    return b"".join(parts)


def packed(rng: Rng) -> bytes:
    """Be small, and large once it is unpacked: pixels, or what is said beside them."""
    return _bomb(("pixels", "text", "profile", "group4", "frames", "limit")[rng.choice(6, p=[0.2] * 4 + [0.15, 0.05])])


@functools.cache
def _bomb(kind: str) -> bytes:
    if kind == "pixels":
        return saved(Image.new("1", (60_000, 2_000)), "PNG")
    if kind == "group4":
        return saved(Image.new("1", (30_000, 3_000)), "TIFF", compression="group4")
    if kind == "frames":
        return saved(flag(64, 48), "GIF", save_all=True, append_images=[noise(), flag(64, 48)] * 500)
    if kind == "limit":  # as many pixels as are allowed
        return saved(Image.new("L", (8_000, 8_000)), "PNG")
    whole, said = saved(flag(), "PNG"), b"about\0\0" + zlib.compress(bytes(300_000_000))
    return whole[:33] + chunk(b"zTXt" if kind == "text" else b"iCCP", said) + whole[33:]


def other(rng: Rng) -> bytes:
    """Be no photo at all."""
    kinds = (b"", b"\xff\xd8\xff", b"GIF89a", b"%PDF-1.7", b"PK\x03\x04", b"<svg/>", b"\0" * 5000, b"BM" + b"\xff" * 60)
    kinds += (png.SIGNATURE, b"II*\0\x08\0\0\0", b"RIFF\xff\xff\xff\xffWEBPVP8X", rng.bytes(int(rng.integers(1, 4000))))
    return kinds[rng.integers(len(kinds))]


KINDS: dict[Callable[[Rng], bytes], float] = {  # -> its share
    flipped: 0.3,
    cut: 0.15,
    overwritten: 0.1,
    polyglot: 0.1,
    odd: 0.1,
    forged: 0.1,
    chained: 0.05,
    packed: 0.02,
    other: 0.08,
}


def files(seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield kinds and files without an end, the same of the same seed."""
    rng = np.random.default_rng(seed)
    kinds, shares = list(KINDS), list(KINDS.values())
    while True:
        make = kinds[rng.choice(len(kinds), p=shares)]
        yield make.__name__, make(rng)
