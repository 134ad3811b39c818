"""The tables of docs/concepts/scale.md: what was measured, what it makes a large catalog cost, how far that is off."""

import re
from collections.abc import Callable
from typing import Any

from simulate_plan import Assumed, costs_of, limits, plan

SIZES = (1_000_000, 50_000_000, 1_000_000_000)  # products
CHANGES = (100_000, 1_000_000, 10_000_000)  # an hour
MARK = re.compile(r"(<!-- table: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


def planned(told: dict[str, Any]) -> str:
    """Lay out the plans of all sizes and rates of change as a Markdown table."""
    costs, assumed = costs_of(told), Assumed()
    head = "| products | changes an hour | first build, core hours (machines for a day, $) | refreshes, machines "
    rows = [head + "| service: shards, machines | answer, ms | $ a month | on disk, TB |", "|---" * 8 + "|"]
    for products in SIZES:
        for changes in CHANGES:
            one = plan(products, changes, costs, assumed)
            rows.append(
                f"| {products:,} | {changes:,} | {one.build_core_hours:,.0f} ({one.build_machines:,}, "
                f"{one.build_dollars:,.0f}) | {one.refresh_machines:,} | {one.shards:,}, {one.serving_machines:,} "
                f"| {one.answer_s * 1e3:,.0f} | {one.month_dollars:,.0f} | {one.disk_tb:,.1f} |"
            )
    return "\n".join(rows) + "\n"


def broken(told: dict[str, Any]) -> str:
    """Lay out what breaks first as a Markdown table."""
    rows = ["| one machine ends with | at products | then |", "|---" * 3 + "|"]
    for one in limits(costs_of(told), Assumed()):
        rows.append(f"| {one.name} | {one.products:,.0f} | {one.instead} |")
    return "\n".join(rows) + "\n"


def checked(told: dict[str, Any]) -> str:
    """Lay out the prediction beside what was measured as a Markdown table."""
    rows = [f"| {told['times']} times the largest that was fitted | predicted | measured | off |", "|---" * 4 + "|"]
    for name, one in told["check"].items():
        off = one["predicted"] / one["measured"] - 1
        rows.append(f"| {_named(name)} | {one['predicted']:,.4g} | {one['measured']:,.4g} | {off:+.0%} |")
    return "\n".join(rows) + "\n"


def units(told: dict[str, Any]) -> str:
    """Lay out what a photo, a row and a request cost as a Markdown table."""
    one, costs = told["units"], costs_of(told)
    beside = dict(one["exact_over_ivf"])
    indexed = beside.pop("indexed")
    ratios = ", ".join(f"{ratio:.1f} times as long at recall {wanted}" for wanted, ratio in beside.items())
    lines = [
        ("a photo over HTTP, decoded to be sure", f"{one['download']['cpu_s'] * 1e3:.2f} ms of a core"),
        ("a photo from there to its vector and a version", f"{costs.build_s * 1e3:.1f} ms of a core"),
        ("a changed photo in a refresh", f"{costs.change_s * 1e3:.1f} ms of a core"),
        ("a row that stands, in each refresh", f"{costs.refresh_row_s * 1e6:.1f} µs of a core"),
        ("a row in an exact search of one query", f"{costs.scan_s * 1e9:.2f} ns of {costs.cores} cores"),
        ("the same of sixteen queries, each", f"{costs.scan_16_s * 1e9:.2f} ns of {costs.cores} cores"),
        ("merging 64 shards' answers", f"{one['merge_s']['64'] * 1e3:.2f} ms"),
        ("a request by photo, by id", f"{one['photo_ms']:.1f}, {one['similar_ms']:.2f} ms of a core"),
        ("a row that is served", f"{costs.ram / 1e3:.1f} kB of memory"),
        ("a photo and what is made of it", f"{costs.disk / 1e3:.1f} kB on disk"),
        ("a gigabyte hashed by DVC", f"{one['hash_s_gb']:.1f} s"),
        (
            f"an exact search beside FAISS's IVF, {indexed:,} vectors",
            ratios or "nothing below half of the lists reaches .95",
        ),
    ]
    return "\n".join(["| what | costs |", "|---|---|", *(f"| {name} | {cost} |" for name, cost in lines)]) + "\n"


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "units": units,
    "check": checked,
    "plan": planned,
    "limits": broken,
}


def filled(page: str, told: dict[str, Any]) -> str:
    """Return a page with its tables, each between a mark that names it and `<!-- end -->`, as they are now."""
    return MARK.sub(lambda found: found[1] + TABLES[found[2]](told), page)


def _named(name: str) -> str:
    kind, _, what = name.partition(" ")
    words = {
        "full_s": "a first build: {}, s",
        "refresh_s": "a refresh: {}, s",
        "scan_s": "a search of {} queries, s",
        "bytes": "bytes on disk",
        "rss_mb": "the service's memory, MB",
        "ready_s": "the service's start, s",
    }
    return words[kind].format(what).replace("of 1 queries", "of one query")
