"""A good record and a deletion, and batches of records in each format."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from visnet.sources.changefeed.batches import FeedBatch, read

GOOD: dict[str, object] = {
    "product_id": "0017",
    "op": "upsert",
    "photos": ["17/a b.jpg", "https://shop/17.jpg?w=1|2"],
    "street_photos": ["17/s.jpg"],
    "category": "hats",
    "colour": "röd",
    "title": 'A "red" hat',
    "price": 12.5,
    "seq": 5,
    "updated_at": "2026-01-05T10:00:00+01:00",
    "brand": "Acme",
}

GONE: dict[str, object] = {"product_id": "18", "op": "delete", "seq": 6}


def json_lines(*rows: object) -> bytes:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def as_csv(*rows: dict[str, object]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(GOOD))
    writer.writeheader()
    writer.writerows({k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows)
    return text.getvalue().encode()


def as_parquet(*rows: dict[str, object]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([{**dict.fromkeys(GOOD), **row} for row in rows]), sink)
    return sink.getvalue().to_pybytes()


def batch(tmp_path: Path, data: bytes, name: str = "b.jsonl") -> FeedBatch:
    (tmp_path / name).write_bytes(data)
    return read(tmp_path / name)
