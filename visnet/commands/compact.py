"""Compaction: the tables of the line in few files again, without the versions and leftovers that nobody reads."""

import shutil
import time
from pathlib import Path

from visnet.errors import NotReady
from visnet.pipeline import stage
from visnet.pipeline.reports import DATA, REPORTS, write_report
from visnet.pipeline.stage import Report
from visnet.runs import runner
from visnet.serving import versions
from visnet.storage import atomic, compaction, integrity, locks, shared_compaction
from visnet.storage.object_store import is_url
from visnet.storage.table import Table, tables_of

SHOWN = ("files", "versions")


def run(data: Path = DATA, reports: Path = REPORTS) -> Report:
    """Compact all tables of the line, and remove what killed runs left; `ValueError` while a stage is at work.

    Published versions stay: their files are links of their own, and are freed when the versions go.
    """
    if not data.is_dir():
        raise NotReady(f"{data} is missing: there is nothing to compact; run `dvc repro` first")
    with locks.held(data / runner.TABLES.name), locks.held(data / "publish"):
        return _run(data, reports)


def _run(data: Path, reports: Path) -> Report:
    begun_s = time.monotonic()
    report: Report = {}
    left = versions.clean(data / "publish")
    touched = []
    for name in stage.STAGES:
        left += _leftovers(data, name)
        for table in tables_of(data / name) if not stage.is_served(name) else ():
            before = compaction.size(table)
            left += compaction.compact(table)
            after = compaction.size(table)
            if after != before:
                touched.append(name)
            for field in ("files", "bytes", "versions"):
                key = f"{name}_{table.path.stem}_{field}"
                report |= {f"{key}_before": getattr(before, field), key: getattr(after, field)}
            report[f"{name}_{table.path.stem}_rows"] = after.rows
        if name in touched:
            integrity.record(data / name)
    sums = {f"{field}{when}": 0 for field in ("files", "bytes") for when in ("_before", "")}
    for key, value in report.items():
        for total in sums:
            if key.endswith(f"_{total}") and isinstance(value, int):
                sums[total] += value
    whole: Report = {**sums, "leftovers": left, "stages": " ".join(dict.fromkeys(touched)), **report}
    whole["wall_s"] = round(time.monotonic() - begun_s, 3)
    reports.mkdir(exist_ok=True)
    write_report("compaction", whole, reports)
    return whole


def shared(url: str, kept_s: float) -> str:
    """Compact one table in an object store under its lease, while others write and read it; say what it came to.

    `ValueError` when the URL is none of such a table, `NotReady` when nothing stands there, `Conflict` when another
    compacts it.
    """
    if not is_url(url):
        raise ValueError(f"compact: {url!r} is no URL; allowed are s3://BUCKET/FOLDER/NAME.lance, or nothing")
    table = Table(url)
    before = compaction.size(table)
    done = shared_compaction.compact(table, kept_s=kept_s)
    after = compaction.size(table)
    return (
        f"{url}: {after.rows} rows; {done.files_before} → {done.files} data files, "
        f"{before.versions} → {after.versions} versions, {before.bytes / 1e6:.2f} → {after.bytes / 1e6:.2f} megabytes"
    )


def text(report: Report) -> str:
    """Lay a compaction's report out as a table."""
    lines = [f"{'table':<32} {'rows':>9} {'files':>15} {'versions':>13} {'megabytes':>19}"]
    for key, rows in report.items():
        if key.endswith("_rows"):
            name = key.removesuffix("_rows")
            files, seen = (f"{report[f'{name}_{what}_before']} → {report[f'{name}_{what}']}" for what in SHOWN)
            sizes = [float(report[f"{name}_bytes{when}"] or 0) / 1e6 for when in ("_before", "")]
            lines.append(f"{name:<32} {rows:>9} {files:>15} {seen:>13} {sizes[0]:>8.2f} → {sizes[1]:>8.2f}")
    lines.append(f"Leftovers of killed runs: {report['leftovers']}")
    if report["stages"]:
        lines.append("Next       dvc commit -f     the same rows in other files; only if `dvc status` was clean")
    return "\n".join(lines)


def _leftovers(data: Path, name: str) -> int:
    """Remove what a stage that was killed would itself remove, but not what it would go on with."""
    left = atomic.clean(data / name)
    building = data / f"{name}.building"
    if building.exists() and not getattr(stage.module(name), "RESUMES", False):
        shutil.rmtree(building)
        left += 1
    return left
