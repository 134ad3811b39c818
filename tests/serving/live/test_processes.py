"""Changes are those of all processes, and what was acknowledged outlives each of them."""

import signal
import time
from functools import partial
from pathlib import Path

from tests import kill_points, refreshing
from tests.serving.app.processes import process, ready
from tests.serving.live import fed
from visnet.client import Client
from visnet.serving.app import keys
from visnet.serving.app.settings import Settings
from visnet.sources.changefeed.batches import read

# Killed with its batch in the feed's inbox, and not yet marked as written.
FILED = partial(kill_points.kill, kill_points.Point("fsync inbox", 1))


def records(shop: Path) -> list[tuple[str, str]]:
    """List what stands in the batches that the service wrote: product and operation."""
    batches = [read(path) for path in sorted((shop / "inbox").glob("api-*.jsonl"))]
    assert not any(batch.dead for batch in batches)
    return [(record.product_id, record.op) for batch in batches for record in batch.records]


def test_what_one_process_takes_answers_in_the_other(shop: Path) -> None:
    took_s = []
    with fed.writing(shop) as (_, one), fed.writing(shop) as (http, other):
        for at in range(5):
            photo = fed.picture(shop, f"both-{at}", 0)
            batch = one.put(f"both/{at}", {"category": "bag"}, photo).batch
            one.wait(batch)
            begun_s = time.monotonic()
            fed.until(lambda at=at: http.get(f"/v1/products/both/{at}").status_code == 200)
            took_s.append(time.monotonic() - begun_s)
            assert other.changes(batch).changes[0].state == "visible"
            other.delete(f"both/{at}")
            fed.until(lambda at=at: [one.catalog().products] == [24])
        fed.until(lambda: len(records(shop)) == 10)
    assert min(took_s) < 1  # and 0.02 s where nothing else works
    assert records(shop) == [(f"both/{at}", op) for at in range(5) for op in ("upsert", "delete")]


def test_nothing_that_was_acknowledged_is_lost_or_filed_twice_by_kills(shop: Path) -> None:
    key = keys.add("test", shop / "data")
    lines = [{"product_id": "p003", "op": "delete"}]
    for at in range(30):
        refreshing.draw(shop / "images" / f"many-{at}.png", f"many-{at}", 0)
        lines.append({"product_id": f"many/{at}", "op": "upsert", "category": "hat", "photos": [f"many-{at}.png"]})
    with process(shop) as (child, url):
        ready(url)
        with Client(url, key=key) as client:
            told = client.batch(lines)
        child.end(kill_after_s=0)  # while photos are fetched
    assert [change.state for change in told.changes] == ["visible", *["waiting"] * 30]
    with process(shop, fault=FILED) as (child, _):
        assert child.end(30).returncode == -signal.SIGKILL
    filed = {path: path.read_bytes() for path in (shop / "inbox").glob("api-*.jsonl")}
    assert len(filed) == 1
    with process(shop) as (child, url):
        ready(url)
        with Client(url, key=key) as client:
            assert {change.state for change in client.wait(told.batch).changes} == {"visible"}
            assert client.catalog().products == 53
            found = client.search(shop / "images" / "many-7.png", limit=1)
            assert found.results[0].product_id == "many/7"
            fed.until(lambda: len(records(shop)) == 31)
        child.signal(signal.SIGTERM)
        assert child.end(20).returncode == 0
    assert sorted(records(shop)) == sorted([("p003", "delete"), *((f"many/{at}", "upsert") for at in range(30))])
    assert {path: path.read_bytes() for path in filed} == filed


def test_further_processes_are_told_where_changes_go(shop: Path) -> None:
    settings = Settings(data=shop / "data", line=fed.line(shop))
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
