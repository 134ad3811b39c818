"""A real service in a process of its own: versions change under it without a failed request, and it stops when told."""

import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.refreshing import put_stock, refresh, stock
from tests.serving.app import logged
from tests.serving.app.processes import process, ready, started
from tests.serving.app.running import photo_of, search
from tests.workspace import visnet
from visnet.serving import versions
from visnet.storage import locks


def test_a_new_version_takes_over_under_load_and_the_old_one_is_let_go(shop: Path) -> None:
    photo, seen, stop = photo_of(shop, "p003-0-1"), Counter[tuple[int, int]](), threading.Event()
    with process(shop) as (child, url):
        ready(url)

        def load() -> None:
            with httpx.Client(base_url=url, timeout=30) as client:
                while not stop.is_set():
                    for answer in (search(client, photo), client.get("/v1/products/p001/similar")):
                        version = answer.json().get("lineage", {}).get("catalog_version", 0)
                        seen[answer.status_code, version] += 1

        loads = [threading.Thread(target=load) for _ in range(3)]
        for one in loads:
            one.start()
        put_stock(shop, {**stock(24), "p003": 1, "p024": 0})
        refresh(shop)
        deadline_s = time.monotonic() + 30
        while seen[200, 2] < 10 and time.monotonic() < deadline_s:
            time.sleep(0.05)
        stop.set()
        for one in loads:
            one.join()
        assert seen.keys() == {(200, 1), (200, 2)}, seen
        assert httpx.get(f"{url}v1/products/p024").status_code == 200
        old = versions.folder(shop / "data/publish", 1) / versions.LOCK
        with old.open("a+b", buffering=0) as lock:
            assert locks.taken(lock, shared=False), "the old version is held no more"
        versions.rollback(1, shop / "data/publish")
        while httpx.get(f"{url}v1/catalog").json()["lineage"]["catalog_version"] != 1:
            assert time.monotonic() < deadline_s + 30
            time.sleep(0.05)
        child.signal(signal.SIGTERM)
        assert child.end(20).returncode == 0


def test_sigterm_ends_it_after_the_request_that_is_under_way(shop: Path) -> None:
    with started(shop) as (child, url):
        ready(url)
        photo = photo_of(shop, "p003-0-1")
        body = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n' + photo + b"\r\n--x--\r\n"

        def slowly() -> Iterator[bytes]:
            yield body[:100]
            child.send_signal(signal.SIGTERM)
            time.sleep(1)
            yield body[100:]

        headers = {"content-type": "multipart/form-data; boundary=x", "content-length": str(len(body))}
        answer = httpx.post(f"{url}v1/search", content=slowly(), headers=headers, timeout=30)
        assert answer.status_code == 200
        said, trouble = child.communicate(timeout=20)
        assert (child.returncode, said.splitlines()[-1], trouble) == (0, "Stopped.", "")


def test_two_processes_share_the_port_the_queries_the_counts_the_rates_and_the_log(shop: Path) -> None:
    with process(shop, "--workers", "2", "--log-format", "json", "--searches-per-s", "10") as (child, _):
        url = json.loads(child.line())["url"]
        ready(url)
        logged.ask(url, shop)
        time.sleep(1)
        with httpx.Client(base_url=url) as client:
            link = search(client, photo_of(shop, "p003-0-1")).json()["query_id"]
        time.sleep(1)
        for _ in range(10):  # each on a connection of its own, which either process may take
            answer = httpx.get(f"{url}v1/queries/{link}")
            while answer.status_code == 503:
                time.sleep(0.1)
                answer = httpx.get(f"{url}v1/queries/{link}")
            assert answer.json()["results"][0]["product_id"] == "p003"
        counted = re.search(r'route="/v1/queries/\{query_id\}",status="200"\} (\d+)', httpx.get(f"{url}metrics").text)
        assert counted
        assert int(counted[1]) == 10
        begun_s = time.monotonic()
        statuses = Counter(httpx.get(f"{url}v1/queries/none").status_code for _ in range(150))
        assert statuses[404] <= 50 + 10 * (time.monotonic() - begun_s), "as many as one process alone lets through"
        assert statuses[404] + statuses[429] == 150
        child.signal(signal.SIGTERM)
        done = child.end(20)
    assert (done.returncode, done.stderr) == (0, "")
    logged.check(done.stdout, processes=2)


def test_where_nothing_is_published_it_says_what_to_run(tmp_path: Path) -> None:
    done = visnet(tmp_path, "serve")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("visnet serve: nothing is served: nothing was published here yet; run `dvc repro`")
    assert len(done.stderr.splitlines()) == 1
    assert not os.listdir(tmp_path)
