"""visnet.sources.table: any CSV, TSV or Parquet with one row per photo."""

import io
import re
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.image_server import ImageServer
from tests.sources.stock_csv import HEADER, ROWS, rows, write
from visnet.photos.web.options import FetchOptions
from visnet.pipeline.log import SILENT
from visnet.sources import table
from visnet.sources.listing import PHOTOS, RECORDS
from visnet.sources.table import Columns, Params

OWN = Columns(product="sku", category="kind", url="image")


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [("t.csv", ","), ("t.csv", "\t"), ("t.csv", ";"), ("t.txt", "|"), ("t.tsv", "\t"), ("T.CSV", ",")],
)
def test_the_metadata_layout_works_out_of_the_box(tmp_path: Path, name: str, delimiter: str) -> None:
    path = write(tmp_path / name, ROWS, delimiter=delimiter)
    listing = table.listing(Params(), path)
    assert (listing.photos.schema, listing.records.schema, listing.dropped) == (PHOTOS, RECORDS, {})
    assert rows(listing, "photo_id", "product_id", "category", "colour", "gender", "side", "split") == [
        (name, product, category, colour, gender, "shop", "") for category, colour, product, gender, name in ROWS
    ]
    assert {*rows(listing, "left", "top", "width", "height")} == {(None,) * 4}
    assert listing.photos["locator"].to_pylist() == [f"{tmp_path}/images/{row[-1]}" for row in ROWS]


def test_levels_that_are_joined_otherwise_become_paths(tmp_path: Path) -> None:
    kinds = ["Women > Tops/Tees", "Women >  Sarees > Silk", "Shoes"]
    path = write(tmp_path / "t.csv", [(kind, *row[1:]) for kind, row in zip(kinds, ROWS, strict=True)])
    found = rows(table.listing(Params(levels=" > "), path), "category")
    assert found == [("Women/Tops%2FTees",), ("Women/Sarees/Silk",), ("Shoes",)]
    assert rows(table.listing(Params(), path), "category") == [(kind,) for kind in kinds]


def test_parquet_reads_as_the_csv_does(tmp_path: Path) -> None:
    expected = table.listing(Params(), write(tmp_path / "t.csv", ROWS))
    columns = dict(zip(HEADER, map(list, zip(*ROWS, strict=True)), strict=True))
    columns["_color"] = pa.array(["Black", None, "Red"]).dictionary_encode()
    pq.write_table(pa.table({**columns, "more": [[1], [], []]}), tmp_path / "t.parquet")
    found = table.listing(Params(), tmp_path / "t.parquet")
    assert found.records.equals(expected.records)
    assert found.photos.equals(expected.photos)
    pq.write_table(pa.table({**columns, "_id": [17, 17, 18]}), tmp_path / "t.parquet")
    assert table.listing(Params(), tmp_path / "t.parquet").records["product_id"].to_pylist() == ["17", "17", "18"]


def test_own_columns_with_addresses_boxes_sides_and_splits(tmp_path: Path) -> None:
    columns = Columns(
        **OWN.model_dump(include={"product", "category", "url"}),
        side="where", split="part", left="x", top="y", width="w", height="h",
    )  # fmt: skip
    path = write(
        tmp_path / "own.csv",
        [
            ["7", "hat", "https://a/7.jpg?w=1,2", "street", "test", "-3", "0.5", "10", "1e2"],
            ["7", "hat", "/srv/7.jpg", "", "", "", "", "", ""],
            ["8", "hat", "8.jpg", "shop", "validation", "0", "0", "1", "1"],
        ],
        ["sku", "kind", "image", "where", "part", "x", "y", "w", "h"],
    )
    listing = table.listing(Params(columns=columns, images="pictures/.."), path)
    assert listing.photos["locator"].to_pylist() == [
        "https://a/7.jpg?w=1,2",
        "/srv/7.jpg",
        f"{tmp_path}/pictures/../8.jpg",
    ]
    assert rows(listing, "side", "split", "left", "top", "width", "height") == [
        ("street", "test", -3.0, 0.5, 10.0, 100.0),
        ("shop", "", None, None, None, None),
        ("shop", "validation", 0.0, 0.0, 1.0, 1.0),
    ]


def test_a_row_with_both_a_path_and_an_address_uses_the_path(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [["1", "a.jpg", "http://a/1"], ["1", "", "http://a/2"]], ["p", "file", "url"])
    listing = table.listing(Params(columns=Columns(product="p", category="p", path="file", url="url")), path)
    assert listing.photos["locator"].to_pylist() == [f"{tmp_path}/images/a.jpg", "http://a/2"]


