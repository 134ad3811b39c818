"""Batches and records: what a file says, in each format."""

import datetime
import gzip
import time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.changefeed.batch_files import GONE, GOOD, as_csv, as_parquet, batch, json_lines
from visnet.sources.changefeed.batches import FeedBatch, read
from visnet.sources.changefeed.records import Record, record


def test_every_format_says_the_same(tmp_path: Path) -> None:
    expected = Record(
        product_id="0017",
        op="upsert",
        seq=5,
        updated_at=1767603600_000000,  # 09:00 UTC
        photos=["17/a b.jpg", "https://shop/17.jpg?w=1|2"],
        street_photos=["17/s.jpg"],
        street_boxes=[None] * 4,
        category="hats",
        colour="röd",
        gender="",
        title='A "red" hat',
        price=12.5,
        split="",
        attributes='{"brand": "Acme"}',
        content=record(GOOD).content,
    )
    assert int(datetime.datetime(2026, 1, 5, 9, tzinfo=datetime.UTC).timestamp() * 10**6) == expected.updated_at
    files = {
        "b.jsonl": json_lines(GOOD, GONE),
        "b.jsonl.gz": gzip.compress(json_lines(GOOD, GONE)),
        "b.csv": b"\xef\xbb\xbf" + as_csv(GOOD, GONE),
        "B.CSV.gz": gzip.compress(as_csv(GOOD, GONE)),
        "b.parquet": as_parquet(GOOD, GONE),
    }
    for name, data in files.items():
        found = batch(tmp_path, data, name)
        assert found.dead == [], name
        assert found.records == [expected, record(GONE)], name
        assert found.counts() == {"records": 2, "upserts": 1, "deletes": 1, "dead_letters": 0}


@pytest.mark.parametrize(
    ("value", "photos"),
    [("a.jpg| b.jpg|", ["a.jpg", "b.jpg"]), ('["a|b.jpg", "a|b.jpg"]', ["a|b.jpg"]), (["a.jpg", "a.jpg"], ["a.jpg"])],
)
def test_photos_are_a_list_or_a_text(value: object, photos: list[str]) -> None:
    assert record({**GOOD, "photos": value}).photos == photos


def test_street_photos_may_have_boxes_and_are_not_shop_photos_too() -> None:
    street = ["17/a b.jpg", {"photo": "s.jpg", "box": [1, 2, 3.5, 4]}, {"photo": "t.jpg"}]
    found = record({**GOOD, "street_photos": street})
    assert (found.street_photos, found.street_boxes) == (["s.jpg", "t.jpg"], [1, 2, 3.5, 4, None, None, None, None])


@pytest.mark.parametrize(
    ("value", "microseconds"),
    [
        ("1970-01-02", 86_400_000_000),
        ("1970-01-01T00:00:01.5Z", 1_500_000),
        ("1970-01-01 01:00:00+01:00", 0),
        (1.5, 1_500_000),
        ("2", 2_000_000),
        (datetime.datetime(1970, 1, 1, 0, 0, 3), 3_000_000),  # as Parquet gives it
    ],
)
def test_a_time_alone_numbers_the_record(value: object, microseconds: int) -> None:
    found = record({"product_id": 7, "op": "DELETE", "updated_at": value})
    assert (found.product_id, found.updated_at, found.seq) == ("7", microseconds, microseconds)


TYPED: dict[str, dict[str, object]] = {  # the same record, as a warehouse's export or a data frame types it
    "decimals": {
        "product_id": pa.array([Decimal(17)], pa.decimal128(38, 0)),
        "seq": pa.array([Decimal(5)], pa.decimal128(38, 0)),
        "price": pa.array([Decimal("12.50")], pa.decimal128(10, 2)),
    },
    "floats": {"product_id": [17.0], "seq": [5.0], "price": pa.array([12.5], pa.float32())},
    "texts": {"product_id": [" 17"], "seq": ["5.0"], "price": ["1.25e1"]},
    "coded and binary": {
        "product_id": pa.array([b"17"]),
        "seq": [5],
        "price": [12.5],
        "category": pa.array(["hats"]).dictionary_encode(),
        "colour": pa.array(["red"], pa.large_string()),
        "photos": pa.array([[b"a.jpg"]]),
    },
    "missing ones as NaN": {
        "product_id": [17],
        "seq": [5],
        "price": [12.5],
        "title": [float("nan")],
        "note": [float("nan")],
    },
    "times": {"product_id": [17], "seq": [5], "price": [12.5], "updated_at": [datetime.date(1970, 1, 2)]},
}


@pytest.mark.parametrize("how", TYPED)
def test_types_of_parquet_do_not_matter(tmp_path: Path, how: str) -> None:
    columns = {"op": ["upsert"], "photos": [["a.jpg"]], "category": ["hats"], "colour": ["red"], **TYPED[how]}
    pq.write_table(pa.table(columns), tmp_path / "b.parquet")
    found = read(tmp_path / "b.parquet")
    assert found.dead == []
    said = {"product_id": "17", "op": "upsert", "seq": 5, "photos": ["a.jpg"], "category": "hats", "colour": "red"}
    moment = "1970-01-02" if how == "times" else None
    assert found.records == [record({**said, "price": 12.5, "updated_at": moment})]


def test_equal_values_of_other_types_are_not_taken_for_the_row_before(tmp_path: Path) -> None:
    rows = [{**GONE, "seq": 1}, {**GONE, "seq": True}, {**GONE, "seq": 1.0}, {**GONE, "seq": 1}]
    assert [letter.line for letter in batch(tmp_path, json_lines(*rows)).dead] == [2]


def test_an_empty_file_is_an_empty_batch(tmp_path: Path) -> None:
    assert batch(tmp_path, b"") == FeedBatch([], [])


def test_ten_thousand_records_take_about_a_second(tmp_path: Path) -> None:
    data = json_lines(*({**GOOD, "product_id": str(i)} for i in range(10_000)))
    begun_s = time.process_time()
    assert len(batch(tmp_path, data).records) == 10_000
    assert time.process_time() - begun_s < 3
