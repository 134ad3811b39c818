"""Turn what a stage left (its dvc.lock row, report, pictures and curves) into what an asset page shows."""

import base64
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.bridge.chart import draw
from orchestration.bridge.project import Plot, Row, Stage

PICTURE_BYTES = 100_000  # Dagster keeps each materialization's metadata for ever
PICTURE_SIDES_PX = (1400, 1100, 850, 600)
TABLE_ROWS = 20
RUN_PAGE = "mlflow_page"  # a report's path of a run's page: the server's port is another one every day

# What a report counts of its run, where it does.
CHANGES = ("added", "changed", "removed", "not_modified", "skipped", "lost", "feed_dead_letters")

Value = str | int | float | bool | None
Metadata = dict[str, dg.MetadataValue[Any]]


def read_report(file: Path) -> dict[str, Value]:
    """Read a stage's report; `ValueError` where it is missing or is not a flat JSON object."""
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{file}: no such report") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: not JSON: {error}") from None
    if not isinstance(report, dict) or any(isinstance(value, dict | list) for value in report.values()):
        raise ValueError(f"{file}: a report is one flat JSON object of numbers, texts and truth values")
    return report


def metadata(stage: Stage, row: Row, reports: Path) -> Metadata:
    """Return everything that the asset page of `stage` shows: pictures, charts, values, and the files with hashes."""
    charts = [(plot, stage.folder / plot.file) for plot in stage.plots]
    return {**page(reports, [stage.name.rpartition(":")[2]], charts), "files": _files(row)}


def changes(shown: Metadata) -> str:
    """Return what a run changed, in a line: `added 3, changed 0, removed 1`; "" where the report counts nothing."""
    return ", ".join(f"{key.replace('_', ' ')} {shown[key].value}" for key in CHANGES if key in shown)


def table(rows: Sequence[Mapping[str, Value]]) -> dg.MetadataValue[Any]:
    """Return the rows of a report as a table, the first `TABLE_ROWS` of them."""
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows[:TABLE_ROWS]])


def values(report: Mapping[str, Value]) -> Metadata:
    """Return a report's values, each of its own type."""
    return {key: _value(_linked(value) if key == RUN_PAGE else value) for key, value in report.items()}


def _linked(path: Value) -> Value:
    """Return the address, as of today, of what a report has a path of."""
    home = os.environ.get("VISNET_MLFLOW_UI", "http://127.0.0.1:5000").rstrip("/")
    return path and f"{home}/{path}"


def page(reports: Path, names: Sequence[str], charts: Iterable[tuple[Plot, Path]]) -> Metadata:
    """Return the pictures, charts and values of some stages' reports; of a key in several, the last one's value.

    `charts` are plots, each with the CSV to draw it from, where there is one.
    """
    shown: Metadata = {}
    files = [
        file for name in names for pattern in ("png", "*.png") for file in sorted(reports.glob(f"{name}.{pattern}"))
    ]
    pictures = [_picture(file) for file in files]
    drawn = [(plot.title, draw(plot, file)) for plot, file in charts if file.exists()]
    pictures += [_image(title, "svg+xml", svg.encode()) for title, svg in drawn if svg]
    if pictures:  # one entry: Dagster opens it with one click, and shows entries of over 1,000 characters no other way
        shown["pictures"] = dg.MetadataValue.md("\n\n".join(pictures))
    for name in names:
        if (reports / f"{name}.json").exists():
            shown |= values(read_report(reports / f"{name}.json"))
    return shown


def _files(row: Row) -> dg.MetadataValue[Any]:
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "path": out["path"],
                    "md5": str(out.get("md5", "")),
                    "bytes": int(out.get("size", 0)),
                    "files": int(out.get("nfiles", 1)),
                }
            )
            for out in row.get("outs", ())
        ]
    )


def _value(value: Value) -> dg.MetadataValue[Any]:
    if value is None:
        return dg.MetadataValue.null()
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(value)
    return dg.MetadataValue.url(value) if value.startswith(("http://", "https://")) else dg.MetadataValue.text(value)


def _picture(file: Path) -> str:
    """Return `file` as a Markdown image of at most about PICTURE_BYTES, smaller rather than blurred."""
    from PIL import Image

    with Image.open(file) as image:
        for side_px in PICTURE_SIDES_PX:
            small = image.convert("RGB")
            small.thumbnail((side_px, side_px))
            data = io.BytesIO()
            small.save(data, "WEBP", quality=75)
            if data.tell() <= PICTURE_BYTES:
                break
    return _image(file.stem, "webp", data.getvalue())


def _image(title: str, kind: str, data: bytes) -> str:
    return f"![{title}](data:image/{kind};base64,{base64.b64encode(data).decode()})"
