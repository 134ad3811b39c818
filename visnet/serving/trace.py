"""Where a product's answers are from, as records: its record in the feed, photos, version, runs, data and changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import yaml

from visnet.embedding.model_id import precision_of
from visnet.errors import Damaged, NotFound
from visnet.pipeline.reports import REPORTS, read_report
from visnet.serving import versions
from visnet.serving.batch_of import BatchOf
from visnet.serving.candidate import STAGE_OF
from visnet.serving.catalog import Serving
from visnet.serving.live.changes import Change
from visnet.serving.live.store import LIVE, changes_of
from visnet.serving.pointer import LOCK
from visnet.storage.table import Table

MADE = ("raw_images", "crops", "trained_model", "catalog_embeddings", "publish")  # stages whose outputs DVC has hashed
CROP_COLUMNS = ["crop_id", "photo_id", "category", "colour", "content"]


@dataclass(frozen=True)
class TracedRecord:
    """A record of a feed: updated_at in microseconds since 1970; batch: the newest that has it, "" where none is found.

    lost: why there is no batch, "" where there is one.
    """

    op: str
    seq: int | None
    updated_at: int | None
    batch: str
    lost: str = ""


@dataclass(frozen=True)
class TracedPhoto:
    """A shop photo: its id, and the hashes of its crop and of its vector."""

    photo_id: str
    crop_id: str
    crop: str
    vector: str


@dataclass(frozen=True)
class TracedVersion:
    """A version, its model, and the runs that made them; None where a run is not known.

    mlflow_page: where MLflow shows the run, below its address. behind: why what is served is not what is checked out,
    "" where it is. data: path -> MD5 of what DVC says that the stages made, nothing where `behind` says something.
    """

    number: int
    published: str
    model: str
    precision: str
    dagster_run: str | None
    mlflow_run: str | None
    mlflow_page: str | None
    behind: str
    data: Mapping[str, str]


@dataclass(frozen=True)
class Trace:
    """What is known of a product: photos and record as the version has them, changes the newest first."""

    product_id: str
    category: str
    colour: str
    record: TracedRecord | None
    photos: tuple[TracedPhoto, ...]
    version: TracedVersion
    changes: tuple[Change, ...]


def traced(version: Serving, product_id: str, data: Path, batch_of: BatchOf) -> Trace:
    """Trace a product of a version, or of a change since; `NotFound` for one that neither has."""
    photos, (category, colour) = _photos(version, product_id)
    changes = tuple(changes_of(data / LIVE, product_id))
    if not photos and not changes:
        raise NotFound(f"product {product_id[:200]!r} is not in version {version.number}, and no change names it")
    record = _record(version, product_id, batch_of)
    return Trace(product_id, category, colour, record, photos, _version(version, data), changes)


def _photos(version: Serving, product_id: str) -> tuple[tuple[TracedPhoto, ...], tuple[str, str]]:
    """Return the shop photos of a product by their crops' ids, and its category and colour."""
    quoted = product_id.replace("'", "''")
    where = f"product_id = '{quoted}' AND side = 'shop'"
    crops = sorted(Table(version.crops).read(CROP_COLUMNS, where).to_pylist(), key=lambda row: str(row["crop_id"]))
    vectors = Table(version.folder / "embeddings.lance").read(["crop_id", "content"], where).to_pylist()
    embedded = {row["crop_id"]: row["content"] for row in vectors}
    shown = [row for row in crops if row["crop_id"] in embedded]
    photos = [TracedPhoto(row["photo_id"], row["crop_id"], row["content"], embedded[row["crop_id"]]) for row in shown]
    return tuple(photos), ((shown[0]["category"], shown[0]["colour"]) if shown else ("", ""))


def _record(version: Serving, product_id: str, batch_of: BatchOf) -> TracedRecord | None:
    """Return the record of a feed that stands in the version, None where its source has none."""
    if version.catalog is None:
        return None
    table = Table(version.catalog).opened().to_table(filter=pc.field("product_id") == product_id)
    for row in table.to_pylist():
        if "op" in row:  # facts of another kind than a feed's have none
            batch, lost = batch_of(product_id, row["content"])
            return TracedRecord(row["op"], row.get("seq"), row.get("updated_at"), batch, lost)
    return None


def _version(version: Serving, data: Path) -> TracedVersion:
    facts, behind = version.facts(), versions.behind(data / "publish")
    model, run = str(facts["model"]), facts.get("mlflow_run")
    return TracedVersion(
        number=version.number,
        published=str(facts["created_at"]),
        model=model[:8],
        precision=precision_of(model),
        dagster_run=facts.get("dagster_run"),
        mlflow_run=run,
        mlflow_page=None if run is None else _page_of(run, data.parent / REPORTS),
        behind=behind,
        data={} if behind else _hashes(data),
    )


def _page_of(run: str, reports: Path) -> str | None:
    """Return where MLflow shows a run, which the report of its training says while it is the last one."""
    try:
        report = read_report(STAGE_OF["model"], reports) or {}
    except Damaged:
        return None
    page = report.get("mlflow_page")
    return str(page) if page and report.get("mlflow_run_id") == run else None


def _hashes(data: Path) -> dict[str, str]:
    """Return what dvc.lock says that the stages have made; nothing where it cannot be read."""
    try:
        rows: Mapping[str, Any] = yaml.safe_load((data.parent / LOCK).read_text(encoding="utf-8"))["stages"]
        outs = [out for name in MADE for out in rows.get(name, {}).get("outs", ())]
        return {str(out["path"]): str(out["md5"]) for out in outs if str(out["path"]).startswith(f"{data.name}/")}
    except (OSError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return {}
