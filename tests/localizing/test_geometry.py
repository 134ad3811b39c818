"""Boxes on their way into the square, through the augmentation, and back."""

import numpy as np
import pytest
import torch
from PIL import Image

from visnet.localizing.letterbox import letterboxed
from visnet.training.augment import augment, draw, moved_boxes
from visnet.zoo import Augment

SIDE_PX = 96


@pytest.mark.parametrize("size", [(300, 200), (90, 400), (50, 50), (1, 7)])
def test_a_box_that_goes_into_the_square_comes_back_as_it_was(size: tuple[int, int]) -> None:
    _, frame = letterboxed(Image.new("RGB", size), SIDE_PX)
    width, height = size
    box = (0.1 * width, 0.3 * height, 0.5 * width, 0.6 * height)
    (there,) = frame.into(np.array([box]))
    assert frame.back(there) == pytest.approx(box, rel=1e-4)
    assert frame.back(frame.whole) == pytest.approx((0, 0, width, height))


def test_what_of_a_box_lies_outside_of_the_photo_is_cut_off() -> None:
    _, frame = letterboxed(Image.new("RGB", (200, 100)), SIDE_PX)
    assert frame.into(np.array([(-50.0, -9.0, 500.0, 500.0)])).tolist() == [frame.whole.tolist()]
    assert frame.back(torch.tensor([0.0, 0.0, 96.0, 96.0])) == pytest.approx((0, 0, 200, 100))


def test_the_square_holds_the_photo_in_the_middle_of_grey() -> None:
    pixels, frame = letterboxed(Image.new("RGB", (200, 100), "red"), SIDE_PX)
    assert frame.whole.tolist() == [0, 24, 96, 72]
    assert (pixels[:, 24:72] == torch.tensor([255, 0, 0]).view(3, 1, 1)).all()
    assert (pixels[:, :24] == 127).all()
    assert (pixels[:, 72:] == 127).all()


MOVES = Augment(flip=0.5, crop=0.4, zoom=0.2)


def test_boxes_move_as_their_pixels_do() -> None:
    """A white rectangle is augmented, and looked for in the pixels."""
    torch.seed()
    draws = draw(64, torch.Generator().manual_seed(3))
    photos, box = torch.zeros(64, 3, SIDE_PX, SIDE_PX), torch.tensor([30.0, 40.0, 60.0, 85.0])
    photos[:, :, 40:85, 30:60] = 1.0
    boxes = torch.full((64, 2, 4), float("nan"))
    boxes[:, 1] = box
    moved = moved_boxes(boxes, MOVES, draws, SIDE_PX, 0.0)
    assert moved[:, 0].isnan().all()
    for photo, (left, top, right, bottom) in zip(augment(photos, MOVES, draws), moved[:, 1].tolist(), strict=True):
        rows, columns = ((photo[0] > 0.6).any(axis).nonzero().flatten() for axis in (1, 0))
        seen = (columns[0].item(), rows[0].item(), columns[-1].item() + 1, rows[-1].item() + 1)
        assert seen == pytest.approx((left, top, right, bottom), abs=1.5)


def test_a_turned_box_is_widened_until_it_is_upright() -> None:
    draws = torch.full((1, 17), 0.5)
    draws[:, 7] = 1.0  # the whole angle
    box = torch.tensor([[[38.0, 28.0, 58.0, 68.0]]])  # 20 x 40, in the middle
    moved = moved_boxes(box, Augment(rotation_deg=90.0), draws, SIDE_PX, 0.0)
    assert moved[0, 0].tolist() == pytest.approx([28, 38, 68, 58], abs=1e-3)


def test_a_box_of_which_too_little_stays_is_none() -> None:
    draws = torch.full((1, 17), 0.5)
    draws[:, 2], draws[:, 3], draws[:, 4] = 1.0, 1.0, 1.0  # the lower right quarter is what stays
    boxes = torch.tensor([[[0.0, 0.0, 60.0, 60.0], [40.0, 40.0, 96.0, 96.0]]])
    moved = moved_boxes(boxes, Augment(crop=0.75), draws, SIDE_PX, 0.4)
    assert moved[0, 0].isnan().all()
    assert moved[0, 1].tolist() == pytest.approx([0, 0, 96, 96], abs=1e-3)
