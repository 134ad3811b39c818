"""A crop's id says what the crop is: it stays when others come or go, whatever the ids of photo and product hold."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from visnet.pipeline.log import SILENT
from visnet.runs.console import Console
from visnet.sampling import exclusions
from visnet.sampling.crops import Crops
from visnet.stages import crops, raw_images, triplets
from visnet.storage.table import Table

HEADER = ["_id", "_category", "_name", "_color", "side", "split", "left", "top", "width", "height"]
MAPPED = {name: name for name in HEADER[4:]}
COLOURS = {"_id": "product_id", "_category": "category", "_name": "photo_id"}
Box = tuple[float | str, ...]
WHOLE: Box = ("",) * 4
Row = tuple[str, str, str, str, Box]  # product, category, photo, side, box
CROP = ["photo_id", "product_id", "left", "top", "width", "height"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def build(rows: Sequence[Row], **params: Any) -> dict[str, Any]:
    """Bring a line in this folder up to a stock, as far as its triplets; return what its raw_images reports."""
    with Path("stock.csv").open("w", newline="", encoding="utf-8") as file:
        listed = [[product, category, photo, "", side, "train", *box] for product, category, photo, side, box in rows]
        csv.writer(file).writerows([HEADER, *listed])
    for number, photo in enumerate(sorted({row[2] for row in rows})):
        path = Path("images", photo)
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            Image.fromarray(np.random.default_rng(number).integers(0, 256, (40, 60, 3), np.uint8)).save(path, "PNG")
    asked = {"source": "table", "metadata": "stock.csv", "table": {"columns": MAPPED}}
    said = raw_images.build(out=Path("raw"), params=raw_images.Params.model_validate(asked), log=SILENT)
    crops.build(Path("raw"), out=Path("crops"), params=crops.Params(side_px=16, validation_share=0.0), log=SILENT)
    Path("triplets").mkdir(exist_ok=True)
    drawn = triplets.Params(sampler="street2shop", train=60, validation=0, test=0, **params)
    triplets.build(
        Path("crops"), Path("photo_quality"), out=Path("triplets"), params=drawn, log=Console("triplets", Path())
    )
    return said


def table() -> pd.DataFrame:
    """Read the crops by what they are."""
    frame = Table(Path("crops/crops.lance")).read(["crop_id", *CROP, "category", "side", "lost"]).to_pandas()
    assert frame["lost"].isna().all()
    return frame.sort_values(["crop_id"])


def ids() -> dict[tuple[Any, ...], str]:
    """Return what each crop is -> its id."""
    frame = table()
    return {
        tuple(None if pd.isna(v) else v for v in what): crop for crop, *what in frame[["crop_id", *CROP]].to_numpy()
    }


def used() -> set[str]:
    """Return the crops that triplets hold."""
    frame = pq.read_table("triplets/train.parquet").to_pandas()
    return {crop for column in ("q", "p", "n") for crop in frame[column].astype(str)}


# A street photo shows two pairs of product p in boxes, and q in another; every product has shop photos.
STOCK: list[Row] = [
    ("p", "shoes", "street.png", "street", (20, 0, 10, 20)),
    ("p", "shoes", "street.png", "street", (40, 0, 10, 20)),
    ("q", "shoes", "street.png", "street", (50, 20, 10, 20)),
    *((product, "shoes", f"{product}{number}.png", "shop", WHOLE) for product in "pqr" for number in (0, 1)),
]
LEFT: Row = ("p", "shoes", "street.png", "street", (0, 0, 10, 20))


def test_a_box_at_the_left_renames_no_other_and_what_is_excluded_stays_so() -> None:
    build(STOCK)
    before = ids()
    unfit = before["street.png", "p", 20.0, 0.0, 10.0, 20.0]
    assert {unfit, before["street.png", "p", 40.0, 0.0, 10.0, 20.0]} <= used()
    exclusions.write(Path("exclusions.csv"), exclusions.Exclusions(frozenset([exclusions.row("photo", unfit)])))
    build([*STOCK[::-1], LEFT])
    after = ids()
    assert before.items() < after.items()
    assert used() & set(after.values()) == set(after.values()) - {unfit}
    build(STOCK[1:])
    assert ids() == {what: crop for what, crop in before.items() if crop != unfit}


def test_equal_records_are_one_crop_and_other_facts_make_others() -> None:
    twice = ("p", "sale", "p0.png", "shop", WHOLE)
    more: list[Row] = [("q", "sale", "q0.png", "shop", WHOLE), ("p", "shoes", "p0.png", "street", WHOLE), twice]
    said = build([*STOCK, *more, *more])
    frame = table()
    assert (said["records"], said["records_dropped"], len(frame)) == (12, 3, 12)
    assert frame["crop_id"].is_unique
    of_p = frame[(frame["photo_id"] == "p0.png")]
    assert sorted(of_p[["category", "side"]].itertuples(index=False, name=None)) == [
        ("sale", "shop"),
        ("shoes", "shop"),
        ("shoes", "street"),
    ]


def test_no_sign_in_an_id_makes_two_crops_one() -> None:
    signs = ["|", ":", "=", ",", "'", '"', "\n", "\x1f", "%", "👜", "\\"]
    rows: list[Row] = [
        row
        for sign in signs
        for row in (
            (f"b{sign}c", "h", f"a{sign}x", "shop", WHOLE),
            ("c", f"h{sign}a", f"a{sign}b", "shop", WHOLE),
            (f"x{sign}b{sign}c", "h", "a", "shop", WHOLE),
            ("b", f"h{sign}a", f"a{sign}{sign}b", "street", WHOLE),
            ("b", f"h{sign}a", f"a{sign}0", "shop", WHOLE),
        )
        if row[0].isprintable()  # a table drops ids that no line of a list could show
    ]
    build(rows)
    frame = table()
    assert len(frame) == len(rows)
    assert frame["crop_id"].is_unique
    assert {*frame[["product_id", "category", "photo_id", "side"]].itertuples(index=False, name=None)} == {
        row[:4] for row in rows
    }
    version = Table(Path("crops/crops.lance")).version
    build(rows[::-1])
    assert Table(Path("crops/crops.lance")).version == version


def former(rows: Sequence[Row]) -> dict[tuple[str, str, Box], str]:
    """Name crops as versions before did: by their number among the boxes of their photo and product, from the left."""
    names: dict[tuple[str, str, Box], str] = {}
    for product, _, photo, _, box in sorted(rows, key=lambda row: [float(v) for v in row[4] if v != ""]):
        number = sum((photo, product) == what[:2] for what in names)
        names[photo, product, box] = f"{photo}|{product}|{number}"
    return names


def test_exclusions_by_former_ids_are_carried_over_once_and_bar_the_same_crops(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stock = [*STOCK, ("p|q", "shoes", "odd|name.png", "shop", WHOLE), ("p|q", "shoes", "odd.png", "street", WHOLE)]
    name = former(stock)
    left, right = (name["street.png", "p", (x, 0, 10, 20)] for x in (20, 40))
    assert (left, right) == ("street.png|p|0", "street.png|p|1")
    odd, shop = name["odd|name.png", "p|q", WHOLE], name["p0.png", "p", WHOLE]
    path = Path("exclusions.csv")
    path.write_text(
        f"what,a,b\nphoto,{right},\nphoto,{odd},\nphoto,gone.png|p|0,\npositive,{shop},{left}\nnegative,{left},q1.png|q|0\n"
    )
    build(stock, exclusions=str(path))
    today = ids()
    whole = (None,) * 4
    left, right = (today["street.png", "p", x, 0.0, 10.0, 20.0] for x in (20.0, 40.0))
    odd, shop = today["odd|name.png", "p|q", *whole], today["p0.png", "p", *whole]
    expected = [
        ("photo", right),
        ("photo", odd),
        ("photo", "gone.png|p|0"),
        ("positive", left, shop),
        ("negative", left, today["q1.png", "q", *whole]),
    ]
    assert exclusions.read(path) == exclusions.Exclusions(frozenset(exclusions.row(*one) for one in expected))
    assert "exclusions.csv: 5 of 6 crops named by position are named by content now" in capsys.readouterr().err
    drawn = pq.read_table("triplets/train.parquet").to_pandas().astype(str)
    assert len(drawn)
    assert not {right, odd} & used()
    assert (left, shop) not in {*drawn[["q", "p"]].itertuples(index=False, name=None)}
    written = path.read_bytes(), path.stat().st_mtime_ns
    build([*stock, LEFT], exclusions=str(path))  # renames nothing
    assert (path.read_bytes(), path.stat().st_mtime_ns) == written
    assert "position" not in capsys.readouterr().err
    assert not {right, odd} & used()


def test_a_product_called_as_a_category_and_colour_is_not_taken_for_them() -> None:
    frame = pd.DataFrame(
        {
            "crop_id": list("abcde"),
            "product_id": ["hat|red", "p", "q", "hat|red", "r"],
            "category": ["hat", "hat", "hat", "bag", "hat|red"],
            "colour": ["", "red", "red", "", ""],
            "side": "shop",
            "split": "train",
        }
    )
    photos = triplets._photos(frame, Crops.from_frame(frame), "colour")
    assert photos["label"].tolist() == [0, 1, 1, 0, 2]
    assert triplets._photos(frame, Crops.from_frame(frame), "product")["label"].tolist() == [0, 1, 2, 0, 3]
