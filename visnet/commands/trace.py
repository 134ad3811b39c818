"""Where a product's answers are from: its record, its photos, the version, the model, and what was done with them."""

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import yaml

from visnet.embedding.model_id import precision_of
from visnet.errors import NotFound
from visnet.pipeline import stage as stages
from visnet.pipeline.reports import DATA
from visnet.runs import runner
from visnet.serving import catalog, told, versions
from visnet.serving.catalog import Serving
from visnet.serving.live.changes import Change
from visnet.serving.live.store import LIVE, changes_of
from visnet.serving.pointer import LOCK
from visnet.sources.changefeed.batches import Reading
from visnet.sources.changefeed.state import listed
from visnet.stages.raw_images import Params
from visnet.storage.table import Table
from visnet.tracking import connection

SHOWN = 8  # photos
MADE = ("raw_images", "crops", "trained_model", "catalog_embeddings", "publish")  # stages whose outputs DVC has hashed


def run(product_id: str, data: Path = DATA) -> str:
    """Return lines from the record to the answer; `NotFound` for a product that neither a version nor a change has."""
    changes = [_told(one) for one in changes_of(data / LIVE, product_id)]
    with catalog.open_current(data) as version:
        rows = _photos(version, product_id)
        if not len(rows) and not changes:
            raise NotFound(f"product {product_id[:200]!r} is not in version {version.number}, and no change names it")
        named = ", ".join(filter(None, rows[["category", "colour"]].iloc[0])) if len(rows) else "of a change alone"
        lines = [f"{'Product':<10} {product_id} ({named})"]
        lines += [f"{'Record':<10} {line}" for line in _record(version, product_id)]
        lines += _photo_lines(rows)
        lines += _version_lines(version, data)
    lines += [f"{'Change':<10} {line}" for line in changes or ["none since, by the service"]]
    return "\n".join([*lines, f"{'Events':<10} {_events(data, product_id)}"])


def _photos(version: Serving, product_id: str) -> pd.DataFrame:
    """Return the shop photos of a product: crop, photo, and what each step made of it, by the beginning of its hash."""
    quoted = product_id.replace("'", "''")
    where = f"product_id = '{quoted}' AND side = 'shop'"
    columns = ["crop_id", "photo_id", "category", "colour", "content"]
    crops = Table(version.crops).read(columns, where).to_pandas()
    vectors = Table(version.folder / "embeddings.lance").read(["crop_id", "content"], where).to_pandas()
    found = crops.merge(vectors, on="crop_id", suffixes=("", "_vector")).sort_values("crop_id", ignore_index=True)
    return found.assign(content=found["content"].str[:12], content_vector=found["content_vector"].str[:12])


def _photo_lines(rows: pd.DataFrame) -> list[str]:
    lines = [
        f"{'Photo':<10} {row.photo_id}: crop {row.crop_id[:12]} ({row.content}), vector {row.content_vector}"
        for row in rows.head(SHOWN).itertuples()
    ]
    return [*lines, *[f"{'':<10} and {len(rows) - SHOWN} more"] * (len(rows) > SHOWN)]


def _record(version: Serving, product_id: str) -> Iterator[str]:
    """Say which record of a feed stands in the version, and in which batch of the inbox it came."""
    params = stages.parse("raw_images", runner.read_params().get("raw_images", {}), str(runner.PARAMS))
    assert isinstance(params, Params)
    if version.catalog is None:
        yield f"of the source {params.source} ({params.metadata})"
        return
    table = Table(version.catalog).opened().to_table(filter=pc.field("product_id") == product_id)
    for row in table.to_pylist():
        when = row["updated_at"]
        at = "" if when is None else f", of {datetime.fromtimestamp(when / 1e6, UTC).isoformat()}"
        yield f"{row['op']}, seq {row['seq']}{at}, {_batch(params, product_id, row['content'])}"


def _batch(params: Params, product_id: str, content: str) -> str:
    """Name the newest batch in the inbox that has a record, word for word."""
    if params.source != "feed":
        return "of a feed that is no longer the source"
    own: Any = params.own
    batches = listed(Path(params.metadata), own.pattern)
    for name in sorted(batches, reverse=True):
        for record in Reading(batches[name]):
            if (record.product_id, record.content) == (product_id, content):
                return f"batch {name}"
    return "in no batch that the inbox still has"


def _version_lines(version: Serving, data: Path) -> list[str]:
    facts = version.facts()
    dagster, mlflow = facts.get("dagster_run"), facts.get("mlflow_run")
    ui = os.environ.get("VISNET_DAGSTER_UI", "http://127.0.0.1:3000").rstrip("/")
    by = "in a shell" if dagster is None else f"Dagster run {ui}/runs/{dagster}"
    model = str(facts["model"])
    learnt = "no MLflow run is known" if mlflow is None else f"MLflow run {mlflow} ({connection.home()})"
    behind = versions.behind(data / "publish")
    return [
        f"{'Version':<10} {version.number}, published {facts['created_at']}, {by}",
        f"{'Model':<10} {model[:8]} in {precision_of(model)}, {learnt}",
        f"{'DVC':<10} {behind or ', '.join(_hashes(data))}",
    ]


def _hashes(data: Path) -> Iterator[str]:
    """Yield what dvc.lock says that the stages have made, where what is served is what is checked out."""
    try:
        stages_: Mapping[str, Any] = yaml.safe_load((data.parent / LOCK).read_text(encoding="utf-8"))["stages"]
    except (OSError, KeyError, TypeError, yaml.YAMLError):
        yield f"there is no {LOCK} that says more"
        return
    for name in MADE:
        for out in stages_.get(name, {}).get("outs", ()):
            if str(out["path"]).startswith(f"{data.name}/"):
                yield f"{out['path']} {str(out['md5'])[:12]}"


def _told(change: Change) -> str:
    said = f"{change.op}, batch {change.batch} line {change.line}, accepted {_time(change.accepted_s)}, {change.state}"
    if change.visible_s is not None:
        said += f" since {_time(change.visible_s)}"
    said += f": {change.reason}" if change.reason else ""
    return said if change.version is None else f"{said}, taken in by version {change.version}"


def _events(data: Path, product_id: str) -> str:
    events = told.read_events(data)
    own = events.filter(pc.equal(events["product_id"], product_id))
    counts = own["kind"].to_pandas().value_counts()
    return ", ".join(f"{kind} {count}" for kind, count in counts.items()) or "none told"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
