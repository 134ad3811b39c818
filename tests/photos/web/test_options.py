"""Photos that several processes ask for: each once, and all together as one process would."""

import collections
import threading

import pytest

from tests.image_server import ImageServer
from tests.photos.web.fetching import QUICK
from visnet.photos.web import download
from visnet.photos.web.options import FetchOptions, dealt


def of_hosts(**counts: int) -> list[tuple[str, str]]:
    """Return so many photos of hosts, and of files."""
    start = {"files": "/photos"}
    return [(f"{h}{i}", f"{start.get(h, f'http://{h}.example')}/{i}.jpg") for h, n in counts.items() for i in range(n)]


@pytest.mark.parametrize(
    ("counts", "processes", "shares"),
    [
        ({"a": 1}, 4, 1),
        ({"a": 100}, 4, 4),
        ({"a": 100}, 16, 8),  # not more than the host may be asked at once
        ({"a": 70, "b": 10, "c": 10, "d": 10}, 4, 4),
        ({"a": 99, "b": 1}, 2, 2),
        ({"a": 30, "b": 30, "c": 30, "d": 10}, 3, 3),
        ({"files": 100}, 100, 32),
        ({"files": 50, "a": 50}, 3, 3),
        ({f"h{i}": 3 for i in range(200)}, 7, 7),
    ],
)
def test_the_limits_of_all_processes_are_those_of_one(counts: dict[str, int], processes: int, shares: int) -> None:
    wanted, options = of_hosts(**counts), FetchOptions()
    parts = dealt(wanted, options, processes)
    assert len(parts) == shares
    assert sorted(photo for photos, _ in parts for photo in photos) == sorted(wanted)
    assert sum(portion.concurrency for _, portion in parts) == options.concurrency
    assert sum(portion.held_mb for _, portion in parts) == pytest.approx(options.held_mb)
    assert {portion.decoders for _, portion in parts} == {1}
    hosts = [{locator.split("/")[2] for _, locator in photos if "://" in locator} for photos, _ in parts]
    for host in set().union(*hosts):
        asking = [portion for own, (_, portion) in zip(hosts, parts, strict=True) if host in own]
        assert sum(portion.limit(host) for portion in asking) == options.per_host
        assert min(portion.limit(host) for portion in asking) > 0
        assert 16 <= sum(portion.patience(host) for portion in asking) < 16 + len(asking)
    held = collections.Counter(host for own in hosts for host in own)
    fair = len(wanted) / processes
    assert all(times == 1 for host, times in held.items() if counts[host.removesuffix(".example")] <= fair)


def test_all_processes_ask_a_dead_host_as_often_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts in threads, with a patience that one can wait for."""
    monkeypatch.setattr(download, "HOST_PATIENCE_S", 0.05)
    with ImageServer(b"") as server:
        closed = server.url("")  # nobody listens there once the server is gone
    wanted = [(str(i), f"{closed}{i}") for i in range(120)]
    options = FetchOptions(**{**QUICK, "tries": 2, "backoff_s": 0.1}, per_host=4)

    def asked(processes: int) -> int:
        reasons: list[str | None] = []

        def fetch(photos: list[tuple[str, str]], own: FetchOptions) -> None:
            reasons.extend(answer.lost for answer in download.fetch(photos, options=own))

        threads = [threading.Thread(target=fetch, args=part) for part in dealt(wanted, options, processes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(threads) == processes
        counted = collections.Counter(reasons)
        assert counted.keys() == {"no connection", "host unreachable"}
        assert counted.total() == 120
        return counted["no connection"]

    one, four = asked(1), asked(4)
    assert 16 <= one < 16 + options.per_host
    assert 16 <= four < 16 + options.per_host
