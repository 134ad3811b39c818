"""Two photos held against each other: copies are found whatever was done to them, and colour variants stay apart."""

import pytest
import torch

from tests.duplicates.pictures import MADE, drawn, stacked
from visnet.duplicates.comparison import compare
from visnet.duplicates.verdict import relations, scores
from visnet.stages.duplicates import Params

SEEDS = range(6)
SCORE_MIN = Params().score_min


@pytest.mark.parametrize("made", MADE)
def test_a_copy_is_found(made: str) -> None:
    pictures = [drawn(seed) for seed in SEEDS]
    found = scores(compare(stacked(pictures), stacked([MADE[made](one) for one in pictures])).features)
    assert (found >= SCORE_MIN).mean() >= 5 / 6, found


def test_what_was_done_is_named() -> None:
    pictures = [drawn(seed) for seed in SEEDS]
    for made, relation in (("saved again", "same"), ("mirrored", "mirrored"), ("turned", "turned"), ("cut", "part")):
        seen = compare(stacked(pictures), stacked([MADE[made](one) for one in pictures]))
        assert relations(seen.features, seen.maps).count(relation) >= 5, made


def test_the_same_thing_in_another_colour_and_another_thing_stay_apart() -> None:
    pictures = [drawn(seed, hue=20) for seed in SEEDS]
    variants = [drawn(seed, hue) for seed, hue in zip(SEEDS, (60, 90, 120, 150, 180, 220), strict=True)]
    seen = compare(stacked(pictures), stacked(variants)).features
    assert (seen[:, 0] > 0.9).all(), "the structure is the same, so that the colour is what tells them apart"
    assert (scores(seen) < SCORE_MIN).all()
    others = [drawn(seed + 50, hue=20) for seed in SEEDS]
    assert (scores(compare(stacked(pictures), stacked(others)).features) < SCORE_MIN).all()


def test_which_comes_first_and_what_is_compared_beside_it_change_nothing() -> None:
    a, b = stacked([drawn(seed) for seed in SEEDS]), stacked([MADE["cut"](drawn(seed)) for seed in SEEDS])
    whole = compare(a, b).features
    torch.testing.assert_close(torch.cat([compare(a[i : i + 1], b[i : i + 1]).features for i in SEEDS]), whole)
    torch.testing.assert_close(
        torch.as_tensor(scores(compare(b, a).features)), torch.as_tensor(scores(whole)), atol=0.1, rtol=0
    )


def test_a_photo_that_shows_nothing_is_no_copy_of_anything() -> None:
    blank = torch.full((1, 3, 64, 64), 255, dtype=torch.uint8)
    for other in (blank, stacked([drawn(1)])):
        assert scores(compare(blank, other).features) < SCORE_MIN
