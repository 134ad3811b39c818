"""A contact sheet's captions: what is too long for its tile keeps the end, by which photos are told apart."""

import numpy as np
from PIL import Image

from visnet.sheets.contact_sheet import Thumbnail, sheet

SIDE_PX = 96


def drawn(caption: str) -> np.ndarray:
    """Return what is drawn of a caption, below a white tile."""
    page = sheet([[Thumbnail(Image.new("RGB", (8, 8), "white"), caption)]], side_px=SIDE_PX)
    return np.asarray(page)[SIDE_PX:]


def test_names_that_differ_at_their_end_differ_in_the_picture() -> None:
    beginning = "outerwear/winter-coats/IMG_2026_"
    assert not np.array_equal(drawn(f"{beginning}0001 0.123"), drawn(f"{beginning}0002 0.123"))
    assert not np.array_equal(drawn(f"{beginning}0001 0.123"), drawn(f"{beginning}0001 0.124"))
    assert np.array_equal(drawn(f"other{beginning}0001"), drawn(f"{beginning}0001"))


def test_no_caption_leaves_its_tile_and_short_ones_stay_whole() -> None:
    for caption in ("W" * 60, "", "m", "hat 0.5"):
        assert (drawn(caption)[:, 8 + SIDE_PX + 1 :] == 255).all(), caption
    assert not np.array_equal(drawn("a hat 0.5"), drawn("hat 0.5"))
