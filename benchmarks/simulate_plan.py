"""From what parts of the work cost to machines, hours, money and latency of a large catalog: arithmetic alone."""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Assumed:
    """What is not measured here: machines, their prices, and what is asked of the service.

    A machine works as many times as fast as the measured one as it has more cores, and reads its memory so, too.
    """

    cores: int = 32
    ram_gb: float = 256.0
    core_hour: float = 0.04  # dollars
    ram_gb_hour: float = 0.005
    build_h: float = 24.0  # in which a first build is to end
    refresh_h: float = 0.5  # between two refreshes
    answer_s: float = 0.1  # that a search may wait for the scan
    searches_s: float = 1_000.0  # by photo
    load: float = 0.5  # that a machine is given, of what it can do
    full: float = 0.7  # of a machine's memory
    categories: int = 1_000  # equally large ones, of a large catalog; the measured shop has twelve

    @property
    def machine_hour(self) -> float:
        """Dollars of a machine's hour."""
        return self.cores * self.core_hour + self.ram_gb * self.ram_gb_hour


@dataclass(frozen=True)
class Costs:
    """Seconds of one core, or bytes, that a photo, a row, a change or a query takes; `scan_s` of a whole machine."""

    photos: float  # of a product, all of them
    rows: float  # of a product: shop photos
    build_s: float  # a photo, from the network to its vector
    pair_s: float  # two rows of a category, for the lists of a first build: as in a search of sixteen
    change_s: float  # a changed photo, in a refresh
    refresh_row_s: float  # a row that stands, in each refresh
    scan_s: float  # a row, in a search of one query, of all cores measured
    scan_16_s: float  # a row and query, of sixteen
    photo_s: float  # a request by photo, all but what grows with rows
    ram: float  # bytes of a served row
    disk: float  # bytes of a photo and what is made of it
    hash_s: float  # of a byte, by DVC
    cores: int


def costs_of(told: dict[str, Any]) -> Costs:
    """Read what was measured. What ran on several cores counts for all of them, whether it used them or not."""
    fit, large, cores = told["fit"], told["large"], int(told["cores"])
    full, again = fit["full_s"], fit["refresh_s"]
    photo_s = sum(full[stage][1] for stage in ("raw_images", "crops", "catalog_embeddings", "publish"))
    return Costs(
        photos=large["photos"] / large["products"],
        rows=large["rows"] / large["products"],
        build_s=photo_s * cores + told["units"]["download"]["cpu_s"],
        pair_s=fit["scan_s"]["16"][1] / 16 * cores,
        change_s=sum(parts[2] for parts in again.values()) * cores + told["units"]["download"]["cpu_s"],
        refresh_row_s=sum(parts[1] for parts in again.values()) * cores,
        scan_s=fit["scan_s"]["1"][1],
        scan_16_s=fit["scan_s"]["16"][1] / 16,
        photo_s=told["units"]["photo_ms"] / 1e3,
        ram=fit["rss_mb"][1] * 1e6,
        disk=fit["bytes"][1],
        hash_s=told["units"]["hash_s_gb"] / 1e9,
        cores=cores,
    )


@dataclass(frozen=True)
class Plan:
    """What a catalog takes: machines for its build, its refreshes and its service, hours, dollars, seconds."""

    build_core_hours: float
    build_machines: int
    build_dollars: float
    refresh_cores: float
    refresh_machines: int
    shards: int
    serving_machines: int
    answer_s: float
    month_dollars: float
    disk_tb: float


def plan(products: int, changes_h: float, costs: Costs, assumed: Assumed) -> Plan:
    """Size a catalog. changes_h: products that change in an hour, with all their photos."""
    rows, photos = products * costs.rows, products * costs.photos
    speed = assumed.cores / costs.cores
    build_s = photos * costs.build_s + rows**2 / assumed.categories * costs.pair_s
    build_h = build_s / 3600
    changed = min(changes_h * assumed.refresh_h, products) * costs.photos
    refresh_s = changed * costs.change_s + rows * costs.refresh_row_s
    refresh_cores = refresh_s / (assumed.refresh_h * 3600)
    by_ram = math.ceil(rows * costs.ram / (assumed.full * assumed.ram_gb * 1e9))
    by_time = math.ceil(rows * costs.scan_s / speed / assumed.answer_s)
    shards = max(1, by_ram, by_time)
    query_s = costs.photo_s + rows * costs.scan_16_s * costs.cores  # seconds of one core, over all shards
    busy = math.ceil(assumed.searches_s * query_s / assumed.cores / assumed.load)
    serving = shards * max(1, math.ceil(busy / shards))
    refresh_machines = max(1, math.ceil(refresh_cores / assumed.cores))
    return Plan(
        build_core_hours=build_h,
        build_machines=max(1, math.ceil(build_h / assumed.build_h / assumed.cores)),
        build_dollars=build_h / assumed.cores * assumed.machine_hour,
        refresh_cores=refresh_cores,
        refresh_machines=refresh_machines,
        shards=shards,
        serving_machines=serving,
        answer_s=rows / shards * costs.scan_s / speed + costs.photo_s,
        month_dollars=(serving + refresh_machines) * assumed.machine_hour * 730,
        disk_tb=photos * costs.disk / 1e12,
    )


@dataclass(frozen=True)
class Limit:
    """Where a way of working ends: the products at which it does, and what takes its place."""

    name: str
    products: float
    instead: str


def limits(costs: Costs, assumed: Assumed) -> list[Limit]:
    """List what one machine can no longer do, the first to break first."""
    speed = assumed.cores / costs.cores
    day, interval = assumed.build_h * 3600 * assumed.cores, assumed.refresh_h * 3600
    found = [
        Limit(
            f"a refresh that looks at every row, in {interval / 60:g} minutes",
            _most(interval * assumed.cores, costs.rows * costs.refresh_row_s),
            "a line for each part of the catalog, or parts of the changes alone",
        ),
        Limit(
            f"DVC hashing all that is made, in {interval / 60:g} minutes by one process",
            _most(interval, costs.photos * costs.disk * costs.hash_s),
            "a DVC stage for each part, whose hash stands while it does not change",
        ),
        Limit(
            f"the first build in {assumed.build_h:g} hours, without the lists",
            _most(day, costs.photos * costs.build_s),
            "more machines: photos do not depend on each other",
        ),
        Limit(
            f"the lists of a first build in {assumed.build_h:g} hours, {assumed.categories:,} categories",
            math.sqrt(_most(day * assumed.categories, costs.pair_s)) / costs.rows,
            "smaller categories; or lists when they are asked for",
        ),
        Limit(
            f"the gallery in {assumed.ram_gb:g} GB",
            _most(assumed.full * assumed.ram_gb * 1e9, costs.rows * costs.ram),
            "shards, whose answers `kernels.nearest.merge` makes one",
        ),
        Limit(
            f"an exact scan in {assumed.answer_s * 1e3:g} ms",
            _most(assumed.answer_s * speed, costs.rows * costs.scan_s),
            "shards; or a category's range instead of all rows",
        ),
        Limit(
            f"{assumed.searches_s:,.0f} searches a second over all rows",
            _most(
                max(0.0, assumed.cores * assumed.load / assumed.searches_s - costs.photo_s),
                costs.rows * costs.scan_16_s * costs.cores,
            ),
            "copies of the service; then an approximate index before the exact scores",
        ),
    ]
    return sorted(found, key=lambda one: one.products)


def _most(there: float, each: float) -> float:
    """Return how many there is enough for; what costs nothing that was seen ends nowhere."""
    return there / each if each else math.inf
