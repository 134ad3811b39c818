"""raw_images on a Ray cluster of three nodes: the photos, the reasons and the questions of one process."""

import collections
import csv
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import workspace
from tests.apart import within
from tests.engines import nodes, work
from tests.engines.nodes import Nodes
from tests.engines.runs import forked_run, on_the_cluster, started, wait_for, workers
from tests.image_server import Gauge, ImageServer
from tests.sources.changefeed.shop import jpeg
from visnet.engines import cluster
from visnet.photos.spread_fetching import fetch_on
from visnet.photos.web.options import FetchOptions
from visnet.photos.web.proxies import Unusable
from visnet.runs import runner
from visnet.storage.table import Table

PER_HOST, CONCURRENCY, COUNT = 5, 8, 360
PARAMS = f"""
[raw_images]
source = "table"
metadata = "stock.csv"
commit_every = 16
engine = "ENGINE"

[raw_images.table.download]
allow_hosts = ["127.0.0.1"]
per_host = {PER_HOST}
concurrency = {CONCURRENCY}
timeout_s = 2.0
deadline_s = 4.0
backoff_s = 0.02
"""
FAULTS = ("busy", "busy_always", "reset_once", "reset", "gone", "html", "cut", "short", "slow_once", "slow", "moved")
PHOTO = jpeg(1, 40)


@pytest.fixture
def servers() -> Iterator[tuple[ImageServer, ImageServer]]:
    """A host that has most of the photos, and another; some photos of both do not come at once, or not at all."""
    total = Gauge()
    plan = {f"{i}.jpg": fault for i, fault in enumerate(FAULTS, 7)}
    with ImageServer(PHOTO, plan, total=total) as large, ImageServer(PHOTO, plan, total=total) as small:
        yield large, small


