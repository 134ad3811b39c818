"""How photos are asked for: by one process, or by each of several that have its limits together."""

import collections
import heapq
import math
import os
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from visnet.photos import codec
from visnet.photos.web import addresses, locators
from visnet.pipeline.stage import Frozen

HOST_FAILURES = 16  # so many photos in a row without a connection, and a host may be dead
Wanted = list[tuple[str, str]]  # photo_id and locator


def _hosts(entries: list[str]) -> list[str]:
    addresses.Hosts(entries)
    return entries


class FetchOptions(Frozen):
    """How to ask for photos. At most `concurrency` photos are under way, at most `per_host` of them at one host."""

    concurrency: int = Field(default=32, ge=1, le=1024)
    per_host: int = Field(default=8, ge=1, le=1024)
    timeout_s: float = Field(default=5.0, gt=0, le=600)  # to connect, and for each wait for bytes
    deadline_s: float = Field(
        default=20.0, gt=0, le=3600
    )  # for one whole request, redirects and body too: cuts a server that dribbles
    tries: int = Field(default=4, ge=1, le=20)
    backoff_s: float = Field(
        default=0.25, ge=0, le=60
    )  # before the second try; doubles with each further one, with jitter
    max_mb: float = Field(default=32.0, gt=0, le=1024)
    held_mb: float = Field(default=256.0, gt=0, le=65_536)  # of all photos together that came and were not yet written
    max_pixels: int = Field(default=codec.MAX_PIXELS, ge=1, le=1_000_000_000)
    user_agent: str = "visnet/0.1"
    # What is said of photos is not trusted: see `visnet.photos.web.locators` and `visnet.photos.web.addresses`.
    allow_paths: list[str] = Field(default=[])  # folders that photos may be read from, beside that of relative paths
    allow_hosts: Annotated[list[str], AfterValidator(_hosts)] = Field(default=[])  # not public: names, 10.0.0.0/8

    @property
    def max_bytes(self) -> int:
        """The size that a photo may have."""
        return int(self.max_mb * 1e6)

    @property
    def decoders(self) -> int:
        """How many photos are decoded at once, to see that they can be."""
        return os.cpu_count() or 1

    def limit(self, host: str) -> int:
        """Return how many photos of a host may be under way at once; "" are files, which no host gives."""
        return self.per_host if host else self.concurrency

    def patience(self, host: str) -> int:
        """Return after how many photos in a row without a connection a host may count as dead."""
        return HOST_FAILURES


class Portion(FetchOptions):
    """The options of one of several processes, which has a part of the limits, a CPU, and some of the photos.

    limits: how many photos of a host that others ask, too, it may have under way at once.
    """

    limits: dict[str, int] = Field(default={})

    @property
    def decoders(self) -> int:
        """As many as it has CPUs."""
        return 1

    def limit(self, host: str) -> int:
        """Return its part of a host's limit; what it alone asks, it asks as one process would."""
        return self.limits.get(host, super().limit(host))

    def patience(self, host: str) -> int:
        """Return its part of the failures, so that all together ask a dead host as often as one process would."""
        return math.ceil(HOST_FAILURES * self.limits.get(host, self.per_host) / self.per_host)


def dealt(wanted: Sequence[tuple[str, str]], options: FetchOptions, processes: int) -> list[tuple[Wanted, Portion]]:
    """Deal photos to at most so many processes, whose limits add up to those of `options`.

    The photos of a host go to one process, which so knows all that one can know of the host; only where a host has more
    than a fair share of all photos, several have a part of them, and of its limit. Files go anywhere.
    """
    by_host: dict[str, Wanted] = collections.defaultdict(list)
    for photo_id, locator in wanted:
        by_host[locators.host(locator)].append((photo_id, locator))
    processes = min(processes, options.concurrency)
    pieces: list[tuple[str, int | None, Wanted]] = []
    for host, photos in by_host.items():
        most = min(processes, options.limit(host), len(photos))
        parts = max(1, min(round(processes * len(photos) / len(wanted)), most))
        for i in range(parts):
            limit = None if not host or parts == 1 else _part(options.per_host, i, parts)
            pieces.append((host, limit, photos[i::parts]))
    shares: list[tuple[int, int, Wanted, dict[str, int]]] = [(0, i, [], {}) for i in range(processes)]
    for host, limit, photos in sorted(pieces, key=lambda piece: -len(piece[2])):
        count, i, share, limits = heapq.heappop(shares)
        if limit is not None:
            limits[host] = limits.get(host, 0) + limit
        share.extend(photos)
        heapq.heappush(shares, (count + len(photos), i, share, limits))
    busy = [(share, limits) for _, _, share, limits in sorted(shares, key=lambda one: one[1]) if share]
    return [(share, _portion(options, limits, i, len(busy))) for i, (share, limits) in enumerate(busy)]


def _portion(options: FetchOptions, limits: dict[str, int], i: int, count: int) -> Portion:
    own = {
        "concurrency": _part(options.concurrency, i, count),
        "held_mb": options.held_mb / count,
        "limits": limits,
    }
    return Portion.model_construct(**{**dict(options), **own})


def _part(limit: int, i: int, count: int) -> int:
    """Return the i-th of `count` parts of a limit that are as equal as whole numbers can be."""
    return limit * (i + 1) // count - limit * i // count
