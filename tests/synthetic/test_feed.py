"""The synthetic shop as a feed: after any hour the folded state is what the shop holds, however unruly the feed."""

import dataclasses
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from visnet.pipeline.log import SILENT
from visnet.sources.changefeed.state import fold
from visnet.stages import raw_images
from visnet.storage.table import Table
from visnet.synthetic.feed import TRUTH, Hour, hours, truth, write
from visnet.synthetic.photos import paint
from visnet.synthetic.trade import Habits

HABITS = Habits(products=88, churn=0.2, side_px=64, seed=3, late=0.4, repeated=0.4, bad=0.2)
FACTS = [name for name in TRUTH.names if name != "painted"]


@pytest.fixture(scope="module")
def first() -> list[Hour]:
    return list(itertools.islice(hours(HABITS), 12))


def put(inbox: Path, hour: Hour) -> None:
    inbox.mkdir(exist_ok=True)
    (inbox / f"{hour.name}.jsonl").write_text("".join(f"{line}\n" for line in hour.lines))


def live(state: Path) -> list[dict[str, Any]]:
    table = Table(state / "catalog.lance").read(FACTS, "op = 'upsert'")
    return table.sort_by("product_id").to_pylist()


def test_after_every_hour_the_state_is_the_truth(first: list[Hour], tmp_path: Path) -> None:
    sums: Counter[str] = Counter()
    for hour in first:
        put(tmp_path / "inbox", hour)
        sums.update(fold(tmp_path / "inbox", "*", tmp_path / "state"))
        assert live(tmp_path / "state") == truth(HABITS, hour).select(FACTS).to_pylist(), hour.name
    for unruly in ("stale", "unknown_deletes", "dead_letters"):
        assert sums[unruly] > 0, f"the feed has nothing {unruly}: the test shows less than it says"
    letters = Table(tmp_path / "state/dead_letters.lance").read(["reason"])["reason"].to_pylist()
    assert len(set(letters)) >= 4


def test_the_feed_follows_from_its_seed(first: list[Hour]) -> None:
    assert list(itertools.islice(hours(HABITS), 12)) == first
    other = dataclasses.replace(HABITS, seed=4)
    assert next(hours(other)).lines != first[0].lines


def test_products_come_go_return_and_change(first: list[Hour]) -> None:
    ids = [set(hour.items) for hour in first]
    ever: set[str] = set()
    came = went = returned = priced = same_path = new_path = 0
    for before, hour, had in zip(ids, first[1:], first, strict=False):
        ever |= before
        came += len(hour.items.keys() - ever)
        returned += len((hour.items.keys() & ever) - before)
        went += len(before - hour.items.keys())
        for product_id in before & hour.items.keys():
            old, new = had.items[product_id], hour.items[product_id]
            priced += old.price != new.price and old.files == new.files
            new_path += old.photos.keys() != new.photos.keys()
            same_path += old.photos != new.photos and old.photos.keys() == new.photos.keys()
    assert min(came, went, returned, priced, same_path, new_path) > 0
    assert 0.3 < sum(bool(item.street) for item in first[0].items.values()) / 88 < 0.7
    assert Counter(item.category for item in first[-1].items.values()).most_common()[-1][1] >= 3


def test_written_hours_become_the_photos_that_are_painted(first: list[Hour], tmp_path: Path) -> None:
    table = {"source": "feed", "metadata": str(tmp_path / "batches")}
    params = raw_images.Params.model_validate(table)
    for hour in first[:3]:
        write(tmp_path, HABITS, hour)
        said = raw_images.build(out=tmp_path / "raw_images", params=params, log=SILENT)
        assert (said["lost"], said["products"]) == (0, len(hour.items))
        written = pq.read_table(tmp_path / "truth" / f"{hour.name}.parquet")
        assert written.equals(truth(HABITS, hour))
    rows = Table(tmp_path / "raw_images/photos.lance").opened().to_table(columns=["photo_id", "image"]).to_pylist()
    found = {row["photo_id"]: row["image"] for row in rows}
    files = {path: name for item in first[2].items.values() for path, name in item.files.items()}
    assert found.keys() == files.keys()
    assert sorted(str(p.relative_to(tmp_path / "photos")) for p in (tmp_path / "photos").rglob("*.jpg")) == sorted(
        files
    )
    changed = {**first[1].written, **first[2].written}
    looked = [path for path in files if path in changed] + list(files)[:5]
    assert all(found[path] == paint(HABITS.recipe, files[path]) for path in looked)
    boxes = Table(tmp_path / "raw_images/records.lance").read(["side", "width"]).to_pylist()
    assert all((row["width"] is not None) == (row["side"] == "street") for row in boxes)


def test_habits_out_of_range_are_refused() -> None:
    for bad in ({"churn": 1.5}, {"late": -0.1}, {"products": 10}, {"shop_photos": (3, 2)}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Habits(**bad)  # type: ignore[arg-type]


def test_records_are_as_a_shop_writes_them(first: list[Hour]) -> None:
    record = json.loads(first[0].lines[0])
    assert {"product_id", "op", "photos", "street_photos", "category", "colour", "title", "price", "seq"} < set(record)
    assert record["updated_at"] == "2026-01-05T00:00:00+00:00"
    assert first[5].name == "2026-01-05T05"
