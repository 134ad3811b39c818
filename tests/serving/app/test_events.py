"""Events: what was done with an answer is kept once, checked against what was asked, and measures what is served."""

import datetime
import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from tests.serving.app.running import photo_of, search, served
from visnet.client import Client, Event, ServiceError
from visnet.commands import events as command
from visnet.errors import NotReady
from visnet.serving import told
from visnet.serving.events import EventStore


@pytest.fixture(scope="module")
def own(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shop, whose file of events is this module's."""
    return Path(shutil.copytree(place, tmp_path_factory.mktemp("events") / "shop", symlinks=True))


@pytest.fixture(scope="module")
def asking(own: Path) -> Iterator[httpx.Client]:
    with served(own / "data") as client:
        yield client


@pytest.fixture(scope="module")
def query_id(asking: httpx.Client, own: Path) -> str:
    return str(search(asking, photo_of(own, "p003-0-1")).json()["query_id"])


def tell(client: httpx.Client, *events: dict[str, Any], **one: Any) -> httpx.Response:
    return client.post("/v1/events", json=list(events) or one)


def test_each_event_is_kept_once_by_its_id_or_by_what_it_says(asking: httpx.Client, query_id: str, own: Path) -> None:
    click = {"query_id": query_id, "product_id": "p003", "kind": "click", "position": 0}
    bought = {"query_id": query_id, "product_id": "p003", "kind": "purchase", "at": "2026-11-26T17:00:00+01:00"}
    assert tell(asking, **click).json() == {"received": 1, "new": 1}
    assert tell(asking, click, bought, bought).json() == {"received": 3, "new": 1}
    named = [click | {"event_id": f"order-{number}"} for number in (1, 2, 1)]
    assert tell(asking, *named).json() == {"received": 3, "new": 2}
    same_time = bought | {"at": "2026-11-26T16:00:00Z"}
    assert tell(asking, **same_time).json() == {"received": 1, "new": 0}
    rows = [row for row in told.read_events(own / "data").to_pylist() if row["query_id"] == query_id]
    assert [(row["kind"], row["position"]) for row in rows] == [("purchase", None), *[("click", 0)] * 3]
    assert rows[0]["at"] == datetime.datetime(2026, 11, 26, 16, tzinfo=datetime.UTC)


REFUSED: dict[str, tuple[int, Any, str]] = {
    "an unknown query": (404, {"query_id": "q_0"}, "query 'q_0' is not kept"),
    "an unknown product": (422, {"product_id": "p999"}, "event.product_id: 'p999' is not in the catalog"),
    "an unknown kind": (422, {"kind": "like"}, "event.kind: Input should be 'click', 'purchase' or 'dismiss'"),
    "a position before the first": (422, {"position": -1}, "event.position"),
    "a time to come": (422, {"at": "2999-01-01T00:00:00Z"}, "event.at: 2999-01-01T00:00:00+00:00 is in the future"),
    "a time without a zone": (400, {"at": "2026-11-26T17:00:00"}, "event.at: Input should have timezone info"),
    "an unknown field": (400, {"user": "me"}, "event.user: Extra inputs are not permitted"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_kept_is_refused_and_with_it_all_that_came_beside_it(
    asking: httpx.Client, query_id: str, own: Path, case: str
) -> None:
    status, other, why = REFUSED[case]
    good = {"query_id": query_id, "product_id": "p001", "kind": "click"}
    for number, answer in enumerate((tell(asking, **good | other), tell(asking, good, good | other))):
        assert answer.status_code == status, answer.text
        assert why.replace("event.", "events.1." if number else "event.") in answer.json()["detail"]
    assert "p001" not in told.read_events(own / "data")["product_id"].to_pylist()


def test_a_thousand_are_taken_and_one_more_is_not(asking: httpx.Client, query_id: str) -> None:
    many = [{"query_id": query_id, "product_id": "p002", "kind": "dismiss", "event_id": str(at)} for at in range(1001)]
    assert tell(asking, *many[:1000]).json() == {"received": 1000, "new": 1000}
    assert tell(asking, *many).status_code == 422
    assert asking.post("/v1/events", json=[]).status_code == 422
    kind = {"content-type": "text/plain"}  # as another page's form could send it
    assert asking.post("/v1/events", content=json.dumps(many[0]), headers=kind).status_code == 415


def test_several_processes_write_at_once_and_none_is_lost_or_doubled(tmp_path: Path) -> None:
    stores = [EventStore(tmp_path / "events.sqlite") for _ in range(2)]
    new: list[int] = []

    def write(store: EventStore) -> None:
        for at in range(40):
            event = Event(query_id="q_1", product_id="p", kind="click", event_id=str(at))
            new.append(store.put([event], {"q_1": ("a model", b"\0\0\x80?")}))

    threads = [threading.Thread(target=write, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert sum(new) == 40
    found = told.read_events(tmp_path)
    assert len(found) == 40
    assert found["vector"].to_pylist()[0] == [1.0]


def test_people_s_choices_measure_the_version_that_is_served(own: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(own / "data", tmp_path / "data", symlinks=True))
    (data / "events.sqlite").unlink()
    with pytest.raises(NotReady, match="no event was told yet"):
        command.run(None, data)
    with served(data) as service, Client(str(service.base_url)) as client:
        found = [client.search(photo_of(own, f"p00{at}-0-1")) for at in range(4)]
        chosen = [found[0].results[0], found[1].results[0], found[2].results[6], found[3].results[1]]
        events = [
            Event(query_id=str(one.query_id), product_id=hit.product_id, kind="click" if at else "purchase")
            for at, (one, hit) in enumerate(zip(found, chosen, strict=True))
        ]
        assert client.tell(*events).new == 4
        with pytest.raises(ServiceError, match="404: query 'q_0' is not kept"):
            client.tell(Event(query_id="q_0", product_id="p000", kind="click"))
    with sqlite3.connect(data / "events.sqlite") as database:  # as after the next training
        database.execute("UPDATE asked SET model = 'an earlier one' WHERE query_id = ?", (found[3].query_id,))
    database.close()
    out = tmp_path / "events.parquet"
    said = command.run(out, data)
    assert "click: 3, purchase: 1" in said
    (click,) = (line.split() for line in said.splitlines() if line.startswith("click "))
    assert click[:4] == ["click", "3", "3", "0.667"]
    assert "1 events not measured: of another model" in said
    assert pq.read_table(out).schema.equals(told.SCHEMA)
