"""What a service counts of itself, as Prometheus reads it."""

import os
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # where several processes keep their counts together
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
TOGETHER = (1, 2, 4, 8, 16)


class Metrics:
    """Counts of one process, or of all that share a folder."""

    def __init__(self) -> None:
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
            "visnet_catalog_version", "The version that answers.", registry=self._registry, multiprocess_mode="min"
        )
        self.changed = Gauge(
            "visnet_changed_products",
            "Products that answer otherwise than the version has them.",
            registry=self._registry,
            multiprocess_mode="max",
        )
        self.switches = Counter(
            "visnet_switches_total", "Versions that were opened.", ("outcome",), registry=self._registry
        )

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