def test_unusable_and_repeated_rows_are_counted(tmp_path: Path) -> None:
    columns = Columns(left="x", top="y", width="w", height="h")
    box = ["0", "0", "9", "9"]
    path = write(
        tmp_path / "t.csv",
        [
            [*ROWS[0], *box],
            [*ROWS[0], *box],  # the same again
            [*ROWS[0], "1", "0", "9", "9"],  # another box on that photo
            ["hat", "", " ", "", "a.jpg", *box],
            ["hat", "", "5", "", "", *box],
            ["hat", "", "", "", "", *box],  # two faults: counted once
            ["hat", "", "5", "", "b.jpg", "0", "0", "9", ""],
            ["hat", "", "5", "", "c.jpg", "0", "0", "0", "9"],
            ["hat", "", "5", "", "d.jpg", "0", "0", "9", "-1"],
            ["", "", "6", "", "e.jpg", "", "", "", ""],  # the category is not known: fine
        ],
        [*HEADER, "x", "y", "w", "h"],
    )
    listing = table.listing(Params(columns=columns), path)
    assert listing.dropped == {
        "empty product": 2,
        "empty path or url": 1,
        "box with a part missing": 1,
        "box of no size": 2,
        "duplicate row": 1,
    }
    assert rows(listing, "photo_id", "left") == [(ROWS[0][-1], 0.0), (ROWS[0][-1], 1.0), ("e.jpg", None)]
    assert listing.photos["photo_id"].to_pylist() == [ROWS[0][-1], "e.jpg"]


def test_colour_and_gender_may_be_missing_unless_written(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [["1", "hat", "a.jpg"]], ["sku", "kind", "image"])
    listing = table.listing(Params(columns=OWN), path)
    assert rows(listing, "colour", "gender") == [("", "")]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (Columns(product="sku"), "columns.product: no column 'sku'; the table has _category, _color, _id, _gender, _n"),
        (Columns(colour="hue"), "columns.colour: no column 'hue'; the table has _category"),
        (Columns(path="file"), "columns.path: no column 'file'; the table has"),
        (Columns(url="link"), "columns.url: no column 'link'; the table has"),
        (Columns(path=""), "neither columns.path nor columns.url is mapped to a column; the table has"),
        (Columns(category=""), "columns.category is not mapped; the table has"),
        (Columns(left="_id", top="_id"), "columns.{left,top,width,height}: map all four of them or none"),
        (Columns(side="_gender"), "row 1: _gender: street | shop is allowed, not 'w'"),
        (Columns(split="_color"), "row 1: _color: train | validation | test is allowed, not 'Black'"),
        (
            Columns(left="_id", top="_id", width="_color", height="_id"),
            "row 1: _color: a number is wanted, not 'Black'",
        ),
    ],
)  # fmt: skip
def test_a_wrong_mapping_is_said_in_one_line(tmp_path: Path, columns: Columns, said: str) -> None:
    path = write(tmp_path / "t.csv", ROWS)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        table.listing(Params(columns=columns), path)
    assert str(caught.value).startswith(f"{path}: {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["1_000", "５", "1,5", "1.000,5", "0x10", "inf", "nan", "1e999", "--1", "1 000", "½"])
def test_what_is_no_plain_number_is_said_with_its_row_and_column(tmp_path: Path, value: str) -> None:
    path = write(
        tmp_path / "t.csv", [["h", "1", "a.jpg", "0"], ["h", "1", "b.jpg", value]], ["_category", "_id", "_name", "x"]
    )
    with pytest.raises(ValueError, match=re.escape(f"t.csv: row 2: x: a number is wanted, not {value!r}")):
        table.listing(Params(columns=Columns(left="x", top="x", width="x", height="x")), path)


@pytest.mark.parametrize("value", [" 5 ", "+5", "5.", "05", "0.5e1", "5E0"])
def test_a_plain_number_may_have_a_sign_a_point_and_an_exponent(tmp_path: Path, value: str) -> None:
    path = write(tmp_path / "t.csv", [["h", "1", "a.jpg", value]], ["_category", "_id", "_name", "x"])
    columns = Columns(left="x", top="x", width="x", height="x")
    assert rows(table.listing(Params(columns=columns), path), "left", "height") == [(5.0, 5.0)]


def test_fetch_reads_the_disk_and_the_web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    photo = buffer.getvalue()
    (tmp_path / "images" / "dress").mkdir(parents=True)
    (tmp_path / "images" / "dress" / "a b,c.jpg").write_bytes(photo)
    with ImageServer(photo) as server:
        names = ["dress/a b,c.jpg", "none.jpg", server.url("x.jpg")]
        path = write(tmp_path / "t.csv", [["dress", "", str(i), "", name] for i, name in enumerate(names)])
        wanted = list(zip(*table.listing(Params(), path).photos.to_pydict().values(), strict=True))
        params = Params(download=FetchOptions(allow_hosts=["127.0.0.1"]))
        answers = {a.photo_id: a for a in table.fetch(params, wanted, metadata=path, log=SILENT)}
    assert {name: answer.lost for name, answer in answers.items()} == {
        **dict.fromkeys(names),
        "none.jpg": "no such file",
    }
    assert answers[names[0]].data == answers[names[2]].data == photo


@pytest.mark.parametrize("name", ["large.parquet", "large.csv"])
def test_a_quarter_of_a_million_rows_list_in_a_second_or_two(tmp_path: Path, name: str) -> None:
    count = 250_000
    number = pa.array(np.arange(count)).cast(pa.string())
    columns = {
        "_category": pa.array(["dress", "hat"]).take(pa.array(np.arange(count) % 2)),
        "_id": pa.array(np.arange(count) // 3).cast(pa.string()),
        "_name": number,
    }
    path = tmp_path / name
    (pa_csv.write_csv if name.endswith(".csv") else pq.write_table)(pa.table(columns), path)
    began = time.process_time()
    listing = table.listing(Params(), path)
    assert time.process_time() - began < 6  # processor seconds: 0.7 and 1.4 here
    assert (listing.photos.num_rows, listing.records.num_rows) == (count, count)
