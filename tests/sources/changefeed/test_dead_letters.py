"""Batches: what cannot be used costs only its record or its line, and says why."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.changefeed.batch_files import GONE, GOOD, as_csv, as_parquet, batch, json_lines
from visnet.sources.changefeed.batches import TEXT_MAX, read


def test_a_value_that_python_cannot_hold_costs_only_its_record(tmp_path: Path) -> None:
    ids = pa.array([b"1", b"\xff", b"3", b"4"]).cast(pa.string(), safe=False)
    at = pa.array([0, 0, 2**60, 0], pa.timestamp("ms"))
    columns = {"product_id": ids, "op": ["delete"] * 4, "seq": [1, 2, 3, 4], "updated_at": at}
    pq.write_table(pa.table(columns), tmp_path / "b.parquet")
    found = read(tmp_path / "b.parquet")
    assert [r.product_id for r in found.records] == ["1", "4"]
    assert [(letter.line, letter.reason) for letter in found.dead] == [
        (2, "not UTF-8 text"),
        (3, "a value out of range"),
    ]


BAD: dict[str, dict[str, object]] = {
    "product_id is missing": {"product_id": " "},
    "product_id: text or a whole number is wanted": {"product_id": 1.5},
    "product_id: a float of over 2**53, which lacks digits; write ids as text or integers": {"product_id": 2.0**53},
    "product_id: a number that a spreadsheet has rounded, as 4.00638E+12; write ids as text": {
        "product_id": "4.00638E+12"
    },
    "product_id: over 512 characters, or one that cannot be printed": {"product_id": "a\nb"},
    "op: upsert | delete is allowed": {"op": "sell"},
    "upsert without photos": {"photos": "|"},
    "upsert without a category": {"category": None},
    "photos: an entry is no path or address": {"photos": ["a", 3]},
    "photos: not a JSON list": {"photos": "[a"},
    "photos: a list is wanted": {"photos": {"a": 1}},
    "street_photos: a box is [left, top, width, height] in pixels, the last two above 0": {
        "street_photos": [{"photo": "s", "box": [0, 0, 0, 5]}]
    },
    "price: a number is wanted": {"price": "12,50"},
    "seq: a whole number of 64 bits is wanted": {"seq": 2**63},
    "photos: over 1000 of one product": {"photos": [f"{i}.jpg" for i in range(1001)]},
    "photos: a path or address of over 4096 characters": {"photos": ["a" * 4097]},
    "title: over 10000 characters": {"title": "a" * 10_001},
    "further fields of over 65536 characters": {"html": "a" * 65_536},
    "updated_at: ISO 8601 or seconds since 1970 is wanted": {"updated_at": 1767600000000},  # milliseconds
    "neither seq nor updated_at": {"seq": None, "updated_at": ""},
    "split: train | validation | test is allowed": {"split": "dev"},
    "title: text is wanted": {"title": ["a"]},
    "not UTF-8 text": {"title": "\ud800"},
}


def test_a_bad_record_is_a_dead_letter_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows: list[object] = [
        GOOD,
        *({**GOOD, **fault} for fault in BAD.values()),
        "",
        "no",
        "[1]",
        '{"product_id": "7',
        '{"product_id": "7", "product_id": "8", "op": "delete", "seq": 1}',
        GONE,
    ]
    found = batch(tmp_path, json_lines(*rows))
    assert [r.product_id for r in found.records] == ["0017", "18"]
    assert [letter.reason for letter in found.dead] == [
        *BAD,
        *("not JSON", "not a JSON object", "not JSON", "a key stands twice in an object"),
    ]
    n = len(BAD)
    assert [letter.line for letter in found.dead] == [*range(2, n + 2), *range(n + 3, n + 7)]  # the empty line is none
    assert found.dead[-2].text == '{"product_id": "7'
    assert all(len(letter.text) <= TEXT_MAX for letter in found.dead)


@pytest.mark.parametrize(
    "fault",
    [
        *(
            {"price": price}
            for price in (float("nan"), float("inf"), "1_000", "１", "1,5", "0x1", True, "1e999", 10**400)
        ),
        *({"seq": seq} for seq in (True, 1.5, "1_0", "٣", 2.0**53, -(2**63) - 1, "1e400", [1])),
        *({"updated_at": moment} for moment in ("soon", "1_0", True, 10**400, "20261301", "10000-01-01", [])),
        *({"product_id": product_id} for product_id in (True, [1], {}, float("inf"), "\0")),
    ],
)
def test_odd_values_are_refused(tmp_path: Path, fault: dict[str, object]) -> None:
    assert batch(tmp_path, json_lines({**GOOD, **fault})).counts()["dead_letters"] == 1


def test_bytes_that_are_no_text_cost_only_their_line(tmp_path: Path) -> None:
    found = batch(tmp_path, json_lines(GOOD) + b'{"product_id": "\xff", "op": "delete", "seq": 1}\n' + json_lines(GONE))
    assert [r.product_id for r in found.records] == ["0017", "18"]
    assert [letter.line for letter in found.dead] == [2]
    deep = "[" * 100_000
    assert batch(tmp_path, json_lines(deep, GONE)).dead[0].text == "[" * TEXT_MAX


@pytest.mark.parametrize("cut", [2, 7, 40])
@pytest.mark.parametrize(("name", "write"), [("b.jsonl", json_lines), ("b.csv", as_csv)])
def test_a_file_cut_short_loses_its_last_line(tmp_path: Path, name: str, write: object, cut: int) -> None:
    whole = write(GOOD, GOOD)  # type: ignore[operator]
    found = batch(tmp_path, whole[:-cut], name)
    assert len(found.records) == 1
    assert [letter.line for letter in found.dead] == [3 if name == "b.csv" else 2]


def test_csv_goes_on_after_a_quote_without_end_and_a_wrong_number_of_columns(tmp_path: Path) -> None:
    text = "product_id,op,seq,note\r\n1,delete,1,\r\n" + '2,delete,2,"never ends\r\n'
    text += "3,delete,3,\r\n4,delete\r\n" + '5,delete,5,"two\r\nlines"\r\n\r\n6,delete,6,\r\n'
    found = batch(tmp_path, text.encode(), "b.csv")
    assert [r.product_id for r in found.records] == ["1", "3", "5", "6"]
    assert [(letter.line, letter.text[:3]) for letter in found.dead] == [(3, "2,d"), (5, "4,d")]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("b.parquet", b"PAR1 not", "broken Parquet"),
        ("b.parquet", as_parquet(GOOD)[:-20], "broken Parquet"),
        ("b.jsonl.gz", gzip.compress(json_lines(GOOD), mtime=0)[:-12], "broken gzip"),
        ("b.jsonl.gz", json_lines(GOOD), "broken gzip"),
        ("b.csv", b"id,op\n1,delete\n", "no column product_id in its first line"),
        ("b.csv", b"product_id,op,seq,seq\n1,delete,1,2\n", "two columns are called seq in its first line"),
        ("b.csv", "product_id,op\n".encode("utf-16"), "UTF-16 text; save it as UTF-8 (in a spreadsheet: CSV UTF-8)"),
        ("b.jsonl", gzip.compress(json_lines(GOOD), mtime=0), "gzipped; let its name end with .gz"),
        ("b.csv", b"", "no column product_id, op in its first line"),
        ("b.xlsx", b"", "not a batch; .jsonl, .csv, .parquet, .jsonl.gz, .csv.gz are"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_dead_letter(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    found = batch(tmp_path, data, name)
    assert (found.records, [tuple(letter) for letter in found.dead]) == ([], [(0, reason, "")])
