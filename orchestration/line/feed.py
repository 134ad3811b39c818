"""The change feed's inbox, as params.toml names it: which batches lie there, and what a run of `feed` said of them."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg

from orchestration.bridge.report import Metadata, table, values

SUFFIXES = (
    ".jsonl",
    ".csv",
    ".parquet",
    ".jsonl.gz",
    ".csv.gz",
)  # of batches, as visnet.sources.changefeed.batches has them
ASSET = dg.AssetKey("feed_batches")
BATCHES = dg.DynamicPartitionsDefinition(name=ASSET.to_user_string())


class BatchFile(NamedTuple):
    """What shows at a glance that a file is another one; a refresh then looks into it."""

    bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Inbox:
    """The folder that batches come into; `brought_from` is where `feed` brings them from, "" where others do."""

    folder: Path
    brought_from: str
    pattern: str

    def batches(self) -> dict[str, BatchFile]:
        """Return the batches that lie there, by name; a folder that is called like one holds parts, each a batch."""
        files: set[Path] = set()
        for path in self.folder.glob(self.pattern):
            has_parts = path.name.lower().endswith(SUFFIXES) and path.is_dir()
            files |= set(path.rglob("*")) if has_parts else {path}
        found = {str(file.relative_to(self.folder)): file for file in sorted(files)}
        shown = {name: file for name, file in found.items() if not any(p[0] in "._" for p in Path(name).parts)}
        return {
            name: BatchFile((seen := file.stat()).st_size, seen.st_mtime_ns)
            for name, file in shown.items()
            if file.is_file()
        }


def read_inbox(root: Path) -> Inbox | None:
    """Read the inbox from params.toml; None where the source is no feed, `ValueError` where it is no TOML."""
    try:
        raw_images = tomllib.loads((root / "params.toml").read_text(encoding="utf-8-sig")).get("raw_images", {})
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"params.toml: {error}") from None
    if raw_images.get("source") != "feed":
        return None
    feed = raw_images.get("feed", {})
    return Inbox(root / raw_images["metadata"], str(feed.get("from", "")), str(feed.get("pattern") or "*"))


def digest(batches: Mapping[str, BatchFile]) -> str:
    """Return what changes when a batch comes, goes or is written anew."""
    return hashlib.sha256(json.dumps(batches, sort_keys=True).encode()).hexdigest()[:16]


def arrived(batch: str, size: int) -> dg.AssetMaterialization:
    """Return the materialization that says: this batch lies in the inbox."""
    return dg.AssetMaterialization(
        ASSET, partition=batch, description="Came into the inbox", metadata={"bytes": dg.MetadataValue.int(size)}
    )


def told(reports: Path, batch: str | None = None) -> Metadata:
    """Return what reports/feed.json says: counts, and the first dead letters; of one batch where its rows say so."""
    file = reports / "feed.json"
    if not file.exists():
        return {}
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    shown = values({key: value for key, value in report.items() if not isinstance(value, dict | list)})
    for key, rows in report.items():
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            own = [row for row in rows if batch is None or row.get("batch", batch) == batch]
            if key == "by_batch" and batch is not None and len(own) == 1:  # not what the others of its run had
                shown = values({name: value for name, value in own[0].items() if name != "batch"})
            elif own:
                shown[f"{key}_first"] = table(own)
    return shown
