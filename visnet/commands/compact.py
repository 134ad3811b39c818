"""Compaction: the tables of the line in few files again, without the versions and leftovers that nobody reads."""

import datetime
import errno
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from visnet.errors import NotReady
from visnet.pipeline import stage
from visnet.pipeline.reports import DATA, REPORTS, write_report
from visnet.pipeline.stage import Report
from visnet.runs import runner
from visnet.serving import versions
from visnet.storage import atomic, integrity, locks, repair, tables

DELETED_SHARE = 0.05  # of a file's rows: more, and the file is written anew without them
WIDE_ROWS = 256  # rows in memory at a time where they hold photos
FOLDERS = ("_versions", "data", "_deletions", "_transactions", "_indices")  # what Lance writes, and we may remove
SHOWN = ("files", "versions")


@dataclass(frozen=True)
class Size:
    """What a table takes."""

    rows: int
    files: int
    bytes: int
    versions: int


def size(path: Path) -> Size:
    """Measure a table as it lies on the disk, with all that no version names."""
    table = tables.opened(path)
    there = [file for file in path.rglob("*") if file.is_file()]
    return Size(table.count_rows(), len(there), sum(file.stat().st_size for file in there), len(table.versions()))


def compact(path: Path) -> int:
    """Write a table's small files together, and remove all that its latest version does not name.

    Returns how many files a killed writer had left. Nobody may write meanwhile, nor read an older version. Raises
    `OSError` when there is no room, `RuntimeError` if the content should differ afterwards: the table is as it was.
    """
    table = tables.opened(path)
    key, before = table.schema.names[0], table.version
    wanted = _content(path, key)
    wide = any(pa.types.is_large_binary(field.type) or pa.types.is_binary(field.type) for field in table.schema)
    table.optimize.compact_files(
        materialize_deletions_threshold=DELETED_SHARE, batch_size=WIDE_ROWS if wide else None, num_threads=1
    )
    if not tables.is_whole(path):
        repair.mend(path.parent)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path.absolute()))
    if _content(path, key) != wanted:
        tables.opened(path).checkout_version(before).restore()  # type: ignore[no-untyped-call]
        raise RuntimeError(f"{path}: not the same content after compaction; its version {before} was put back")
    table = tables.opened(path)
    table.cleanup_old_versions(older_than=datetime.timedelta(0), delete_unverified=True)
    return _remove_unnamed(path)


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
        for path in sorted((data / name).glob("*.lance")) if name != "publish" else ():
            if not tables.is_table(path):
                continue
            before = size(path)
            left += compact(path)
            after = size(path)
            if after != before:
                touched.append(name)
            for field in ("files", "bytes", "versions"):
                key = f"{name}_{path.stem}_{field}"
                report |= {f"{key}_before": getattr(before, field), key: getattr(after, field)}
            report[f"{name}_{path.stem}_rows"] = after.rows
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


def _content(path: Path, key: str) -> tuple[int, str]:
    return tables.opened(path).count_rows(), tables.digest(path, key)


def _remove_unnamed(path: Path) -> int:
    """Remove files that Lance's own cleanup does not see: those that a killed writer had not yet given their name."""
    table = tables.opened(path)
    named = {path / name for name in table.tracked_files().read_all()["path"].to_pylist()}
    removed = 0
    for folder in FOLDERS:
        for file in (path / folder).rglob("*") if (path / folder).is_dir() else ():
            if file.is_file() and file not in named and file.name != "latest_version_hint.json":
                file.unlink()
                removed += 1
    return removed


def _leftovers(data: Path, name: str) -> int:
    """Remove what a stage that was killed would itself remove, but not what it would go on with."""
    left = atomic.clean(data / name)
    building = data / f"{name}.building"
    if building.exists() and not getattr(stage.module(name), "RESUMES", False):
        shutil.rmtree(building)
        left += 1
    return left
