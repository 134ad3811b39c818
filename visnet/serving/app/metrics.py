"""What a service counts of itself, as Prometheus reads it."""

import os
from collections.abc import Callable
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # where several processes keep their counts together
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
TOGETHER = (1, 2, 4, 8, 16)


class Metrics:
    """Counts of one process, or of all that share a folder."""

    def __init__(self) -> None:
        _forget_the_dead()
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "visnet_requests_total", "Answers given.", ("route", "method", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "visnet_request_seconds",
            "From a request to its answer.",
            ("route",),
            registry=self._registry,
            buckets=SECONDS,
        )
        self.turned_away = Counter(
            "visnet_turned_away_total", "Requests that were asked to come again.", registry=self._registry
        )
        self._batches = Histogram(
            "visnet_batch_size", "Requests that went together.", ("step",), registry=self._registry, buckets=TOGETHER
        )
        self.version = Gauge(
            "visnet_catalog_version", "The version that answers.", registry=self._registry, multiprocess_mode="livemin"
        )
        self.changed = Gauge(
            "visnet_changed_products",
            "Products that answer otherwise than the version has them.",
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        self.published = Gauge(
            "visnet_catalog_published_timestamp_seconds",
            "When the version that answers was published, since 1970.",
            registry=self._registry,
            multiprocess_mode="livemin",
        )
        self.switches = Counter(
            "visnet_switches_total", "Versions that were opened.", ("outcome",), registry=self._registry
        )
        for outcome in ("done", "failed"):  # from 0 on: of a series that begins with 1, Prometheus sees no increase
            self.switches.labels(outcome)
        self.working = Gauge(
            "visnet_searches_under_way",
            "Requests with photos that are worked on.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.allowed = Gauge(
            "visnet_searches_allowed",
            "How many may be worked on at a time; more are turned away.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.dead = Counter(
            "visnet_changes_dead_total", "Changes by the API that had no effect.", registry=self._registry
        )
        self.waiting = self._now("visnet_changes_waiting", "Changes that wait for their photos.")
        self.waiting_s = self._now("visnet_changes_waiting_seconds", "For how long the first of them has waited.")
        self.dead_letters = self._now(
            "visnet_feed_dead_letters", "Records of the feed's batches that could not be used."
        )

    def _now(self, name: str, what: str) -> Gauge:
        """Make a gauge of what all processes see alike: the one that was asked last says it."""
        return Gauge(name, what, registry=self._registry, multiprocess_mode="mostrecent")

    def batch(self, step: str) -> Callable[[int], object]:
        """Return what is told how many requests went through a step together."""
        return self._batches.labels(step).observe

    def text(self) -> bytes:
        """Return all counts in Prometheus' text format."""
        if os.environ.get(SHARED):
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self._registry)


def _forget_the_dead() -> None:
    """Let go what processes said of themselves that were killed: another one stands in for each."""
    for file in Path(os.environ.get(SHARED, os.devnull)).glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if not psutil.pid_exists(int(pid)):
            multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
