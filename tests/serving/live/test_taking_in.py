"""The line takes changes in, and at no moment does a product answer as it was before."""

import contextlib
import datetime
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import refreshing
from tests.serving.app.running import search
from tests.serving.live import fed
from tests.serving.live.truth import Truth, same
from visnet.client import ServiceError
from visnet.serving import versions
from visnet.serving.live import filing
from visnet.serving.live.store import LiveStore
from visnet.storage import locks


def version(http: httpx.Client) -> int:
    number: int = http.get("/v1/catalog").json()["lineage"]["catalog_version"]
    return number


def changed(http: httpx.Client) -> float:
    """Count the products that answer otherwise than the version has them."""
    lines = http.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("visnet_changed_products ")).split()[-1])


@pytest.mark.usefixtures("one_thread")
def test_a_refresh_takes_changes_in_while_they_answer(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, other = fed.picture(shop, "p003 new", 0), fed.picture(shop, "more", 1)
    with fed.writing(shop) as (http, client):
        kept = client.put("p003", {"category": "hat", "title": "Changed", "split": "test"}, new)
        client.wait(kept.batch)
        client.wait(client.put("more/1", {"category": "bag", "split": "test"}, other).batch)
        client.delete("p004")
        (mine,) = client.product("p003").photos
        seen: list[Any] = []
        stop = threading.Event()

        def watch() -> None:
            with httpx.Client(base_url=http.base_url, timeout=30) as own:
                while not stop.is_set():
                    told = search(own, new, limit=2048).json()
                    first, names = told["results"][0], {one["product_id"] for one in told["results"]}
                    attributes = first["attributes"].get("title"), first["sq_distance"] < 1e-3
                    seen.append((first["product_id"], *attributes, "p004" in names, "more/1" in names, told["total"]))

        watching = threading.Thread(target=watch)
        watching.start()
        fed.until(lambda: sum("more/1" in path.read_text() for path in (shop / "inbox").glob("api-*.jsonl")) == 1)
        fed.until(lambda: sum("delete" in path.read_text() for path in (shop / "inbox").glob("api-*.jsonl")) == 1)
        assert changed(http) == 3
        before = {one.photo_id for one in client.product("more/1").photos}
        live = Truth(shop)
        live.put("p003", "hat", [new])
        refreshing.refresh(shop)
        fed.until(lambda: version(http) == 2)
        fed.until(lambda: changed(http) == 0)
        fed.until(lambda: client.changes(kept.batch).changes[0].catalog_version == 2)
        stop.set()
        watching.join()
        assert set(seen) == {("p003", "Changed", True, False, True, 24)}
        assert [one.state for one in client.changes(kept.batch).changes] == ["visible"]
        (published,) = fed.published_vectors(shop)["p003"].values()
        assert published.tolist() == pytest.approx(live.vectors["p003"][0].tolist(), abs=1e-6)
        for name in (mine.photo_id, *before):  # the names of before stay good for a while
            assert http.get(f"/v1/photos/{name}").status_code == 200
        assert client.product("p003").photos[0].photo_id.partition(".")[0] == mine.photo_id.partition(".")[0]
        monkeypatch.setattr(filing, "KEPT_S", 0.0)
        fed.until(lambda: http.get(f"/v1/changes/{kept.batch}").status_code == 404)
        assert http.get(f"/v1/photos/{mine.photo_id}").status_code == 404
        assert client.product("p003").attributes["title"] == "Changed"
    with contextlib.closing(sqlite3.connect(shop / "data/live.sqlite")) as kept_still:
        for table in ("changes", "photos", "pictures", "vectors"):
            assert kept_still.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_version_that_takes_over_while_changes_are_filed_is_seen_to_have_them(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, switched = threading.Event(), threading.Event()
    forget = filing.forget

    def forget_late(store: LiveStore) -> None:
        forget(store)
        begun.set()
        assert switched.wait(20)

    with fed.writing(shop) as (http, client):
        made = client.put("p003", {"category": "hat", "split": "test"}, fed.picture(shop, "p003 new", 0))
        client.wait(made.batch)
        fed.until(lambda: list((shop / "inbox").glob("api-*.jsonl")))
        monkeypatch.setattr(filing, "forget", forget_late)
        assert begun.wait(20)  # it has looked which version answers, and is not through yet
        refreshing.refresh(shop)
        fed.until(lambda: version(http) == 2)
        switched.set()
        fed.until(lambda: client.changes(made.batch).changes[0].catalog_version == 2)
        fed.until(lambda: changed(http) == 0)


@pytest.mark.usefixtures("one_thread")
def test_what_is_not_filed_yet_is_laid_over_the_next_version_also_of_another_model(shop: Path) -> None:
    photo = fed.picture(shop, "late", 0)
    with fed.writing(shop) as (http, client):
        client.wait(client.put("early", {"category": "bag", "split": "test"}, fed.picture(shop, "early", 0)).batch)
        fed.until(lambda: list((shop / "inbox").glob("api-*.jsonl")))
    with fed.writing(shop, file_s=3600.0) as (http, client):
        client.wait(client.put("late", {"category": "bag"}, photo).batch)
        refreshing.put_model(shop, 2)
        refreshing.refresh(shop)
        fed.until(lambda: version(http) == 2)
        truth = Truth(shop)  # of the new model
        truth.put("late", "bag", [photo])
        told = search(http, photo, limit=2048).json()
        same(
            [(one["product_id"], one["sq_distance"]) for one in told["results"]],
            truth.ranked([truth.vector(photo)]),
        )
        assert told["total"] == 26
        versions.rollback(1, shop / "data/publish")  # an earlier catalog, and what it lacks of the changes
        fed.until(lambda: version(http) == 1)
        assert search(http, photo, limit=1).json()["results"][0]["product_id"] == "late"
        assert client.product("early").category == "bag"


def test_a_record_of_the_feed_that_is_newer_replaces_a_change(shop: Path) -> None:
    later = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).isoformat()
    with fed.writing(shop) as (http, client):
        made = client.put("p003", {"category": "hat", "title": "Ours"}, fed.picture(shop, "ours", 0))
        client.wait(made.batch)
        assert client.product("p003").attributes["title"] == "Ours"
        line = (shop / "inbox" / "0001.jsonl").read_text().splitlines()[3]
        theirs = line.replace("2026-01-05T00:00:00Z", later).replace("Product 3", "Theirs")
        (shop / "inbox" / "0002.jsonl").write_text(f"{theirs}\n")
        refreshing.refresh(shop)
        fed.until(lambda: version(http) == 2)
        assert client.product("p003").attributes["title"] == "Theirs"
        with pytest.raises(ServiceError, match=r"^409: product 'p003' is known by a newer record: .* the one given is"):
            client.put("p003", {"category": "hat", "photos": ["x.png"], "updated_at": "2026-02-01T00:00:00Z"})
        again = client.wait(client.put("p003", {"category": "hat", "photos": ["p003-0-0.png"], "title": "Last"}).batch)
        assert again.changes[0].state == "visible"  # without a time of its own it comes after what is known
        assert client.product("p003").attributes["title"] == "Last"


def test_nothing_is_put_into_the_inbox_while_the_line_reads_it(shop: Path) -> None:
    def filed() -> list[Path]:
        return list((shop / "inbox").glob("api-*"))

    report = shop / "reports" / "raw_images.json"
    with fed.writing(shop) as (_, client):
        with locks.held(shop / "data" / "raw_images"):
            client.delete("p003")
            time.sleep(0.5)
            assert not filed()
            os.utime(report)  # it has ended just now, and DVC has not noted yet what it read
        time.sleep(0.5)
        assert not filed()
        os.utime(report, (0, 0))
        fed.until(filed)
