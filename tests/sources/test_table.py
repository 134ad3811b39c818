"""visnet.sources.table: any CSV, TSV or Parquet with one row per photo."""

import csv
import gzip
import io
import math
import re
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.image_server import ImageServer
from visnet.photos.web.request import FetchOptions
from visnet.pipeline.log import SILENT
from visnet.sources import table
from visnet.sources.listing import PHOTOS, RECORDS, Listing
from visnet.sources.table import Columns, Params

HEADER = ["_category", "_color", "_id", "_gender", "_name"]
ROWS = [
    ["dress", "Black", "0017", "w", "dress/0017_Black_0.jpg"],
    ["dress", "", "0017", "w", "dress/0017 Black, 1.jpg"],
    ["hat", "Red", "18", "u", "hat/18_Red_0.jpg"],
]
OWN = Columns(product="sku", category="kind", url="image")


def write(path: Path, rows: list[list[str]], header: list[str] = HEADER, delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


def rows(listing: Listing, *columns: str) -> list[tuple[object, ...]]:
    return [tuple(row[column] for column in columns) for row in listing.records.to_pylist()]


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


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.xlsx", b"", "a table is wanted, one of .csv, .tsv, .txt, .csv.gz, .tsv.gz, .txt.gz, .parquet"),
        ("t.csv", b"", "the table has no columns: its first line is empty"),
        ("t.csv", b"_category,_id,_name\n", "no row in it"),
        ("t.csv", b"_category,_id,_name\nhat,1\n", "cannot be read: row 1 (line 2): 2 columns, and the header has 3"),
        (
            "t.csv",
            b"_category,_id,_name\n" + b"hat,1,a.jpg\n" * 9999 + b"hat,1,\xff.jpg\n",
            "row 10000: _name: not UTF-8 text",
        ),
        ("t.csv", b"\xff,_id,_name\nhat,1,a.jpg\n", "not UTF-8 text; save it as UTF-8"),
        ("t.csv", "_category,_id,_name\n".encode("utf-16"), "cannot be read: UTF-16 text; save it as UTF-8"),
        ("t.csv", "_category,_id,_name\n".encode("utf-16-le"), "cannot be read: NUL bytes, as in UTF-16"),
        ("t.csv", b"PK\x03\x04", "cannot be read: a workbook or a zip file"),
        (
            "t.csv",
            gzip.compress(b"_category,_id,_name\n", mtime=0),
            "cannot be read: gzipped; let its name end with .gz",
        ),
        ("t.csv.gz", gzip.compress(b"_category,_id,_name\nhat,1,a\n", mtime=0)[:-9], "cannot be read: broken gzip"),
        ("t.csv", b"_category,_id,_name\nhat,1,a\0.jpg\n", "row 1 (line 2): a NUL character"),
        ("t.csv", b"_category,_id,_name\nhat,1,a.jpg,more\n", "row 1 (line 2): 4 columns, and the header has 3"),
        ("t.csv", b"_category,_id,_name\nhat,1," + b"a" * 2**20 + b"\n", "row 1 (line 2): a line of over 1048576 char"),
        ("t.csv", b"_category,_id,_id,_name\nhat,1,2,a.jpg\n", "columns.product: more than one column '_id'"),
        ("t.csv", b"_category,_id,_name\nhat,,a.jpg\n", "no usable row; dropped: {'empty product': 1"),
        ("t.parquet", b"PAR1 not", "cannot be read: "),
    ],
)
def test_a_broken_table_is_said_in_one_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        table.listing(Params(), tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="no such file"):
        table.listing(Params(), tmp_path / "none.csv")


EQUAL = {  # what a shop's program makes of one and the same table
    "a byte order mark": b'\xef\xbb\xbf_category,_id,_name\r\nhat,007,a.jpg\r\nhat,008,b 7".jpg\r\n',
    "quotes": b'"_category","_id","_name"\r\n"hat",007,"a.jpg"\r\nhat,"008","b 7"".jpg"\r\n',
    "only carriage returns": b'_category,_id,_name\rhat,007,a.jpg\rhat,008,b 7".jpg\r',
    "no line end at the end": b'_category,_id,_name\nhat,007,a.jpg\nhat,008,b 7".jpg',
    "a delimiter at the end of lines": b'_category,_id,_name,\nhat,007,a.jpg,\nhat,008,b 7".jpg,\n',
    "a delimiter at the end of rows": b'_category,_id,_name\nhat,007,a.jpg,\nhat,008,b 7".jpg,\n',
    "a delimiter at the end of the header": b'_category,_id,_name,\nhat,007,a.jpg\nhat,008,b 7".jpg\n',
    "Excel's first line": b'sep=;\r\n_category;_id;_name\r\nhat;007;a.jpg\r\nhat;008;b 7".jpg\r\n',
    "tabs and spaces": b'_category\t_id \t_name\nhat\t 007\ta.jpg\nhat\t008\tb 7".jpg\n',
    "empty lines": b'_category,_id,_name\n\nhat,007,a.jpg\n  \nhat,008,b 7".jpg\n\n',
    "columns of one name that are not mapped": b'x,_category,_id,_name,x\n,hat,007,a.jpg,\n,hat,008,b 7".jpg,\n',
}


