"""Which batch a record came in: the index of the newest records against a look through the files themselves."""

import gzip
import json
import os
from pathlib import Path

import pytest

from visnet.serving import batch_of
from visnet.serving.batch_of import NewestRecords, Origin
from visnet.sources.changefeed.batches import read


def lay(inbox: Path, name: str, *products: str, title: str = "") -> None:
    inbox.mkdir(exist_ok=True)
    said = {
        "op": "upsert",
        "updated_at": "2026-01-05T00:00:00Z",
        "photos": ["x.png"],
        "category": "hat",
        "title": title,
    }
    rows = [{"product_id": one, **said} for one in products]
    text = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    (inbox / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)


def content(inbox: Path, name: str, product: str) -> str:
    return next(one.content for one in read(inbox / name).records if one.product_id == product)


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    monkeypatch.setattr(batch_of, "LOOK_AGAIN_S", -1.0)
    (tmp_path / "inbox").mkdir()
    return Origin(source="feed", metadata=str(tmp_path / "inbox"), pattern="*.jsonl*")


def test_the_index_agrees_with_a_look_through_all_as_batches_come_change_and_go(origin: Origin) -> None:
    inbox, index = Path(origin.metadata), NewestRecords(origin, 100)
    assert index.batch_of("p1", "x") == origin.batch_of("p1", "x") == ("", batch_of.GONE)  # of nothing
    lay(inbox, "1.jsonl", "p1", "p2")
    lay(inbox, "2.jsonl.gz", "p2", "p3", title="new")
    lay(inbox, "3.jsonl", "p1")
    said = content(inbox, "1.jsonl", "p1")
    for product, text, wanted in [
        ("p1", said, "3.jsonl"),  # word for word in two: the newest
        ("p2", content(inbox, "1.jsonl", "p2"), "1.jsonl"),
        ("p2", content(inbox, "2.jsonl.gz", "p2"), "2.jsonl.gz"),
    ]:
        assert index.batch_of(product, text) == origin.batch_of(product, text) == (wanted, "")
    (inbox / "3.jsonl").unlink()
    assert index.batch_of("p1", said) == origin.batch_of("p1", said) == ("1.jsonl", "")
    lay(inbox, "1.jsonl", "p2")
    os.utime(inbox / "1.jsonl", (1, 1))
    assert index.batch_of("p1", said) == origin.batch_of("p1", said) == ("", batch_of.GONE)


def test_what_is_beyond_the_newest_records_is_said_to_be(origin: Origin) -> None:
    inbox = Path(origin.metadata)
    lay(inbox, "1.jsonl", "p1")
    lay(inbox, "2.jsonl", "p2", "p3")
    old = content(inbox, "1.jsonl", "p1")
    for most, found in [(3, ("1.jsonl", "")), (2, ("", "not among the newest 2 records of the inbox"))]:
        assert NewestRecords(origin, most).batch_of("p1", old) == found
    assert NewestRecords(origin, 1).batch_of("p2", content(inbox, "2.jsonl", "p2")) == ("2.jsonl", "")
    assert origin.batch_of("p1", old) == ("1.jsonl", "")


def test_only_batches_that_are_new_are_read_again(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, index, opened = Path(origin.metadata), NewestRecords(origin, 100), []
    reading = batch_of.Reading
    monkeypatch.setattr(batch_of, "Reading", lambda path: opened.append(path.name) or reading(path))
    lay(inbox, "1.jsonl", "p1")
    index.batch_of("p1", "x")
    lay(inbox, "2.jsonl", "p2")
    index.batch_of("p1", "x")
    index.batch_of("p1", "x")
    assert opened == ["1.jsonl", "2.jsonl"]


def test_a_line_without_a_feed_has_no_batches() -> None:
    tables = {"raw_images": {"source": "table", "metadata": "stock.csv"}}
    origin = Origin.of(tables)
    assert (origin.pattern, origin.batches()) == (None, {})
    assert origin.batch_of("p1", "x") == NewestRecords(origin, 1).batch_of("p1", "x") == ("", batch_of.NO_FEED)
