"""The score below which nothing is proposed, and the parts of photos that show no product."""

import numpy as np
import pytest
import torch
from PIL import Image

from visnet.localizing.empty_parts import empty_part
from visnet.localizing.localizer import NEVER, gain, unsure_below

WHOLE = torch.tensor([0.0, 0.0, 100.0, 100.0])
TRUE = torch.tensor([[0.0, 0.0, 50.0, 100.0]])


def test_a_gain_is_measured_against_the_whole_photo() -> None:
    assert gain(TRUE[0], TRUE, WHOLE) == pytest.approx(0.5)
    assert gain(torch.tensor([60.0, 0.0, 100.0, 100.0]), TRUE, WHOLE) == pytest.approx(-0.5)
    assert gain(TRUE[0], torch.zeros(0, 4), WHOLE) == -1.0, "there is nothing to find"


def test_most_is_gained_above_the_score() -> None:
    assert unsure_below([0.9, 0.8, 0.5, 0.3], [0.5, 0.4, 0.1, -1.0]) == pytest.approx(0.4)
    assert unsure_below([0.3, 0.9, 0.5, 0.8], [-1.0, 0.5, 0.1, 0.4]) == pytest.approx(0.4), "in whatever order"
    assert unsure_below([0.9, 0.8, 0.7], [0.5, -0.1, 0.4]) == pytest.approx(0.35), "a loss on the way to more"


def test_equal_scores_are_used_together() -> None:
    assert unsure_below([0.9, 0.5, 0.5], [0.5, 0.4, -0.6]) == pytest.approx(0.7)


def test_where_nothing_is_gained_nothing_is_ever_proposed() -> None:
    assert unsure_below([0.9, 0.5], [-0.5, 0.4]) == NEVER
    assert unsure_below([], []) == NEVER


def test_the_largest_strip_beside_all_boxes_is_empty() -> None:
    photo = Image.new("RGB", (100, 80))
    photo.paste("red", (10, 10, 40, 70))
    photo.paste("red", (20, 0, 55, 30))
    part = empty_part(photo, np.array([[10.0, 10.0, 30.0, 60.0], [20.0, -5.0, 35.0, 35.0]]))
    assert part is not None
    assert part.size == (45, 80)
    assert part.getcolors() == [(45 * 80, (0, 0, 0))]
    assert empty_part(photo, np.array([[10.0, 5.0, 80.0, 70.0]])) is None
