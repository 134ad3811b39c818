"""The service while it is killed and started again, and while versions are published under load."""

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import serve_load as load
import serve_shop
from serve_requests import similar
from serve_systems import OURS, Service, started

from visnet.serving import versions

SHARE = 0.7  # of the highest rate, at which times are taken
VERSIONS = 4  # of a turn


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
        requests, turns = similar(big)[OURS], minutes * 60 / (VERSIONS * every_s)
        told = [
            f"In turns of {every_s:g} s alone and {VERSIONS * every_s:g} s beside versions, at 70 % of the rate then.",
            "",
        ]
        for what, come, share in (
            ("made beside it at the lowest priority (nice 19)", made, 1.0),
            ("made elsewhere", turned, 0.2),
        ):
            told += [*_while_they_come(service, requests, max(1, round(share * turns)), every_s, come, what), ""]
        return told[:-1]


def _while_they_come(
    service: Service, requests: Sequence[bytes], turns: int, every_s: float, come: Callable[[], None], what: str
) -> list[str]:
    load.fastest(service.port, requests, 16, 3.0)  # what it reads at its first answers is no growth
    took_s, sizes = list[float](), Sizes(service)
    rates, alone, beside = list[float](), list[load.Load](), list[load.Load]()
    for _ in range(turns):
        rates.append(SHARE * load.fastest(service.port, requests, 16, 3.0).rate)
        alone.append(_steady(service, requests, rates[-1], every_s))
        with _versions(come, every_s, took_s):
            beside.append(_steady(service, requests, rates[-1], VERSIONS * every_s))
    sizes.stop()
    answered, torn = (sum(each) for each in zip(*((len(x.times_s), x.torn) for x in beside), strict=True))
    return [
        f"{len(took_s)} versions, {what}, in {turns * VERSIONS * every_s / 60:g} minutes, one every {every_s:g} s, "
        f"each {statistics.median(took_s):.1f} s of work; {min(rates):,.0f} to {max(rates):,.0f} requests/s:",
        f"{answered:,} answered, {load.failures(beside)} failed, {torn} torn (a product of another edition than that "
        f"of the lineage); p50 {_median(beside, 0.5)}, alone {_median(alone, 0.5)} ms; p99 {_median(beside, 0.99)}, "
        f"alone {_median(alone, 0.99)} ms (the median of the turns, and each).",
        f"Memory: {_sizes(sizes, 0)}; without the files that are mapped, which another version replaces: "
        f"{_sizes(sizes, 1)}.",
    ]


@contextlib.contextmanager
def _versions(come: Callable[[], None], every_s: float, took_s: list[float]) -> Iterator[None]:
    """Have versions come until the block ends, the first at once; the seconds that each takes are added to a list."""
    stop = threading.Event()

    def publish() -> None:
        while not stop.is_set():
            begun_s = time.perf_counter()
            come()
            took_s.append(time.perf_counter() - begun_s)
            stop.wait(max(0.0, every_s - took_s[-1]))

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _median(loads: Sequence[load.Load], share: float) -> str:
    each = [one.at(share) for one in loads]
    return f"{statistics.median(each):.1f} ({', '.join(f'{one:.1f}' for one in each)})"


def _sizes(sizes: "Sizes", of: int) -> str:
    first, most = sizes.seen[0][of], max(each[of] for each in sizes.seen)
    quarters = ", ".join(f"{each[of]:,.0f}" for each in sizes.by_quarter())
    return f"{first:,.0f} MB before, {quarters} MB at the end of each quarter, {most:,.0f} MB at the most"


def _steady(service: Service, requests: Sequence[bytes], rate: float, seconds: float) -> load.Load:
    return load.steady(service.port, requests, rate, seconds, lambda body: serve_shop.editions(json.loads(body)))


class Sizes:
    """The resident size of a service in MB, with and without mapped files, looked at each second."""

    def __init__(self, service: Service) -> None:
        self.seen: list[tuple[float, float]] = [service.resident_mb()]
        self._service, self._stop = service, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def by_quarter(self) -> list[tuple[float, float]]:
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
            self.seen.append(self._service.resident_mb())


def restarted(big: Path, times: int = 3) -> list[tuple[float, float]]:
    """Kill the service and start it again; return the seconds until it was ready, and of processor time till then."""
    found = []
    for _ in range(times):
        with started(OURS, big) as service:
            found.append((service.ready_s, service.cpu_s()))
            os.kill(service.pid, signal.SIGKILL)
    return found
