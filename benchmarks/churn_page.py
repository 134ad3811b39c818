"""The churn benchmark's tables, and what its measured costs come to at 50 million products."""

import argparse
import platform
from importlib import metadata
from typing import Any

import torch

from kernels.nearest.bench.machine import describe
from kernels.nearest.roofline import MEMORY

PRODUCTS = 50_000_000
PACKAGES = ("faiss-cpu", "hnswlib", "usearch", "lancedb", "qdrant-client", "numpy")
GIB = 2**30
DATA = {"clustered": "of unit length around 2,000 centres", "normal": "normally distributed, which no index likes"}


def environment(options: argparse.Namespace) -> dict[str, Any]:
    """Say what was run, where and with which versions."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    named = describe("cpu")
    kept = {key: named[key] for key in ("device", "isa", "torch")} | {"python": platform.python_version()}
    chosen = {key: getattr(options, key) for key in ("rows", "width", "data", "threads", "seconds", "repeat", "recall")}
    return kept | versions | chosen | {"torch_threads": torch.get_num_threads()}


def table(report: dict[str, Any]) -> str:
    """Lay out both protocols as Markdown, and name what is missing."""
    lines = [
        "| system | effort | build, s | recall@10 fresh | after 10 cycles | worst | s per cycle | changes/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in report["systems"].items():
        walls = sorted(cycle["wall_s"] for cycle in row["cycles"])
        rates = sorted(cycle["changes_per_s"] for cycle in row["cycles"])
        seen = [cycle["recall"] for cycle in row["cycles"]]
        lines.append(
            f"| {name} | {row['effort'] or '–'} | {row['build_s']:.1f} | {row['recall_fresh']:.3f} | {seen[-1]:.3f} | "
            f"{min(seen):.3f} | {walls[len(walls) // 2]:.3f} | {rates[len(rates) // 2]:,.0f} |"
        )
    lines += [
        "",
        "| system | changes/s asked | done | query p50, ms | p99, ms | jitter p99/p50 | p99 / p99 at rest | "
        "longest write, ms | recall@10 | bytes/row at the end |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in report["systems"].items():
        rest = row["streams"][0]["p99_ms"]
        for stream in row["streams"]:
            longest = f"{stream['longest_write_ms']:.1f}" if stream["rate"] else "–"
            lines.append(
                f"| {name} | {stream['rate']} | {stream['changes_per_s']:.0f} | {stream['p50_ms']:.2f} | "
                f"{stream['p99_ms']:.2f} | {stream['jitter']:.1f} | {stream['p99_ms'] / rest:.1f} | {longest} | "
                f"{stream['recall']:.3f} | {row['bytes_end'] / row['rows']:,.0f} ({row['bytes_of']}) |"
            )
    if report["missing"]:
        lines += ["", f"Not installed, and so not measured: {', '.join(report['missing'])}."]
    return "\n".join(lines)


def page(report: dict[str, Any]) -> str:
    """Write the page: what was run, both tables, and the extrapolation of ours."""
    seen = report["environment"]
    versions = ", ".join(f"{name} {seen[name]}" for name in (*PACKAGES, "torch") if seen[name])
    return f"""# A catalog under churn

`python benchmarks/churn.py {_arguments(seen)}`

{seen["rows"]:,} vectors of {seen["width"]} float32, {DATA[seen["data"]]}; one process, the same history for all,
{seen["threads"]} thread(s) for a search and as many for a write; {seen["device"]}.
{versions}.

Cycles: "delete 1 %, insert 1 %", ten times; medians. Streams: {seen["seconds"]:g} s each, half deletes, half inserts,
handed over every 0.1 s, while one thread asks query after query; medians of {seen["repeat"]} runs, but the longest
write and the worst recall of all. The systems take turns, cycle by cycle and stream by stream, for the machine did
other work as well: ratios hold, times do not. Effort is what reached recall {seen["recall"]} on the fresh index, or
the most that was tried: efSearch of HNSW (M 16, efConstruction 128), partitions of IVF_PQ (D / 4 codes, 20 candidates
refined for each neighbour). LanceDB is optimized after every cycle and every 5 s. FAISS, hnswlib, usearch and Qdrant
take turns with their writer by a lock, for which their longest write waits too; ours and LanceDB need none. Recall is
against brute force in float64; ours is checked to be 1 at every step.

{table(report)}
{_extrapolation(report)}"""


def _arguments(seen: dict[str, Any]) -> str:
    return " ".join(["--page", *(f"--{name} {seen[name]}" for name in ("data", "rows", "seconds", "repeat"))])


def _extrapolation(report: dict[str, Any]) -> str:
    seen, ours = report["environment"], report["systems"].get("ours")
    small = next((row for name, row in report["systems"].items() if name.startswith("ours, ")), None)
    if ours is None or small is None:  # one size shows no slope
        return ""
    rows, rest, busy = ours["rows"], ours["streams"][0]["least_p50_ms"], ours["streams"][-1]
    row_bytes, row_build_s = ours["bytes_end"] / rows, ours["build_s"] / rows
    change_s = min(cycle["wall_s"] for cycle in ours["cycles"]) / (2 * (rows // 100))
    scan_s = (rest - small["streams"][0]["least_p50_ms"]) / 1e3 / (rows - small["rows"])
    days = PRODUCTS / 28 / 86400
    lines = (
        ("memory", f"{row_bytes:,.0f} bytes a row, D {seen['width']}", f"{PRODUCTS * row_bytes / GIB:,.0f} GiB"),
        (
            "one query",
            f"{1e9 * scan_s:.0f} ns a row, the slope from {small['rows']:,} rows",
            f"{PRODUCTS * scan_s:.1f} s; many share one reading",
        ),
        ("a change, 1 % at once", f"{1e6 * change_s:.1f} µs", f"{1 / change_s:,.0f}/s; 28/s: {2800 * change_s:.2g} %"),
        (
            "changes, ten times a second",
            f"{busy['changes_per_s']:.0f}/s, {busy['longest_write_ms']:.1f} ms the longest",
            f"the same, and {PRODUCTS / 8e6:.0f} MB of bits copied for the first search after",
        ),
        (
            "all encoded anew",
            f"{1e6 * row_build_s:.1f} µs a row",
            f"{PRODUCTS * row_build_s:,.0f} s of a writer, every {days:.0f} days at 28/s; searches go on",
        ),
    )
    row = 512 * 2 + 8
    scan_ms = 1e3 * PRODUCTS * row / MEMORY
    return f"""
## What this comes to at {PRODUCTS:,} products

Measured costs of ours, the least of the runs, multiplied up; nothing of this size has been run.

| | measured at {rows:,} | at {PRODUCTS // 10**6} million, multiplied |
|---|---|---|
{chr(10).join(f"| {' | '.join(line)} |" for line in lines)}

**Computed, not measured:** one H100, 3.35 TB/s by its data sheet. With D 512 in bfloat16 a row is {row} bytes, all rows
{PRODUCTS * row / GIB:.0f} GiB, which fit its memory. To read them takes {scan_ms:.1f} ms at the least, for up to 64
queries together: at most {64e3 / scan_ms:,.0f} queries/s. 28 changes a second are {28 * row / 1024:.0f} KiB/s to send.
`LiveGallery` does not run there yet: its slots hold the codes of the CPU's scan.
"""