def shop(folder: Path, engine: str, servers: tuple[ImageServer, ImageServer]) -> Path:
    """List three quarters of the photos at one host, the others at another."""
    folder.mkdir()
    (folder / "params.toml").write_text(PARAMS.replace("ENGINE", engine), encoding="utf-8")
    places = [servers[i % 4 == 3].url(f"{i // (4 if i % 4 == 3 else 1)}.jpg") for i in range(COUNT)]
    with (folder / "stock.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["_category", "_id", "_name"], *(["hats", i, at] for i, at in enumerate(places))])
    return folder


def report(folder: Path) -> dict[str, Any]:
    return {**workspace.report(folder, "raw_images"), "wall_s": 0}


def rows(folder: Path) -> int:
    table = Table(folder / "data/raw_images/photos.lance")
    return table.count() if table.exists() else 0


def pause(servers: tuple[ImageServer, ImageServer], pause_s: float) -> None:
    for server in servers:
        server.pause_s = pause_s


def refreshed(folder: Path, **changed: object) -> dict[str, Any]:
    with within(folder):
        tables = runner.read_params()
        runner.run("raw_images", tables={"raw_images": tables["raw_images"] | changed})
    return report(folder)


def test_equal_answers_are_asked_for_as_often_and_make_equal_tables(
    servers: tuple[ImageServer, ImageServer], connected: cluster.Cluster, tmp_path: Path
) -> None:
    seen = []
    for server in servers:
        server.marks = ("ETag",)
    for engine in ("local", "ray"):
        folder = shop(tmp_path / engine, engine, servers)
        pause(servers, 0.02)
        first = refreshed(folder)
        hits = [dict(server.hits) for server in servers]
        assert all(1 < server.gauge.most <= PER_HOST for server in servers)
        assert servers[0].total.most <= CONCURRENCY
        again = refreshed(folder, ask_again=1)
        seen.append((first, again, hits, [dict(server.not_modified) for server in servers]))
        for server in servers:
            server.hits.clear()
            server.not_modified.clear()
            server.gauge.most = server.total.most = 0
    local, ray = seen
    assert local == ray
    assert (local[0]["added"], local[0]["lost"]) == (COUNT, local[1]["asked_again"])
    assert local[0]["lost"] > 8
    assert local[1]["not_modified"] == COUNT - local[0]["lost"]
    lost = [(tmp_path / engine / "data/raw_images/lost.csv").read_text(encoding="utf-8") for engine in ("local", "ray")]
    assert lost[0] == lost[1]


def test_a_node_lost_in_the_middle_has_only_its_missing_photos_asked_again(
    servers: tuple[ImageServer, ImageServer], three: Nodes, tmp_path: Path
) -> None:
    wanted = refreshed(shop(tmp_path / "local", "local", servers))
    for server in servers:
        server.hits.clear()
    folder = shop(tmp_path / "ray", "ray", servers)
    pause(servers, 0.1)
    run = started(folder, "raw_images", forked_run())
    wait_for(lambda: rows(folder) > 0, run)
    with_process = [node for node in three.nodes[1:] if node.poll() is None and has_process(node.pid)]
    nodes.kill(with_process[0])
    done = rows(folder)
    said = run.communicate(timeout=300)[0]
    three.join()
    assert run.returncode == 0, said
    assert done < COUNT
    assert report(folder) == wanted
    asked = collections.Counter[str]()
    for server in servers:
        assert server.gauge.most <= PER_HOST + 2  # what a dead process asked for is still being answered
        asked.update({f"{server.server_port}/{path}": 1 for path in server.hits})
        twice = [path for path, hits in server.hits.items() if hits > 1 and server.plan.get(path, "good") == "good"]
        assert len(twice) < 60, "what was under way, or not yet taken"
    assert asked.total() == COUNT
    assert on_the_cluster(said), said
    assert f"photos {COUNT}/{COUNT} (100%)" in said
    assert "Traceback" not in said
    assert workers(three) == []


def has_process(pid: int) -> bool:
    return any(child.name().startswith("ray::_Process") for child in psutil.Process(pid).children(recursive=True))


def test_a_stopped_run_asks_no_more_and_the_next_asks_for_the_rest(
    servers: tuple[ImageServer, ImageServer], three: Nodes, tmp_path: Path
) -> None:
    folder = shop(tmp_path / "ray", "ray", servers)
    pause(servers, 0.1)
    run = started(folder, "raw_images")
    wait_for(lambda: rows(folder) > 0, run)
    run.send_signal(signal.SIGTERM)
    said = run.communicate(timeout=60)[0]
    assert run.returncode == 130, said
    assert "Traceback" not in said
    until = time.monotonic() + 30
    while workers(three) or any(server.gauge.now for server in servers):
        assert time.monotonic() < until, workers(three)
        time.sleep(0.1)
    before = rows(folder)
    assert 0 < before < COUNT
    asked = sum(sum(server.hits.values()) for server in servers)
    time.sleep(0.5)
    assert sum(sum(server.hits.values()) for server in servers) == asked
    pause(servers, 0)
    found = refreshed(folder)
    assert (found["added"], found["photos"]) == (COUNT - before, COUNT)


@pytest.mark.parametrize(
    "params",
    [
        'source = "feed"\nmetadata = "inbox"\nfeed = {photos = "photos"}',
        'source = "atlas"\nmetadata = "atlas.json"\natlas = {photos = "file", images = "photos"}',
        f'source = "synthetic"\nmetadata = "{__file__}"\nsynthetic = {{products = 88, side_px = 64}}',
    ],
    ids=["feed", "atlas", "synthetic"],
)
def test_files_and_generated_photos(params: str, connected: cluster.Cluster, tmp_path: Path) -> None:
    """A path of the parameters starts at the folder that the stage is run in, which is not that of the processes."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "inbox").mkdir()
    names = [f"{number}.jpg" for number in range(70)]
    for number, name in enumerate(names):
        (tmp_path / "photos" / name).write_bytes(PHOTO if number % 9 else b"no photo")
    lines = [{"product_id": name, "op": "upsert", "seq": 1, "category": "hats", "photos": [name]} for name in names]
    (tmp_path / "inbox/1.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    images = [{"filename": name, "title": name, "sentences": [{"tokens": ["hats", "caps"]}]} for name in names]
    (tmp_path / "atlas.json").write_text(json.dumps({"images": images}), encoding="utf-8")
    (tmp_path / "params.toml").write_text(f"[raw_images]\nlost_share_max = 0.2\n{params}\n", encoding="utf-8")
    local = refreshed(tmp_path)
    shutil.rmtree(tmp_path / "data")
    ray = refreshed(tmp_path, engine="ray")
    assert local == ray
    assert ray["added"] == ray["photos"] >= 70


def test_a_node_that_does_not_see_the_files_is_named(connected: cluster.Cluster, tmp_path: Path) -> None:
    """As a node of another machine: what is open here under a number is open in no other process."""
    with (tmp_path / "own.jpg").open("wb") as file:
        number = fcntl.fcntl(file, fcntl.F_DUPFD, 800)
        wanted = [("a", f"/proc/self/fd/{number}")]
        with pytest.raises(ValueError, match=r"^engine = 'ray': the node \S+ does not see /proc/self/fd/\d+; "):
            list(fetch_on(connected, lambda options: work.unusable, FetchOptions(), wanted))
        os.close(number)


def test_what_needs_no_proxy_comes_before_one_is_refused(connected: cluster.Cluster) -> None:
    wanted = [(f"{host}{i}", f"http://{host}.example/{i}") for host in "ab" for i in range(64)]
    came = []
    with pytest.raises(Unusable, match=r"^HTTP_PROXY=odd: "):
        came.extend(fetch_on(connected, lambda options: work.unusable, FetchOptions(), wanted))
    assert {answer.photo_id for answer in came} == {photo_id for photo_id, _ in wanted if photo_id[0] == "b"}
