"""visnet.photos.jpeg and png: files that browsers show are photos, and files whose pixels are missing are not."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from visnet.photos import codec, jpeg, png


def photo(width: int = 160, height: int = 120) -> Image.Image:
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((smooth + rng.integers(-6, 7, (height, width, 1))).clip(0, 255).astype(np.uint8))


def saved(format: str, picture: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (picture or photo()).save(buffer, format, **options)
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    codec.check(data)
    return np.asarray(codec.decode(data))


def reason(data: bytes) -> str:
    said = set()
    for read in (codec.check, codec.decode):
        with pytest.raises(codec.Undecodable) as caught:
            read(data)
        said.add(str(caught.value))
    assert len(said) == 1, "raw_images checks what crops decodes"
    return said.pop()


JPEGS = {
    "as phones write it": {"quality": 90},
    "full colour": {"quality": 95, "subsampling": 0},
    "own tables": {"optimize": True},
    "with restarts": {"restart_marker_blocks": 3},
    "progressive": {"progressive": True},
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_is_decoded_as_pillow_does_with_and_without_its_end_marker(kind: str) -> None:
    data = saved("JPEG", **JPEGS[kind])
    expected = np.asarray(Image.open(io.BytesIO(data)))
    for form in (data, data[:-2], data[:-1], data + b"a camera's own notes", data[:-2] + b"\xff\xfe\0\3x\xff\xd9"):
        np.testing.assert_array_equal(pixels(form), expected)


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_was_cut_is_truncated_with_and_without_an_end_marker(kind: str) -> None:
    data = saved("JPEG", **JPEGS[kind])
    for share in (0.5, 0.7, 0.9) if kind != "progressive" else (0.2, 0.4):
        assert reason(data[: int(len(data) * share)]) == "truncated"
        if kind != "progressive":  # with an end marker, a coarse one may be meant
            assert reason(data[: int(len(data) * share)] + b"\xff\xd9") == "damaged"


@pytest.mark.parametrize("kind", JPEGS)
def test_a_header_that_claims_more_pixels_than_the_file_has_is_found_out(kind: str) -> None:
    data = saved("JPEG", **JPEGS[kind])
    at = data.index(b"\xff\xc2" if kind == "progressive" else b"\xff\xc0") + 5
    assert reason(data[:at] + struct.pack(">HH", 7900, 8000) + data[at + 4 :]) == "damaged"


XMP = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation=\"6\"/>"
XMP_TURNED = b"\xff\xe1" + struct.pack(">H", len(XMP) + 2) + XMP


@pytest.mark.parametrize("kind", JPEGS)
def test_of_a_plain_jpeg_the_pixels_alone_are_told_apart(kind: str) -> None:
    data, told = saved("JPEG", **JPEGS[kind]), b"where it was taken"
    segment = (len(told) + 2).to_bytes(2, "big") + told
    marked = data[:2] + b"".join(b"\xff" + kind + segment for kind in (b"\xe2", b"\xed", b"\xfe")) + data[2:]
    bare = jpeg.pixels_alone(marked + told)
    if kind == "progressive":
        assert bare is None, "its scans may have anything between them"
        return
    assert bare is not None
    assert told not in bare
    assert bare == jpeg.pixels_alone(data) == jpeg.pixels_alone(bare)
    np.testing.assert_array_equal(pixels(bare), pixels(marked))
    assert [jpeg.pixels_alone(bare[:stop]) for stop in range(len(bare))] == [None] * len(bare), "it is whole or nothing"


def test_a_jpeg_that_is_turned_or_of_four_colours_is_not_told_by_its_pixels_alone() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    assert jpeg.pixels_alone(saved("JPEG", exif=turned)) is None
    plain = saved("JPEG")
    for segment in (XMP_TURNED, b"\xff\xda\0\2"):  # the second is a scan without a header
        assert jpeg.pixels_alone(plain[:2] + segment + plain[2:]) is None
    assert codec.decode(plain[:2] + XMP_TURNED + plain[2:]).size == photo().size[::-1]
    assert jpeg.pixels_alone(saved("JPEG", photo().convert("CMYK"))) is None
    assert jpeg.pixels_alone(saved("PNG")) is None
    grey = saved("JPEG", photo().convert("L"))
    np.testing.assert_array_equal(pixels(jpeg.pixels_alone(grey) or b""), pixels(grey))


def test_a_grey_jpeg_and_one_of_a_single_pixel() -> None:
    for picture in (photo().convert("L"), photo().resize((1, 1)), photo().convert("CMYK")):
        data = saved("JPEG", picture)
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(pixels(data), expected)
        np.testing.assert_array_equal(pixels(data[:-2]), expected)


def test_flipped_bits_that_leave_all_pixels_are_no_reason_to_lose_a_photo() -> None:
    data, rng, kept = saved("JPEG", restart_marker_rows=1), np.random.default_rng(4), 0
    begin = data.index(b"\xff\xda") + 14
    for _ in range(40):
        flipped = bytearray(data)
        flipped[rng.integers(begin, len(data) - 2)] ^= 1 << rng.integers(0, 8)
        with contextlib.suppress(codec.Undecodable):
            kept += pixels(bytes(flipped)).shape == (120, 160, 3)
    assert kept > 30


def with_chunk(kind: bytes, body: bytes, *, broken: bool = False) -> bytes:
    data = saved("PNG")
    at = data.index(b"IDAT") - 4
    check = zlib.crc32(kind + body) ^ broken
    return data[:at] + struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check) + data[at:]


LONG = zlib.compress(b" " * 2_000_000)
CHUNKS = {
    "long XMP": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG),
    "long text": (b"zTXt", b"Comment\0\0" + LONG),
    "long plain text": (b"tEXt", b"Comment\0" + b"a" * 2_000_000),
    "long profile": (b"iCCP", b"p\0\0" + LONG),
    "long turning": (b"zTXt", b"Raw profile type exif\0\0" + LONG),
    "broken packing": (b"zTXt", b"Raw profile type exif\0\0nothing"),
    "short transparency": (b"tRNS", b"\0"),
    "short animation": (b"acTL", b"\0"),
    "unknown": (b"abCd", b"anything"),
}


@pytest.mark.parametrize("name", CHUNKS)
@pytest.mark.parametrize("broken", [False, True])
def test_what_a_png_says_beside_its_pixels_does_not_cost_the_photo(name: str, broken: bool) -> None:
    np.testing.assert_array_equal(pixels(with_chunk(*CHUNKS[name], broken=broken)), np.asarray(photo()))


def test_a_png_is_turned_as_its_metadata_say() -> None:
    turned = np.asarray(photo().transpose(Image.Transpose.ROTATE_180))
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="3"/></x:xmpmeta>'
    exif = Image.Exif()
    exif[0x0112] = 3
    for data in (with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp), saved("PNG", exif=exif)):
        np.testing.assert_array_equal(pixels(data), turned)
    broken = with_chunk(b"eXIf", exif.tobytes()[6:], broken=True)
    np.testing.assert_array_equal(pixels(broken), np.asarray(photo()))


def test_a_png_without_its_end_is_whole_and_one_without_pixels_is_not() -> None:
    data = saved("PNG")
    end = data.rindex(b"IEND") - 4
    for form in (data[:end], data[: end + 6], data + b"more", png.needed(data)):
        np.testing.assert_array_equal(pixels(form), np.asarray(photo()))
    assert reason(data[: end - 400]) == "truncated"
    at = data.index(b"IDAT") + 40
    assert reason(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) == "damaged"
