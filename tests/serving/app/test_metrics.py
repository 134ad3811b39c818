"""What a service counts, against what was done to it; and of several processes only those that live."""

import datetime
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.refreshing import refresh
from tests.serving.app.running import photo_of, search, served
from tests.serving.live import fed
from visnet.serving import versions
from visnet.serving.app import metrics, pages
from visnet.serving.app.steps import Embedder
from visnet.serving.live import photos


def counted(http: httpx.Client, name: str, **labels: str) -> float | None:
    """Return the value of a series, None where there is none."""
    for family in text_string_to_metric_families(http.get("/metrics").text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None


def test_changes_that_wait_or_are_dead_and_records_that_cannot_be_used_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = fed.make(tmp_path / "shop", 4)
    (shop / "inbox/0002.jsonl").write_text('{"product_id": "p000", "op": "sell"}\nno JSON\n\n')
    refresh(shop, "raw_images")
    released, fetch = threading.Event(), photos.fetch

    def slow(*given: Any) -> Any:
        released.wait(20)
        return fetch(*given)

    monkeypatch.setattr(photos, "fetch", slow)
    with fed.writing(shop) as (http, client):
        assert counted(http, "visnet_feed_dead_letters") == 2
        assert (counted(http, "visnet_changes_waiting"), counted(http, "visnet_changes_waiting_seconds")) == (0, 0)
        put = client.put("p001", {"category": "hat", "photos": ["nowhere.png"]})
        assert counted(http, "visnet_changes_waiting") == 1
        waited_s = counted(http, "visnet_changes_waiting_seconds")
        assert waited_s is not None
        assert 0 < waited_s < 20
        assert counted(http, "visnet_changes_dead_total") == 0
        released.set()
        client.wait(put.batch)
        fed.until(lambda: counted(http, "visnet_changes_dead_total") == 1)
        client.batch([{"product_id": "p001", "op": "sell"}, {"product_id": "p002", "op": "delete"}])
        assert counted(http, "visnet_changes_dead_total") == 2
        assert (counted(http, "visnet_changes_waiting"), counted(http, "visnet_changes_waiting_seconds")) == (0, 0)


def test_the_version_s_time_and_what_may_be_searched_at_a_time_are_told(client: httpx.Client, place: Path) -> None:
    assert search(client, photo_of(place, "p003-0-1")).is_success
    publish = place / "data/publish"
    facts = versions.facts(publish, versions.current(publish) or 0)
    published = datetime.datetime.fromisoformat(facts["created_at"].replace("Z", "+00:00")).timestamp()
    assert counted(client, "visnet_catalog_published_timestamp_seconds") == published
    assert (counted(client, "visnet_searches_under_way"), counted(client, "visnet_searches_allowed")) == (0, 32)
    assert counted(client, "visnet_switches_total", outcome="failed") == 0, "there before the first one fails"


def test_what_a_process_said_that_was_killed_is_forgotten_by_the_next_one(tmp_path: Path) -> None:
    told = (
        "metrics = Metrics(); metrics.version.set({}); metrics.allowed.set(32); metrics.switches.labels('done').inc()"
    )
    code = f"import os; from visnet.serving.app.metrics import Metrics; {told}"
    env = {**os.environ, metrics.SHARED: str(tmp_path)}
    for number, end in ((3, "; os._exit(9)"), (4, "; print(metrics.text().decode())")):
        done = subprocess.run(
            [sys.executable, "-c", code.format(number) + end], env=env, capture_output=True, text=True
        )
    lines = done.stdout.splitlines()
    assert {"visnet_catalog_version 4.0", "visnet_searches_allowed 32.0"} <= set(lines), done.stderr
    assert 'visnet_switches_total{outcome="done"} 2.0' in lines, "a count is not lost with who counted"


def test_a_network_that_no_longer_makes_the_vectors_it_made_is_not_ready_and_that_is_counted(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed, sign = Embedder.squares, [1]
    monkeypatch.setattr(Embedder, "squares", lambda self, squares: [sign[0] * one for one in embed(self, squares)])
    monkeypatch.setattr(pages, "CHECKED_S", -1.0)
    with served(place / "data") as client:
        assert client.get("/readyz").is_success
        sign[0] = -1
        answer = client.get("/readyz")
        why = "a known photo was embedded, and its vector is another one"
        assert (answer.status_code, answer.json().get("detail")) == (503, why)
        assert counted(client, "visnet_requests_total", route="/readyz", method="GET", status="503") == 1
