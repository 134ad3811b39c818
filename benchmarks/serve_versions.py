"""The service while it is killed and started again, and while versions are published under load."""

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import serve_load as load
import serve_shop
from serve_requests import similar
from serve_systems import OURS, Service, started

from visnet.serving import versions

SHARE = 0.7  # of the highest rate, at which times are taken


def refreshed(big: Path, minutes: float, every_s: float) -> list[str]:
    """Have versions come under load; return what to tell of it.

    First they are made beside the service, then they are there already, as when another machine makes them: all that is
    left is to serve an earlier one, and the newest again.
    """
    publish = big / "data/publish"
    serve_shop.publish(big)  # so that there are two of which the galleries stay

    def made() -> None:
        # In a process of its own, as a refresh is: in this one it would hold up the load, and be measured.
        subprocess.run(["nice", "-n", "19", sys.executable, serve_shop.__file__, str(big)], check=True)

    def turned() -> None:
        if versions.waiting(publish) is None:
            versions.rollback(publish=publish)
        else:
            versions.roll_forward(publish)

    with started(OURS, big) as service:
        requests = similar(big)[OURS]
        rate = SHARE * load.fastest(service.port, requests, 16, 3.0).rate
        alone = _steady(service, requests, rate, 20.0)
        told = [f"At {rate:,.0f} requests/s (70 %): p50 {alone.at(0.5):.1f} and p99 {alone.at(0.99):.1f} ms alone.", ""]
        for what, come, share in (
            ("made beside it at the lowest priority (nice 19)", made, 1.0),
            ("made elsewhere", turned, 0.2),
        ):
            told += [*_while_they_come(service, requests, rate, share * minutes, every_s, come, what), ""]
        return told[:-1]


def _while_they_come(
    service: Service,
    requests: Sequence[bytes],
    rate: float,
    minutes: float,
    every_s: float,
    come: Callable[[], None],
    what: str,
) -> list[str]:
    took_s, stop = [], threading.Event()

    def publish() -> None:
        while not stop.wait(every_s):
            begun_s = time.perf_counter()
            come()
            took_s.append(time.perf_counter() - begun_s)

    before_mb, thread, sizes = service.rss_mb(), threading.Thread(target=publish), Sizes(service)
    thread.start()
    under = _steady(service, requests, rate, minutes * 60)
    stop.set()
    thread.join()
    sizes.stop()
    quarters = ", ".join(f"{one:,.0f}" for one in sizes.by_quarter())
    return [
        f"{len(took_s)} versions, {what}, in {minutes:g} minutes, one every {every_s:g} s, each "
        f"{statistics.median(took_s or [0]):.1f} s of work:",
        f"{len(under.times_s):,} answered, {under.failed} failed{_why(under)}, {under.torn} torn (a product of another "
        f"edition than that of the lineage); p50 {under.at(0.5):.1f} and p99 {under.at(0.99):.1f} ms.",
        f"Memory: {before_mb:,.0f} MB before, {quarters} MB at the end of each quarter, {max(sizes.seen):,.0f} MB at "
        "the most.",
    ]


def _steady(service: Service, requests: Sequence[bytes], rate: float, seconds: float) -> load.Load:
    return load.steady(service.port, requests, rate, seconds, lambda body: serve_shop.editions(json.loads(body)))


def _why(one: load.Load) -> str:
    return f" ({', '.join(f'{count} with {status}' for status, count in one.statuses.items())})" if one.failed else ""


class Sizes:
    """The resident size of a service, looked at each second."""

    def __init__(self, service: Service) -> None:
        self.seen: list[float] = [service.rss_mb()]
        self._service, self._stop = service, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def by_quarter(self) -> list[float]:
        """Return the sizes at the ends of the four quarters."""
        return (
            [self.seen[(len(self.seen) * part) // 4 - 1] for part in (1, 2, 3, 4)] if len(self.seen) > 4 else self.seen
        )

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(1.0):
            self.seen.append(self._service.rss_mb())


def restarted(big: Path, times: int = 3) -> list[tuple[float, float]]:
    """Kill the service and start it again; return the seconds until it was ready, and of processor time till then."""
    found = []
    for _ in range(times):
        with started(OURS, big) as service:
            found.append((service.ready_s, service.cpu_s()))
            os.kill(service.pid, signal.SIGKILL)
    return found
