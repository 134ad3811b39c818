"""The colour histogram against a loop over pixels, and what it must and must not see."""

import itertools
import math

import numpy as np
import pytest

from visnet.embedding.colour_histogram import (
    BINS,
    CENTRE,
    colour_histogram,
    colour_histograms,
    foreground,
    lab,
    lightness,
)


def photo(seed: int, height: int = 9, width: int = 14) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain(rgb: tuple[int, int, int], height: int = 16, width: int = 16) -> np.ndarray:
    return np.full((height, width, 3), rgb, dtype=np.uint8)


def sq_distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(((colour_histogram(a) - colour_histogram(b)) ** 2).sum())


@pytest.mark.parametrize(
    ("rgb", "expected"),  # published values for sRGB under D65
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_lab_is_cielab(rgb: tuple[int, int, int], expected: tuple[float, float, float]) -> None:
    assert lab(np.array(rgb)) == pytest.approx(expected, abs=0.01)


def test_the_histogram_equals_a_loop_over_pixels() -> None:
    image = photo(0)
    height, width = image.shape[:2]
    counts = np.zeros(BINS)
    for y, x in itertools.product(range(height), range(width)):
        down, across = ((2 * y + 1) / height - 1) / CENTRE, ((2 * x + 1) / width - 1) / CENTRE
        rounded = [int(v) // 8 * 8 + 3.5 for v in image[y, x]]
        lightness, a, b = lab(np.array(rounded))
        place = [lightness / 100 * BINS[0] - 0.5, (a + 64) / 128 * BINS[1] - 0.5, (b + 64) / 128 * BINS[2] - 0.5]
        for corner in itertools.product((0, 1), repeat=3):
            share = math.exp(-(down**2 + across**2) / 2)
            bins = []
            for axis, up in enumerate(corner):
                below = math.floor(place[axis])
                share *= place[axis] - below if up else 1 - (place[axis] - below)
                bins.append(min(max(below + up, 0), BINS[axis] - 1))
            counts[tuple(bins)] += share
    got = colour_histogram(image)
    assert got.dtype == np.float32
    assert got == pytest.approx(np.sqrt(counts / counts.sum()).ravel(), abs=1e-6)


def test_distances_run_from_0_for_the_same_colours_to_2_for_none_in_common() -> None:
    assert sq_distance(plain((200, 30, 30)), plain((200, 30, 30), 40, 25)) == pytest.approx(0, abs=1e-6)
    assert sq_distance(plain((255, 255, 255)), plain((0, 0, 0))) == pytest.approx(2, abs=1e-6)
    assert (colour_histogram(photo(1)) ** 2).sum() == pytest.approx(1, abs=1e-5)


def test_a_neighbouring_shade_is_near_and_another_colour_is_far() -> None:
    red = plain((200, 30, 30))
    assert sq_distance(red, plain((192, 38, 38))) < 0.5 < 1 < sq_distance(red, plain((30, 30, 200)))


def test_arrangement_is_not_seen_but_the_centre_is() -> None:
    image = photo(2)
    assert sq_distance(image, image[::-1, ::-1]) == pytest.approx(0, abs=1e-9)
    red, blue = (200, 30, 30), (30, 30, 200)
    framed = plain(blue)
    framed[4:12, 4:12] = red  # a quarter of the area, in the middle
    assert sq_distance(framed, plain(red)) < sq_distance(framed, plain(blue))


def test_a_batch_equals_its_images_one_by_one() -> None:
    images = np.stack([photo(seed) for seed in range(3)])
    assert (colour_histograms(images) == np.stack([colour_histogram(image) for image in images])).all()
    assert colour_histograms(images[:0]).shape == (0, math.prod(BINS))


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), dtype=np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), dtype=np.uint8)]
)
def test_what_is_no_rgb_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"needed is uint8 \[H, W, 3\] with at least one pixel"):
        colour_histogram(image)


def test_what_is_no_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needed is \[N, H, W, 3\]"):
        colour_histograms(photo(0))


def test_lightness_is_that_of_cielab() -> None:
    image = photo(3)
    assert lightness(image) == pytest.approx(lab(image)[..., 0], abs=0.01)


def test_a_weight_counts_pixels_as_often_as_it_says() -> None:
    image = photo(4, 4, 6)
    times = np.random.default_rng(0).integers(0, 4, image.shape[:2])
    repeated = image[times > 0].repeat(times[times > 0], axis=0)[None]
    even = np.ones(repeated.shape[:2])
    assert colour_histogram(image, times) == pytest.approx(colour_histogram(repeated, even), abs=1e-6)
    with pytest.raises(ValueError, match=r"weight is \(3,\); needed is \(4, 6\), as the image"):
        colour_histogram(image, np.ones(3))


def test_the_foreground_is_what_the_rim_does_not_look_like_and_else_the_centre() -> None:
    centre = foreground(plain((90, 90, 90), 40, 40))
    assert centre == pytest.approx(centre[::-1, ::-1])
    assert centre.argmax() in (19 * 40 + 19, 19 * 40 + 20, 20 * 40 + 19, 20 * 40 + 20)
    framed = plain((30, 30, 200), 40, 40)
    framed[12:, 8:24] = (200, 30, 30)  # off the middle, and out of the picture at the bottom
    share = foreground(framed)
    assert share[12:, 8:24].sum() > 0.99 * share.sum()
    assert share[12:, 8:24] == pytest.approx(centre[12:, 8:24])
    noise = photo(5, 40, 40)  # a rim of all colours says nothing
    assert foreground(noise) / foreground(noise).sum() == pytest.approx(centre / centre.sum(), abs=3e-3)
