"""Planted faults: what each leaves of a photo and what it does not, held against plain counts of pixels."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tests.quality.photos import noise, product
from visnet.localizing.plain_background import product_mask
from visnet.quality import good, layouts, optics, overlays
from visnet.quality.faults import FAULTS, OTHERS, REASONS

PHOTOS = [product(seed) for seed in range(OTHERS + 1)]
DRAWS = 12


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, np.float32)


def planted(name: str, draw: int, photos: list[Image.Image] = PHOTOS) -> Image.Image:
    made = FAULTS[name](photos, np.random.default_rng(draw))
    assert made is not None
    return made


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("size", [(160, 160), (90, 161), (300, 64)])
def test_a_fault_keeps_the_size_follows_its_generator_and_differs_from_draw_to_draw(
    name: str, size: tuple[int, int]
) -> None:
    photos = [product(seed, size) for seed in range(OTHERS + 1)]
    before = [photo.tobytes() for photo in photos]
    made = [planted(name, draw, photos) for draw in range(4)]
    assert {(one.size, one.mode) for one in made} == {(size, "RGB")}
    assert made[2].tobytes() == planted(name, 2, photos).tobytes()
    assert len({one.tobytes() for one in made}) == 4
    assert [photo.tobytes() for photo in photos] == before, "the good photo stays good"


def test_every_fault_has_words() -> None:
    assert REASONS.keys() == FAULTS.keys()


def test_a_close_up_shows_less_of_the_background_than_the_photo() -> None:
    ground = pixels(PHOTOS[0])[0, 0]
    for draw in range(DRAWS):
        near = np.abs(pixels(planted("close_up", draw)) - ground).max(2) < 40
        assert near.mean() < 0.5 * (np.abs(pixels(PHOTOS[0]) - ground).max(2) < 40).mean()


def test_a_blur_takes_detail_and_keeps_the_light() -> None:
    def detail(picture: Image.Image) -> float:
        return float(np.abs(np.diff(pixels(picture), axis=0)).mean() + np.abs(np.diff(pixels(picture), axis=1)).mean())

    fine = Image.fromarray(np.random.default_rng(0).integers(0, 256, (160, 160, 3)).astype(np.uint8))
    for draw in range(DRAWS):
        blurred = planted("blurred", draw, [fine])
        assert detail(blurred) < 0.7 * detail(fine)
        assert abs(pixels(blurred).mean() - pixels(fine).mean()) < 6


@pytest.mark.parametrize(
    "photo", [product(3), noise(1), Image.new("RGB", (160, 160), "white")], ids=["product", "noise", "white"]
)
def test_a_watermark_is_seen_and_leaves_most_of_the_photo(photo: Image.Image) -> None:
    for draw in range(DRAWS):
        differs = np.abs(pixels(overlays.watermarked(photo, np.random.default_rng(draw))) - pixels(photo)).max(2)
        assert (differs > 10).mean() > 0.002
        assert (differs > 10).mean() < 0.5


def test_an_offer_hides_a_part_and_not_all() -> None:
    for draw in range(DRAWS):
        hidden = np.abs(pixels(planted("promotional", draw)) - pixels(PHOTOS[0])).max(2) > 20
        assert 0.01 < hidden.mean() < 0.8


@pytest.mark.parametrize("name", ["text_only", "placeholder"])
def test_a_blank_shows_nothing_of_the_colours_of_a_photo(name: str) -> None:
    for draw in range(DRAWS):
        made, other = planted(name, draw), FAULTS[name]([noise(5)], np.random.default_rng(draw))
        assert other is not None
        # the silhouette of a cut out product is its shape alone
        assert len(np.unique(pixels(made).reshape(-1, 3), axis=0)) < 12_000
        assert np.abs(pixels(other) - pixels(noise(5))).mean() > 15


def test_a_collage_has_a_seam_from_edge_to_edge() -> None:
    flats = [Image.new("RGB", (160, 160), (level, level, level)) for level in range(0, 250, 28)]
    for draw in range(DRAWS):
        made = pixels(layouts.collage(flats, np.random.default_rng(draw)))[..., 0]
        assert len(np.unique(made[4:-4, 4:-4])) > 1
        assert max((np.abs(np.diff(made, axis=axis)) > 0).mean(1 - axis).max() for axis in (0, 1)) > 0.25


def test_several_products_are_scattered_only_where_they_can_be_cut_out() -> None:
    rng = np.random.default_rng(0)
    assert layouts.several([noise(at) for at in range(5)], rng) is None
    assert layouts.several([PHOTOS[0], noise(0), PHOTOS[1]], rng) is None, "two are not several"
    made = layouts.several(PHOTOS[:3], rng)
    assert made is not None
    assert made.size == PHOTOS[0].size


def test_a_photo_of_a_few_pixels_survives_every_fault() -> None:
    for name, plant in FAULTS.items():
        made = plant([Image.new("RGB", (16, 9), "white")] * 2, np.random.default_rng(1))
        assert made is None or made.size == (16, 9), name


HARD: list[Callable[[Image.Image, np.random.Generator], Image.Image | None]] = [good.printed, good.small, good.plain]


@pytest.mark.parametrize("make", HARD)
def test_a_hard_good_photo_changes_the_product_and_not_its_surroundings(
    make: Callable[[Image.Image, np.random.Generator], Image.Image | None],
) -> None:
    assert make(noise(), np.random.default_rng(0)) is None, "it is not known where the product is"
    mask = product_mask(PHOTOS[1])
    assert mask is not None
    for draw in range(DRAWS):
        made = make(PHOTOS[1], np.random.default_rng(draw))
        assert made is not None
        changed = np.abs(pixels(made) - pixels(PHOTOS[1])).max(2) > 8
        assert changed.any()
        if make is not good.small:
            assert not changed[~mask].any()


def test_good_variants_stay_near_the_photo() -> None:
    for draw in range(DRAWS):
        for make in (good.coarse, good.varied):
            made = make(PHOTOS[2], np.random.default_rng(draw))
            assert made.size == PHOTOS[2].size
            assert np.abs(pixels(made) - pixels(PHOTOS[2])).mean() < 40


def test_a_close_up_of_a_photo_without_a_plain_ground_is_a_part_of_it() -> None:
    made = optics.close_up(noise(3), np.random.default_rng(3))
    assert made.tobytes() != noise(3).tobytes()
