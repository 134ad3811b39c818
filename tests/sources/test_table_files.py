"""visnet.sources.table: what spreadsheets, warehouses and accidents make of a file."""

import gzip
import math
import re
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.stock_csv import rows
from visnet.sources import table
from visnet.sources.table import Params


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
