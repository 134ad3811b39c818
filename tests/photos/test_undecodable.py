"""visnet.photos.codec: what is no photo, too large or of a format that is not read has a short reason."""

import importlib.util
import warnings

import numpy as np
import pytest
from PIL import Image

from tests.image_server import png_header
from tests.photos.pictures import assert_flag, flag, noise, saved
from visnet.photos import codec, formats

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow warns of broken EXIF, once a process

HEIC = importlib.util.find_spec("pillow_heif") is not None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<html>gone</html>", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not an image"),  # Pillow would run Ghostscript
        (saved(noise(), "JPEG")[:-200], "truncated"),
        (saved(noise(), "PNG")[:-200], "truncated"),
        (saved(noise(), "WEBP")[:-200], "truncated"),
        (saved(noise(), "GIF")[:-200], "truncated"),
        (png_header(30_000, 30_000), "30000 x 30000 px exceeds 64,000,000 px (max_pixels)"),
        (png_header(8001, 8000), "8001 x 8000 px exceeds 64,000,000 px (max_pixels)"),
    ],
)
def test_what_is_no_photo_has_a_short_reason(data: bytes, reason: str) -> None:
    with pytest.raises(codec.Undecodable) as caught:
        codec.decode(data)
    assert str(caught.value) == reason


def test_the_limit_of_pixels_is_the_callers_and_pillows_own_stays() -> None:
    before = Image.MAX_IMAGE_PIXELS
    data = saved(flag(), "PNG")
    assert codec.decode(data, max_pixels=32 * 16).size == (32, 16)
    with pytest.raises(codec.Undecodable, match="32 x 16 px exceeds 511 px"):
        codec.decode(data, max_pixels=32 * 16 - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow warns of big photos: our limit decides alone
        with pytest.raises(codec.Undecodable, match="12000 x 10000 px exceeds 64,000,000 px"):
            codec.decode(png_header(12_000, 10_000))
    assert before == Image.MAX_IMAGE_PIXELS


def test_what_webp_would_take_is_known_before_it_is_opened() -> None:
    data = saved(flag(), "WEBP", lossless=True)
    assert data[12:16] == b"VP8L"
    forged = data[:21] + (16_000 - 1 | (16_000 - 1) << 14).to_bytes(4, "little") + data[25:]
    with pytest.raises(codec.Undecodable, match="16000 x 16000 px exceeds 64,000,000 px"):
        codec.decode(forged)
    for options in ({}, {"lossless": True}, {"save_all": True, "append_images": [flag()]}):
        assert formats.size_of_webp(saved(flag(), "WEBP", **options)) == (32, 16)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "not an image" if HEIC else "HEIC is not read"),
        (b"\xff\x0a\xfa\x1f\x41\x91\x08\x06", "JPEG XL is not read: save it as JPEG or PNG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "JPEG XL is not read: save it as JPEG or PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG is a drawing"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- made by hand -->\n<svg width='9'></svg>", "SVG is a drawing"),
        (b"<?xml version='1.0'?><catalog/>", "not an image"),
        (b"8BPS\0\1" + bytes(20), "PSD is Photoshop's own: save it as JPEG or PNG"),
    ],
)
def test_a_format_that_is_not_read_is_named_with_what_helps(data: bytes, reason: str) -> None:
    with pytest.raises(codec.Undecodable) as caught:
        codec.decode(data)
    assert str(caught.value).startswith(reason)


def test_heic_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_heif", lambda: False)
    said = formats.unread(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert said == "HEIC is not read: install pillow-heif (the extra heic), then raise ask_again"


@pytest.mark.skipif(not HEIC, reason="visnet[heic] is not installed")
def test_heic_is_read_where_the_extra_is_installed() -> None:
    formats.readable()
    assert_flag(codec.decode(saved(flag(128, 64), "HEIF", quality=95)).resize((32, 16), Image.Resampling.BOX), 40)


def test_no_cut_and_no_flipped_byte_raises_anything_else() -> None:
    rng = np.random.default_rng(11)
    for format in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000"):
        whole = np.frombuffer(saved(noise(24, 16), format), np.uint8)
        outcomes = set()
        for _ in range(60):
            data = whole.copy()
            data[rng.integers(0, len(data), 4)] ^= rng.integers(1, 256, 4, dtype=np.uint8)
            try:
                # A flipped byte may announce any size, and a header is all that is read beyond the limit.
                outcomes.add(codec.decode(data[: rng.integers(1, len(data) + 1)].tobytes(), max_pixels=10_000).mode)
            except codec.Undecodable as error:
                outcomes.add(str(error))
        assert len(outcomes) > 1, format