@pytest.mark.parametrize("how", EQUAL)
def test_what_spreadsheets_make_of_a_table_is_that_table(tmp_path: Path, how: str) -> None:
    wanted = [("007", "a.jpg"), ("008", 'b 7".jpg')]
    for name, data in {"t.csv": EQUAL[how], "t.csv.gz": gzip.compress(EQUAL[how], mtime=0)}.items():
        (tmp_path / name).write_bytes(data)
        assert rows(table.listing(Params(), tmp_path / name), "product_id", "photo_id") == wanted


def test_a_quoted_cell_may_hold_line_ends(tmp_path: Path) -> None:
    text = '_category,_id,_name\r\n"hat",007,"a\nb.jpg"\r\nhat,008,"say ""x"".jpg"\r\n'
    (tmp_path / "t.csv").write_bytes(text.encode())
    listing = table.listing(Params(), tmp_path / "t.csv")
    assert rows(listing, "product_id", "photo_id") == [("007", "a\nb.jpg"), ("008", 'say "x".jpg')]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['1,hat,"5 heel.jpg', "2,hat,b.jpg", "3,hat,c.jpg"], "row 1 (line 2): a quote is opened and never closed"),
        (["1,hat,a.jpg", '2,hat,"5 heel.jpg', '3,hat,c 7"', "4,hat,d.jpg"], "row 2 (line 3): a quote is opened here"),
        (['"1, a",hat,"5 heel.jpg', '3,hat,c 7"'], "row 1 (line 2): a quote is opened here and closed 1 lines on"),
        (['1,hat,"5" heel.jpg'], "row 1 (line 2): text after a closing quote"),
        (['1,hat,"5 heel.jpg', *["2,hat,b.jpg"] * 2000], "row 1 (line 2): a quote is opened and not closed in 1000 li"),
    ],
)
def test_a_stray_quote_swallows_no_row(tmp_path: Path, lines: list[str], said: str) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["_id,_category,_name", *lines, ""]))
    with pytest.raises(ValueError, match=re.escape(f"t.csv: cannot be read: {said}")):
        table.listing(Params(), tmp_path / "t.csv")


IDS: list[tuple[pa.Array, list[str], dict[str, int]]] = [
    (pa.array([Decimal(1), None, Decimal(4006381333931)], pa.decimal128(38, 0)), ["1", "4006381333931"], {"empty": 1}),
    (pa.array([1.0, 1.5, 4006381333931.0]), ["1", "4006381333931"], {"_id: text or a whole number is wanted": 1}),
    (pa.array([2.0**60, math.inf, 3.0]), ["3"], {"_id: a float of over 2**53": 1, "_id: text or a whole": 1}),
    (pa.array([math.nan, 2.0, 3.0], pa.float32()), ["2", "3"], {"empty": 1}),
    (pa.array([b"007", b"\xff", b"9"]), ["007", "9"], {"_id: not UTF-8 text": 1}),
    (
        pa.array(["007", "4.00638E+12", "a\nb"], pa.large_string()),
        ["007"],
        {"_id: a number that a": 1, "_id: over 512": 1},
    ),
    (pa.array([7, 8, 9], pa.uint64()), ["7", "8", "9"], {}),
]


@pytest.mark.parametrize(("ids", "wanted", "dropped"), IDS, ids=[str(ids.type) for ids, *_ in IDS])
def test_ids_of_any_type_are_whole_numbers_or_text(
    tmp_path: Path, ids: pa.Array, wanted: list[str], dropped: dict[str, int]
) -> None:
    columns = {"_category": pa.array(["hat"] * 3).dictionary_encode(), "_id": ids, "_name": ["a", "b", "c"]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    listing = table.listing(Params(), tmp_path / "t.parquet")
    assert listing.records["product_id"].to_pylist() == wanted
    assert len(listing.dropped) == len(dropped)
    for (reason, count), (start, expected) in zip(
        sorted(listing.dropped.items()), sorted(dropped.items()), strict=True
    ):
        assert (reason.startswith(start), count) == (True, expected), reason


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


def test_a_folder_of_parts_is_one_table(tmp_path: Path) -> None:
    folder = tmp_path / "stock.parquet"
    for part, name in (("_category=a%20hat/part-0.snappy.parquet", "a.jpg"), ("_category=cap/part-1.parquet", "b.jpg")):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"_id": ["1"], "_name": [name]}), folder / part)
    (folder / "_SUCCESS").touch()
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "part-2.parquet").write_bytes(b"half of it")
    listing = table.listing(Params(), folder)
    assert rows(listing, "category", "photo_id") == [("a hat", "a.jpg"), ("cap", "b.jpg")]
    assert listing.photos["locator"].to_pylist()[0] == f"{tmp_path}/images/a.jpg"
    texts = tmp_path / "stock"
    texts.mkdir()
    (texts / "part-0.csv").write_text("_category,_id,_name\nhat,1,a.jpg\n")
    (texts / "part-1.csv").write_bytes(b"")
    (texts / "part-2.csv").write_text("_category,_id,_name\nhat,1\n")
    with pytest.raises(ValueError, match=r"stock/part-2.csv: cannot be read: row 1 \(line 2\): 2 columns"):
        table.listing(Params(), texts)


def test_a_path_that_is_no_table_is_called_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to("gone.csv")
    (tmp_path / "folder.csv").mkdir()
    for name, said in {
        "link.csv": "a link to gone.csv, which does not exist",
        "folder.csv": "a folder, and no .csv, .tsv",
        "none.csv": "no such file",
    }.items():
        with pytest.raises(ValueError, match=re.escape(f"{name}: {said}")):
            table.listing(Params(), tmp_path / name)


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
