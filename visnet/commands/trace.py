"""Where a product's answers are from: its record, its photos, the version, the model, and what was done with them."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc

from visnet.errors import NotFound
from visnet.pipeline.reports import DATA
from visnet.runs import runner
from visnet.serving import catalog, told
from visnet.serving.batch_of import Origin
from visnet.serving.live.changes import Change
from visnet.serving.pointer import LOCK
from visnet.serving.trace import Trace, TracedRecord, TracedVersion, traced
from visnet.storage.table import Table
from visnet.tracking import connection

SHOWN = 8  # photos
HASH = 12  # characters of a hash that are shown


def run(product_id: str, data: Path = DATA) -> str:
    """Return lines from the record to the answer; `NotFound` for a product that neither a version nor a change has."""
    origin = Origin.of(runner.read_params(), str(runner.PARAMS))
    with catalog.open_current(data) as version:
        try:
            found = traced(version, product_id, data, origin.batch_of)
        except NotFound as error:
            raise NotFound(f"{error}{_why_absent(data / 'raw_images', product_id)}") from None
    named = ", ".join(filter(None, (found.category, found.colour))) if found.photos else "of a change alone"
    changes = [_told(one) for one in found.changes] or ["none since, by the service"]
    counts = told.counts_of(data, product_id)
    events = ", ".join(f"{kind} {count}" for kind, count in counts.items()) or "none told"
    lines = [("Product", f"{product_id} ({named})")]
    lines += [("Record", line) for line in _record(found, origin)]
    lines += _photos(found)
    lines += _version(found.version)
    lines += [("Change", line) for line in changes]
    return "\n".join(f"{word:<10} {line}" for word, line in [*lines, ("Events", events)])


def _why_absent(raw_images: Path, product_id: str) -> str:
    """Say what the source has of a product that no version has, "" where the source's tables are not here."""
    records, photos = (Table(raw_images / f"{name}.lance") for name in ("records", "photos"))
    if not (records.exists() and photos.exists()):
        return ""
    rows = records.opened().to_table(["photo_id"], filter=pc.field("product_id") == product_id)
    if not len(rows):
        return "; nor does the source, as it was last read"
    own = photos.opened().to_table(["photo_id", "lost"], filter=pc.field("photo_id").isin(rows["photo_id"]))
    gone = [row for row in own.to_pylist() if row["lost"]]
    if not gone:
        return f"; its photos are there ({len(own)}): not published yet, or left out on the way"
    first = min(gone, key=lambda row: str(row["photo_id"]))
    return f"; of its {len(own)} photos {len(gone)} are lost: {first['photo_id']}: {first['lost']}"


def _record(found: Trace, origin: Origin) -> Iterator[str]:
    """Say which record of a feed stands in the version, and in which batch of the inbox it came."""
    if found.record is not None:
        yield _said(found.record)
    elif origin.pattern is None:
        yield f"of the source {origin.source} ({origin.metadata})"


def _said(record: TracedRecord) -> str:
    when = record.updated_at
    at = "" if when is None else f", of {datetime.fromtimestamp(when / 1e6, UTC).isoformat()}"
    return f"{record.op}, seq {record.seq}{at}, {f'batch {record.batch}' if record.batch else record.lost}"


def _photos(found: Trace) -> list[tuple[str, str]]:
    lines = [
        ("Photo", f"{one.photo_id}: crop {one.crop_id[:HASH]} ({one.crop[:HASH]}), vector {one.vector[:HASH]}")
        for one in found.photos[:SHOWN]
    ]
    return [*lines, *[("", f"and {len(found.photos) - SHOWN} more")] * (len(found.photos) > SHOWN)]


def _version(version: TracedVersion) -> list[tuple[str, str]]:
    ui = os.environ.get("VISNET_DAGSTER_UI", "http://127.0.0.1:3000").rstrip("/")
    by = "in a shell" if version.dagster_run is None else f"Dagster run {ui}/runs/{version.dagster_run}"
    run = version.mlflow_run
    learnt = "no MLflow run is known" if run is None else f"MLflow run {run} ({connection.home()})"
    hashes = ", ".join(f"{path} {md5[:HASH]}" for path, md5 in version.data.items())
    return [
        ("Version", f"{version.number}, published {version.published}, {by}"),
        ("Model", f"{version.model} in {version.precision}, {learnt}"),
        ("DVC", version.behind or hashes or f"there is no {LOCK} that says more"),
    ]


def _told(change: Change) -> str:
    said = f"{change.op}, batch {change.batch} line {change.line}, accepted {_time(change.accepted_s)}, {change.state}"
    if change.visible_s is not None:
        said += f" since {_time(change.visible_s)}"
    said += f": {change.reason}" if change.reason else ""
    return said if change.version is None else f"{said}, taken in by version {change.version}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
