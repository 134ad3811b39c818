"""Which bad photos are left out, and which stay since their product has no other."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from visnet.errors import NotReady
from visnet.quality import left_out, shown_crops
from visnet.quality.faults import FAULTS
from visnet.storage.table import Table

COLUMNS = ["crop_id", "category", "product_id", "verdict", "fault", "score", "decision"]


def photos(*rows: tuple[object, ...]) -> pd.DataFrame:
    """Make rows of a listing: crop_id, product_id, verdict, and what else is not as of a good one."""
    whole = [(crop, "bag", *some, *("", 0.9, "")[len(some) - 2 :]) for crop, *some in rows]
    return pd.DataFrame(whole, columns=COLUMNS)


@pytest.mark.parametrize(
    ("least", "other"),
    [
        (("watermarked", 0.99, ""), ("placeholder", 0.97, "")),  # one shows the product, the other nothing
        (("watermarked", 0.99, "confirmed"), ("text_only", 0.97, "")),
        (("blurred", 0.99, ""), ("blurred", 0.1, "confirmed")),  # nobody has said it of the first
        (("blurred", 0.97, ""), ("close_up", 0.98, "")),
        (("blurred", 0.97, ""), ("blurred", 0.97, "")),  # the first by its id
    ],
)
def test_of_a_product_whose_photos_are_all_bad_the_least_bad_stays(
    least: tuple[object, ...], other: tuple[object, ...]
) -> None:
    rows = photos(("a", "p", "bad", *least), ("b", "p", "bad", *other))
    for some in (rows, rows[::-1]):
        assert left_out.choose(some) == (("b",), ("a",))


def test_unsure_and_good_photos_stay_and_no_product_of_any_category_loses_its_last() -> None:
    rows = photos(("a", "p", "bad"), ("b", "p", "unsure"), ("c", "q", "good"), ("d", "r", "bad"))
    assert left_out.choose(rows) == (("a",), ("d",))
    rows.loc[0, "category"] = "hat"  # another product, of the same id
    assert left_out.choose(rows) == ((), ("a", "d"))
    assert left_out.choose(rows[:0]) == ((), ())
    assert set(left_out.EMPTY) < FAULTS.keys()


def test_whatever_the_verdicts_it_is_what_a_loop_over_products_says() -> None:
    rng = np.random.default_rng(3)
    rows = photos(*((f"c{at:03d}", f"p{rng.integers(60)}", rng.choice(["bad", "bad", "good"])) for at in range(200)))
    rows["score"] = rng.integers(5, 10, len(rows)) / 10
    found = left_out.choose(rows.sample(frac=1, random_state=1))
    expected: dict[str, list[str]] = {"out": [], "kept": []}
    by_product = sorted(rows.to_dict("records"), key=lambda row: (row["product_id"], row["score"], row["crop_id"]))
    for _, own in itertools.groupby(by_product, key=lambda row: row["product_id"]):
        mine = list(own)
        bad = [row["crop_id"] for row in mine if row["verdict"] == "bad"]
        spared = len(bad) == len(mine)
        expected["kept"] += bad[:spared]
        expected["out"] += bad[spared:]
    assert found == (tuple(sorted(expected["out"])), tuple(sorted(expected["kept"])))
    assert min(len(found.crop_ids), len(found.kept_as_last)) > 5


def crops(path: Path, *more: tuple[str, str, str, str | None]) -> Path:
    """Write a table of crops: two of the shop, a street photo of the test, another, and a lost one."""
    rows = [("a", "shop", "train", None), ("b", "shop", "train", None), ("s", "street", "test", None)]
    rows += [("t", "street", "train", None), ("x", "shop", "train", "404"), *more]
    table = pa.table([list(column) for column in zip(*rows, strict=True)], names=["crop_id", "side", "split", "lost"])
    table = table.set_column(3, "lost", table["lost"].cast(pa.string()))
    Table(path, "crop_id").put(table.append_column("content", table["crop_id"]))
    return path


def test_crops_are_shown_but_for_those_that_are_left_out(tmp_path: Path) -> None:
    table, listed = crops(tmp_path / "crops.lance"), tmp_path / "photo_quality"
    listed.mkdir()

    def shown() -> list[str]:
        return shown_crops.shown_crops(table, listed, ["crop_id"])["crop_id"].to_pylist()

    assert (shown(), shown_crops.left_out(table, listed)) == (["a", "b", "s"], frozenset())
    shown_crops.put_left_out(listed, table, ["b"])
    assert (shown(), shown_crops.left_out(table, listed)) == (["a", "s"], {"b"})
    shown_crops.put_left_out(listed, table, [])
    assert shown() == ["a", "b", "s"]


def test_a_list_that_was_made_of_other_crops_is_refused_with_its_cure(tmp_path: Path) -> None:
    table, listed = crops(tmp_path / "crops.lance"), tmp_path / "photo_quality"
    shown_crops.put_left_out(listed, table, ["b"])
    other = crops(tmp_path / "other.lance", ("c", "shop", "train", None))
    with pytest.raises(NotReady, match=r"left_out\.json is not of today's crops; run `dvc repro photo_quality`"):
        shown_crops.shown_crops(other, listed, ["crop_id"])
    street = crops(tmp_path / "street.lance", ("u", "street", "test", None))
    assert shown_crops.left_out(street, listed) == {"b"}, "street photos have no verdicts"
    assert json.loads((listed / "left_out.json").read_text(encoding="utf-8"))["left_out"] == ["b"]
