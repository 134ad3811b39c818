"""Average precision, against cases that are counted by hand."""

import math

import pytest
import torch

from visnet.localizing.average_precision import average_precision, mean_average_precision, overlaps

NONE = torch.zeros(0, 4), torch.zeros(0)


def box(left: float, width: float = 10.0) -> list[float]:
    return [left, 0.0, left + width, 10.0]


def test_overlaps_are_intersection_over_union() -> None:
    found = overlaps(torch.tensor([box(0)]), torch.tensor([box(0), box(5), box(20), [3.0, 3.0, 3.0, 3.0]]))
    assert found.tolist() == [pytest.approx([1.0, 50 / 150, 0.0, 0.0])]


def test_right_wrong_right_of_three_truths() -> None:
    """Ranked: right (0.9), wrong (0.8), right (0.7); the third truth is not found.

    Precision is 1 up to a recall of 1/3 (34 levels, 0 to 0.33), 2/3 up to 2/3 (33 levels, to 0.66), then 0.
    """
    found = [
        (torch.tensor([box(0), box(50)]), torch.tensor([0.9, 0.8])),
        (torch.tensor([box(1)]), torch.tensor([0.7])),
        NONE,
    ]
    truths = [torch.tensor([box(0)]), torch.tensor([box(0)]), torch.tensor([box(0)])]
    assert average_precision(found, truths) == pytest.approx((34 + 33 * 2 / 3) / 101)


def test_a_truth_is_found_once() -> None:
    """The second box on the same truth is wrong; but it comes after all truths are found."""
    twice = [(torch.tensor([box(0), box(0)]), torch.tensor([0.9, 0.8]))]
    assert average_precision(twice, [torch.tensor([box(0)])]) == 1.0
    two = [*twice, (torch.tensor([box(0)]), torch.tensor([0.1]))]
    assert average_precision(two, [torch.tensor([box(0)])] * 2) == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_the_order_of_scores_is_kept_over_all_photos_and_within_one() -> None:
    mixed = [
        (torch.tensor([box(50), box(0)]), torch.tensor([0.2, 0.9])),
        (torch.tensor([box(50)]), torch.tensor([0.95])),
    ]
    assert average_precision(mixed, [torch.tensor([box(0)]), torch.zeros(0, 4)]) == pytest.approx(0.5)


def test_the_mean_is_over_ten_overlaps() -> None:
    """A box with an overlap of 0.72 is right at 0.5, 0.55, 0.6, 0.65 and 0.7 of 0.5 … 0.95."""
    found = [(torch.tensor([box(0, 7.2)]), torch.tensor([0.5]))]
    truths = [torch.tensor([box(0)])]
    assert average_precision(found, truths, 0.75) == 0.0
    assert mean_average_precision(found, truths) == pytest.approx(0.5)


def test_nothing_found_and_nothing_to_find() -> None:
    assert average_precision([NONE], [torch.tensor([box(0)])]) == 0.0
    assert math.isnan(average_precision([NONE], [torch.zeros(0, 4)]))
