"""Which crops a split may use, and what a table of crops must hold."""

import numpy as np
import pandas as pd
import pytest

from visnet.sampling.crops import Crops

COLUMNS = ["product_id", "category", "colour", "side", "split"]


def crops(*rows: tuple[str, str, str]) -> Crops:
    """Make crops of (product, side, split), one category and colour."""
    return Crops.from_frame(pd.DataFrame([(p, "hat", "red", side, split) for p, side, split in rows], columns=COLUMNS))


def test_a_product_belongs_where_its_street_crops_are_and_its_shop_crops_serve_it_there() -> None:
    table = crops(("a", "street", "train"), ("a", "shop", "test"), ("b", "street", "test"), ("b", "shop", ""))
    assert table.pool("train").tolist() == [True, True, False, False]
    assert table.pool("test").tolist() == [False, False, True, True]
    assert table.queries("train").tolist() == [True, False, False, False]


def test_a_product_photographed_in_two_splits_lends_its_shop_crops_to_both_and_its_street_crops_to_one() -> None:
    table = crops(("a", "street", "train"), ("a", "street", "test"), ("a", "shop", "train"))
    assert table.pool("train").tolist() == [True, False, True]
    assert table.pool("test").tolist() == [False, True, True]
    assert table.queries("train").tolist() == [True, False, True]
    assert table.queries("test").tolist() == [False, True, False]


def test_without_street_crops_the_shop_crops_decide_and_stay_in_their_own_split() -> None:
    table = crops(("a", "shop", "train"), ("a", "shop", "test"), ("b", "shop", "validation"), ("c", "shop", ""))
    assert table.pool("train").tolist() == [True, False, False, False]
    assert table.belongs("test").tolist() == [True, True, False, False]
    assert table.pool("validation").tolist() == table.queries("validation").tolist() == [False, False, True, False]


def test_no_split_means_the_whole_table() -> None:
    table = crops(("a", "shop", "train"), ("b", "street", ""))
    assert table.pool(None).all()
    assert table.queries(None).all()


def test_an_unknown_colour_is_no_colour_and_an_unknown_category_is_one_more_category() -> None:
    frame = pd.DataFrame([("a", "", "", "shop", ""), ("b", "hat", None, "shop", None), ("c", "", "red", "shop", "")])
    table = Crops.from_frame(frame.set_axis(COLUMNS, axis=1))
    assert table.colour.tolist() == [-1, -1, max(table.colour)]
    assert table.category[0] == table.category[2] != table.category[1]
    assert table.category.min() >= 0
    assert table.split.tolist() == [-1, -1, -1]


def test_crops_share_a_photo_only_where_the_table_says_so() -> None:
    frame = pd.DataFrame([("a", "", "", "shop", "")] * 4, columns=COLUMNS)
    assert len(set(Crops.from_frame(frame).photo.tolist())) == 4
    photo = Crops.from_frame(frame.assign(photo_id=["x", "y", "x", ""])).photo
    assert photo[0] == photo[2]
    assert len(set(photo.tolist())) == 3


def test_an_empty_table_is_a_table() -> None:
    table = Crops.from_frame(pd.DataFrame(columns=COLUMNS))
    assert len(table) == 0
    assert table.pool("train").shape == table.queries("test").shape == (0,)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("", "hat", "red", "shop", "train"), "row 1 has no product_id"),
        (("b", "hat", "red", "", "train"), "row 1 has no side; allowed are street, shop"),
        (("b", "hat", "red", "left", "train"), "row 1: side is 'left'; allowed are street, shop"),
        (("b", "hat", "red", "shop", "val"), "row 1: split is 'val'; allowed are train, validation, test"),
    ],
)
def test_a_bad_row_is_named_with_what_is_allowed(row: tuple[str, ...], said: str) -> None:
    frame = pd.DataFrame([("a", "hat", "red", "shop", "train"), row], columns=COLUMNS)
    with pytest.raises(ValueError, match=said):
        Crops.from_frame(frame)


def test_a_missing_column_and_an_unknown_split_are_named() -> None:
    with pytest.raises(ValueError, match="no column 'colour'"):
        Crops.from_frame(pd.DataFrame(columns=[c for c in COLUMNS if c != "colour"]))
    with pytest.raises(ValueError, match="'dev'; allowed are train, validation, test"):
        crops(("a", "shop", "train")).pool("dev")


def test_taking_rows_keeps_codes_and_order() -> None:
    table = crops(("a", "shop", "train"), ("b", "street", "test"), ("c", "shop", ""))
    taken = table.take(np.array([2, 0]))
    assert taken.product.tolist() == table.product[[2, 0]].tolist()
    assert taken.side.tolist() == table.side[[2, 0]].tolist()
