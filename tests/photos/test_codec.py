"""visnet.photos.codec: whatever the web calls a photo becomes an upright RGB picture."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

from tests.photos.pictures import BLUE, RED, WHITE, assert_flag, flag, noise, png_of_sixteen_bits, saved
from visnet.photos import codec

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow warns of broken EXIF, once a process


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_reads_every_common_format(format: str) -> None:
    options = {"quality": 95, "subsampling": 0} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    assert_flag(codec.decode(saved(flag(), format, **options)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sets_a_photo_upright_whichever_way_the_camera_was_held(orientation: int) -> None:
    # What each orientation value means, from the EXIF standard: where the stored first row and first column belong.
    # Stored pixels are made from the upright flag by the inverse of that, with numpy, not with Pillow's transposes.
    upright = np.asarray(flag())
    upright = np.concatenate([upright[:-4], np.zeros_like(upright[:4])])  # a black bottom: up and down differ too
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for format in ("PNG", "TIFF"):
        data = saved(Image.fromarray(np.ascontiguousarray(stored)), format, exif=exif)
        np.testing.assert_array_equal(np.asarray(codec.decode(data)), upright)


def test_broken_exif_does_not_cost_the_photo() -> None:
    data = saved(flag(), "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert_flag(codec.decode(data))


def test_cmyk_keeps_its_colours() -> None:
    data = saved(flag().convert("CMYK"), "JPEG", quality=95, subsampling=0)
    assert b"Adobe" in data  # so the inks are stored inverted, as Photoshop does
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    assert_flag(codec.decode(data))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(format: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    found = np.asarray(codec.decode(saved(Image.fromarray(ramp), format)))
    np.testing.assert_array_equal(found, np.arange(256, dtype=np.uint8)[None, :, None].repeat(4, 0).repeat(3, 2))


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_pictures_of_fewer_bits_kept_in_sixteen_are_not_black(bits: int, mode: str) -> None:
    ramp = np.linspace(0, 2**bits - 1, 256).round().astype(np.uint16)[None].repeat(4, 0)
    expected = np.arange(256)[None, :, None].repeat(4, 0).repeat(3, 2)
    if mode == "L":
        data = saved(Image.fromarray(ramp), "PNG")
    else:  # Pillow writes no such file
        opaque = np.full_like(ramp, 2**bits - 1)
        data = png_of_sixteen_bits(np.stack([ramp, ramp, ramp, opaque][: len(mode)], -1))
    found = np.asarray(codec.decode(data)).astype(int)
    assert abs(found - expected).max() <= 1, "the upper byte of 16 bits, which Pillow takes, is not rounded"


@pytest.mark.parametrize(("brightest", "white"), [(1.0, 1.0), (255.0, 255.0), (4000.0, 4000.0)])
def test_float_pixels_are_scaled_by_their_range(brightest: float, white: float) -> None:
    ramp = np.linspace(0, brightest, 64, dtype=np.float32)[None].repeat(4, 0)
    ramp[0, 0], ramp[1, 0] = np.nan, -3
    found = np.asarray(codec.decode(saved(Image.fromarray(ramp), "TIFF")))[:, :, 0]
    np.testing.assert_allclose(found, np.clip(np.nan_to_num(ramp) / white * 255, 0, 255), atol=0.51)


def test_transparency_is_laid_on_white() -> None:
    rgba = flag().convert("RGBA")
    rgba.putalpha(Image.fromarray(np.repeat(np.uint8([[0, 255]]), 16, 1).repeat(16, 0)))  # the left half is see-through
    palette = flag().quantize(2)
    see_through = palette.getpixel((0, 0))
    cases = {
        "RGBA png": saved(rgba, "PNG"),
        "RGBA webp": saved(rgba, "WEBP", lossless=True),
        "palette png": saved(palette, "PNG", transparency=see_through),
        "palette gif": saved(palette, "GIF", transparency=see_through),
        "RGB png with one clear colour": saved(flag(), "PNG", transparency=RED),
    }
    for name, data in cases.items():
        found = codec.decode(data)
        assert (found.mode, found.getpixel((0, 0)), found.getpixel((31, 0))) == ("RGB", WHITE, BLUE), name
    half = Image.new("LA", (4, 4), (0, 128))
    assert codec.decode(saved(half, "PNG")).getpixel((0, 0)) == (127, 127, 127)
    grey = np.array([[0, 40000]], np.uint16)
    found = codec.decode(saved(Image.fromarray(grey), "PNG", transparency=0))
    assert [found.getpixel((x, 0))[0] for x in (0, 1)] == [255, 156]


def test_colours_whose_transparency_was_left_empty_are_shown() -> None:
    clear = flag().convert("RGBA")
    clear.putalpha(0)
    palette = flag().quantize(2)
    cases = {
        "RGBA png": saved(clear, "PNG"),
        "RGBA webp": saved(clear, "WEBP", lossless=True, exact=True),
        "palette png": saved(palette, "PNG", transparency=b"\0\0"),
    }
    for name, data in cases.items():
        found = codec.decode(data)
        assert (found.getpixel((0, 0)), found.getpixel((31, 0))) == (RED, BLUE), name
    nothing = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert codec.decode(saved(nothing, "PNG")).getpixel((0, 0)) == WHITE, "there are no colours to be shown"


def test_palette_and_one_bit() -> None:
    assert_flag(codec.decode(saved(flag().quantize(8), "PNG")))
    checks = np.indices((8, 8)).sum(0) % 2 == 0
    found = np.asarray(codec.decode(saved(Image.fromarray(checks), "PNG")))
    np.testing.assert_array_equal(found, np.where(checks, 255, 0)[:, :, None].repeat(3, 2))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation(format: str) -> None:
    frames = {"save_all": True, "append_images": [Image.new("RGB", (32, 16), (0, 255, 0))]}
    data = saved(flag(), format, **frames, **({"lossless": True} if format == "WEBP" else {}))
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert_flag(codec.decode(data))


def test_threads_may_decode_at_once() -> None:
    data, found = saved(noise(), "PNG"), []
    threads = [threading.Thread(target=lambda: found.append(codec.decode(data).tobytes())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [noise().tobytes()] * 8
    assert Image.MAX_IMAGE_PIXELS is not None


def test_crop_widens_to_whole_pixels_and_clamps_to_the_photo() -> None:
    photo = noise(20, 10)
    pixels = np.asarray(photo)
    assert codec.crop(photo, None) is photo
    cases = {
        (3, 2, 5, 4): pixels[2:6, 3:8],
        (3.9, 2.1, 4.2, 3.0): pixels[2:6, 3:9],
        (-5, -5, 100, 100): pixels,
        (18, 8, 50, 50): pixels[8:, 18:],
        (19.5, 9.5, 0.1, 0.1): pixels[9:, 19:],
    }
    for box, expected in cases.items():
        np.testing.assert_array_equal(np.asarray(codec.crop(photo, box)), expected)
    for box in [(20, 0, 5, 5), (0, 10, 5, 5), (-5, 0, 5, 5), (0, 0, 0, 5), (0, 0, 5, -1), (0, 0, float("nan"), 5)]:
        with pytest.raises(ValueError, match="box "):
            codec.crop(photo, box)


def test_fit_only_shrinks_and_keeps_the_aspect() -> None:
    assert codec.fit(noise(300, 150), 100).size == (100, 50)
    assert codec.fit(noise(150, 300), 100).size == (50, 100)
    assert codec.fit(noise(1000, 1), 100).size == (100, 1)
    small = noise(100, 50)
    assert codec.fit(small, 100) is small
    assert abs(np.asarray(codec.fit(noise(800, 800), 8)).mean() - np.asarray(noise(800, 800)).mean()) < 2
    with pytest.raises(ValueError, match="long_side_px is 0"):
        codec.fit(small, 0)


def test_encode_is_the_same_every_time_and_carries_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x010F] = "some camera"
    loaded = Image.open(io.BytesIO(saved(noise(), "JPEG", exif=exif, comment=b"by hand", dpi=(300, 300))))
    plain = Image.fromarray(np.asarray(loaded))
    assert codec.encode(loaded) == codec.encode(plain) == codec.encode(plain)
    assert len(codec.encode(plain, 30)) < len(codec.encode(plain))
    back = np.asarray(codec.decode(codec.encode(flag()))).astype(int)
    assert abs(back - np.asarray(flag())).max() <= 4  # the edge between red and blue too: colour is not subsampled
