"""Products cut out of plain photos, and pasted where nothing else changes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from tests.localizing.toy import SIDE_PX, Rectangles
from visnet.localizing.boxed_photos import Boxed
from visnet.localizing.composites import composite, cutouts
from visnet.localizing.letterbox import letterboxed
from visnet.localizing.plain_background import cutout
from visnet.storage.table import Table


def studio(colour: str = "navy") -> Image.Image:
    """A ring in front of a light background with a gradient, and a speck beside it."""
    light = np.linspace(235, 250, 80)[None, :, None] + np.zeros((80, 80, 3))
    photo = Image.fromarray(light.astype(np.uint8))
    pen = ImageDraw.Draw(photo)
    pen.ellipse((20, 10, 59, 69), fill=colour)
    pen.ellipse((35, 30, 44, 49), fill="white")
    pen.point((75, 75), fill=colour)
    return photo


def test_the_largest_piece_is_cut_out_with_its_holes_filled() -> None:
    piece = cutout(studio())
    assert piece is not None
    assert piece.size == (40, 60)
    alpha = np.asarray(piece.getchannel("A"))
    assert alpha[30, 20] == 255, "what is inside is of the product"
    assert alpha[0, 0] == 0
    assert (alpha > 0).mean() == pytest.approx(np.pi / 4, abs=0.02)


def test_what_stands_before_no_plain_background_is_not_cut_out() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    assert cutout(Image.fromarray(noise)) is None
    assert cutout(Image.new("RGB", (80, 80), "white")) is None


@pytest.mark.parametrize("seed", range(20))
def test_the_box_is_tight_and_no_pixel_outside_of_it_changes(seed: int) -> None:
    piece = cutout(studio("lime"))
    assert piece is not None
    photo = Rectangles(1)[0]
    made = composite(photo, piece, np.random.default_rng(seed))
    changed = (made.pixels != photo.pixels).any(0)
    rows, columns = (changed.any(axis).nonzero().flatten() for axis in (1, 0))
    left, top, right, bottom = made.boxes[0].tolist()
    seen = columns[0].item(), rows[0].item(), columns[-1].item() + 1, rows[-1].item() + 1
    assert seen == pytest.approx((left, top, right, bottom), abs=1)
    outside = torch.ones_like(changed)
    outside[int(top) : int(bottom), int(left) : int(right)] = False
    assert not changed[outside].any()


def test_nothing_is_pasted_into_the_margins() -> None:
    pixels, frame = letterboxed(Image.new("RGB", (200, 90), "red"), SIDE_PX)
    photo = Boxed(pixels, torch.zeros(0, 4), frame)
    for seed in range(10):
        made = composite(photo, Image.new("RGBA", (30, 60), "lime"), np.random.default_rng(seed))
        assert torch.equal(made.pixels[:, : frame.top], pixels[:, : frame.top])
        assert made.boxes[0, 1] >= frame.top
        assert made.boxes[0, 3] <= frame.top + frame.height


def test_a_box_that_is_hidden_goes_and_one_that_is_seen_stays() -> None:
    pixels, frame = letterboxed(Image.new("RGB", (64, 64), "red"), SIDE_PX)
    boxes = torch.tensor([[30.0, 30.0, 34.0, 34.0], [0.0, 0.0, 64.0, 64.0]])
    kept = set()
    for seed in range(20):
        made = composite(Boxed(pixels, boxes, frame), Image.new("RGBA", (40, 40), "lime"), np.random.default_rng(seed))
        left, top, right, bottom = made.boxes[0].tolist()
        hides = left <= 30 and top <= 30 and right >= 34 and bottom >= 34
        small = any(torch.equal(box, boxes[0]) for box in made.boxes[1:])
        assert not (hides and small)
        kept.add(small)
        if (right - left) * (bottom - top) < 0.5 * 64 * 64:
            assert any(torch.equal(box, boxes[1]) for box in made.boxes[1:])
    assert kept == {True, False}


def test_only_products_of_the_training_split_are_cut_out(built: Path) -> None:
    rows = Table(built / "data/crops/crops.lance").read(["product_id", "split"]).to_pandas()
    found = {piece.product_id for piece in cutouts(built / "data/crops")}
    assert len(found) > 10
    assert found <= set(rows[rows["split"] == "train"]["product_id"])
