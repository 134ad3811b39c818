"""Splits: products apart where the source lets them be, photos apart where it does not."""

from pathlib import Path

import pandas as pd
import pytest

from tests import learning
from visnet.sampling.splits import Shares, assign_splits

SHARES = Shares(validation=0.25, test=0.25, seed=3)


def records(split: str, products: int = 200, photos: int = 3) -> pd.DataFrame:
    rows = [
        {"photo_id": f"{p}-{i}", "product_id": f"p{p}", "side": "street" if i == 0 else "shop", "split": split}
        for p in range(products)
        for i in range(photos)
    ]
    return pd.DataFrame(rows)


def test_a_product_stands_in_one_split_only() -> None:
    frame = records("")
    split, shared = assign_splits(frame, SHARES)
    assert shared == []
    assert (split.groupby(frame["product_id"]).nunique() == 1).all()
    share = split[frame["side"] == "street"].value_counts(normalize=True)
    assert 0.15 < share["test"] < 0.35
    assert 0.1 < share["validation"] < 0.3  # a quarter of what test left


def test_given_splits_stay_and_validation_is_carved_from_train() -> None:
    frame = records("train")
    frame.loc[frame["product_id"].isin([f"p{i}" for i in range(50)]), "split"] = "test"
    split, shared = assign_splits(frame, SHARES)
    assert shared == []
    assert (split[frame["split"] == "test"] == "test").all()
    assert set(split[frame["split"] == "train"]) == {"train", "validation"}


def test_a_draw_holds_when_other_products_come() -> None:
    few, many = records("", products=100), records("", products=200)
    early, _ = assign_splits(few, SHARES)
    late, _ = assign_splits(many, SHARES)
    assert early.tolist() == late[: len(early)].tolist()


def test_another_seed_draws_others() -> None:
    frame = records("")
    assert assign_splits(frame, SHARES)[0].tolist() != assign_splits(frame, Shares(0.25, 0.25, 4))[0].tolist()


def test_where_products_are_shared_only_street_photos_are_held_out() -> None:
    frame = records("train", photos=20)
    frame["side"] = ["shop" if i % 20 == 0 else "street" for i in range(len(frame))]
    frame.loc[frame.index % 20 > 14, "split"] = "test"
    split, shared = assign_splits(frame, SHARES)
    assert len(shared) == 200
    assert set(split[frame["side"] == "shop"]) == {"train"}
    held = split[(frame["side"] == "street") & (frame["split"] == "train")].value_counts(normalize=True)
    assert 0.2 < held["validation"] < 0.3


def test_a_product_in_two_splits_is_refused_by_their_names(learnable: Path, tmp_path: Path) -> None:
    shop = learning.copy(learnable, tmp_path / "shop")
    stock = shop / "stock.csv"
    stock.write_text(stock.read_text().replace("0-0-2.png,street,train", "0-0-2.png,street,validation"))
    learning.run(shop, "raw_images")
    with pytest.raises(ValueError, match=r"1 products stand in two splits \(the first: 0-0, in train and validation\)"):
        learning.run(shop, "crops")
