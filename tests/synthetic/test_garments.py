"""The synthetic shop's garments: look-alikes that differ in one thing, boxes that hold the garment."""

import itertools

import numpy as np
import pytest
from PIL import Image

from tests.synthetic.small import RECIPE
from visnet.synthetic import scenes
from visnet.synthetic.assortment import differences, stock
from visnet.synthetic.garments import CATEGORIES
from visnet.synthetic.raster import drawn
from visnet.synthetic.view import projected


def test_look_alikes_differ_in_exactly_the_one_attribute_they_name() -> None:
    pairs = 0
    for category in CATEGORIES:
        shelf = stock(RECIPE, category, 64)
        looks = [tuple(sorted(p.look.items())) for p in shelf]
        assert len(set(looks)) == len(looks), "no two products look the same"
        alike = [p for p in shelf if p.detail and sum(q.family == p.family for q in shelf) > 1]
        assert 0.45 < len(alike) / len(shelf) < 0.55
        for one in alike:
            for other in alike:
                if one.family == other.family and one is not other:
                    assert differences(one, other) == [one.detail]
                    assert one.look["colour"] == other.look["colour"]
                    pairs += 1
    assert pairs > 200


def test_every_option_of_every_cut_shows() -> None:
    # Two products that differ on paper only would be a mistake in every evaluation.
    for category, module in CATEGORIES.items():
        base = stock(RECIPE, category, 1)[0]
        shown = dict.fromkeys(module.CUT, 0)
        for attribute, options in module.CUT.items():
            pictures = set()
            for option in options:
                look = {**base.look, **{a: o[0] for a, o in module.CUT.items()}, "pattern": "plain", attribute: option}
                shapes = module.shapes(look, scenes.Pose())
                picture = drawn(shapes, look, module.GRAIN, strewn=True, long_px=96, rng=np.random.default_rng(0))
                pictures.add((picture.image.size, picture.image.tobytes()))
            shown[attribute] = len(pictures)
        assert shown == {a: len(o) for a, o in module.CUT.items()}, category


def test_look_alikes_can_be_told_apart_by_looking() -> None:
    pairs = 0
    for category, module in CATEGORIES.items():
        pictures: dict[str, list[np.ndarray]] = {}
        for one in stock(RECIPE, category, 32):
            strewn = getattr(module, "STREWN", False)
            shapes = module.shapes(one.look, scenes.Pose())
            rng = np.random.default_rng(0)
            garment = drawn(shapes, one.look, module.GRAIN, strewn=strewn, long_px=116, rng=rng).image
            canvas = Image.new("RGB", (128, 128), (230, 230, 230))
            canvas.paste(garment, ((128 - garment.width) // 2, (128 - garment.height) // 2), garment)
            pictures.setdefault(one.family, []).append(np.asarray(canvas).astype(int))
        for family, members in pictures.items():
            for a, b in itertools.combinations(members, 2):
                assert (np.abs(a - b).max(axis=-1) > 40).sum() >= 20, f"{family}: two members look the same"
                pairs += 1
    assert pairs > 100


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_box_lies_in_the_photo_and_holds_the_garment(category: str) -> None:
    module = CATEGORIES[category]
    for number in range(6):
        scene = scenes.scene(RECIPE, f"{category}-{number:04d}-street-1")
        left, top, width, height = scene.box
        assert 0 <= left < left + width <= scene.size[0] + 1e-6
        assert 0 <= top < top + height <= scene.size[1] + 1e-6
        assert 0.3 < max(width / scene.size[0], height / scene.size[1]) <= 1
        assert (width, height) != scene.size, "there is more in a street photo than the garment"
        picture = drawn(
            scene.shapes,
            scene.product.look,
            module.GRAIN,
            strewn=True,
            long_px=scene.view.scale_px,
            rng=np.random.default_rng(0),
        )
        everywhere = (0.0, 0.0, *map(float, scene.size))
        layer = projected(picture, scene.view, everywhere, scene.size)
        assert layer
        found = layer[0].getchannel("A").point([0] * 128 + [255] * 128).getbbox()
        assert found
        assert left - 2 <= found[0]
        assert top - 2 <= found[1]
        assert found[2] <= left + width + 2
        assert found[3] <= top + height + 2
        assert (found[2] - found[0]) * (found[3] - found[1]) > 0.45 * width * height, "the box is only a little loose"
