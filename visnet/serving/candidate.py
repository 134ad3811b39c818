"""A version before it is served: its parts brought together in a folder, named by digests, and measured."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visnet.categorizing.files import TODAY, TOLD_CATEGORIES, answering
from visnet.categorizing.files import is_trained as tells_paths
from visnet.duplicates.files import FILE as DUPLICATES
from visnet.duplicates.files import HASHES
from visnet.duplicates.rule import FILE as RULE
from visnet.embedding.model_id import model_id, precision_of
from visnet.embedding.vectors import model_of
from visnet.errors import Damaged
from visnet.evaluation import calibration
from visnet.localizing.files import FILES as LOCALIZER
from visnet.localizing.files import is_trained
from visnet.pipeline.reports import read_report
from visnet.quality.files import LEFT_OUT
from visnet.quality.files import TABLE as QUALITY
from visnet.serving import gates
from visnet.serving.pointer import Parts
from visnet.storage import atomic, links
from visnet.storage.links import Transfer
from visnet.storage.table import Table
from visnet.zoo import weights

TABLES = {
    "crops": "crops",
    "embeddings": "catalog_embeddings",
    "knn": "knn_results",
    "catalog": "raw_images",
    "hashes": "duplicates",
    "told_categories": "category_paths",
    "quality": "photo_quality",
}
STAGE_OF = {  # who makes it
    **TABLES,
    "model": "trained_model",
    "calibration": "evaluation",
    "localizer": "localizer",
    "taxonomy": "taxonomy_model",
    "duplicates": "duplicates",
    "rule": "duplicates",
    "left_out": "photo_quality",
    "today": "category_paths",
}
# Parts that are one file.
SINGLE = {
    "calibration": calibration.FILE,
    "duplicates": DUPLICATES,
    "rule": RULE,
    "left_out": LEFT_OUT,
    "today": TODAY,
}
MODEL = ("model.safetensors", "model.toml")
SHOWN = 24


@dataclass(frozen=True)
class Candidate:
    """A folder that holds all parts of a version, the digest of each, and what its model makes of a photo."""

    folder: Path
    parts: Parts
    brought: Transfer
    side_px: int


def of_line(data: Path) -> dict[str, Path]:
    """Return part -> where the line has it.

    `catalog` only where the source has more than photos, `calibration` where the evaluation could fit one, `localizer`
    and `taxonomy` where one is trained, `duplicates` where a person has confirmed some, `hashes` and `rule` where they
    are looked for, `told_categories` where a product without a category is told one, `today` where the tree of
    categories is no longer the model's, `quality` where photos are judged, and `left_out` where bad ones are left out.
    """
    places = {part: data / stage / f"{part}.lance" for part, stage in TABLES.items()}
    places |= {part: data / STAGE_OF[part] for part in ("model", "localizer", "taxonomy")}
    places |= {part: data / STAGE_OF[part] / file for part, file in SINGLE.items()}
    places["hashes"] = data / STAGE_OF["hashes"] / HASHES
    places["told_categories"] = data / STAGE_OF["told_categories"] / TOLD_CATEGORIES
    places["quality"] = data / STAGE_OF["quality"] / QUALITY
    there = {
        "catalog": Table(places["catalog"]).exists(),
        **{part: places[part].exists() for part in SINGLE},
        "localizer": is_trained(places["localizer"]),
        "taxonomy": tells_paths(places["taxonomy"]),
        "today": tells_paths(places["taxonomy"]) and places["today"].exists(),
        "hashes": places["rule"].exists() and Table(places["hashes"]).exists(),
        "told_categories": tells_paths(places["taxonomy"]) and Table(places["told_categories"]).exists(),
        "quality": Table(places["quality"]).exists(),
    }
    return {part: path for part, path in places.items() if there.get(part, True)}


def of_version(version: Path, parts: Parts) -> dict[str, Path]:
    """Return part -> where a version has it."""
    names = {part: STAGE_OF[part] for part in ("model", "localizer", "taxonomy")} | SINGLE
    return {part: version / names.get(part, f"{part}.lance") for part in parts}


def assemble(places: Mapping[str, Path], folder: Path) -> Candidate:
    """Bring the parts of a version into an empty folder, by links where that can be."""
    brought, parts = Transfer(), {}
    for part, path in places.items():
        if part not in TABLES:
            continue
        brought += links.link_or_copy_table(path, folder / f"{part}.lance")
        parts[part] = Table(folder / f"{part}.lance").digest()
    for file in MODEL:
        brought += links.link_or_copy(places["model"] / file, folder / "trained_model" / file)
    atomic.sync(folder / "trained_model")
    for part, file in SINGLE.items():
        if part in places:
            brought += links.link_or_copy(places[part], folder / file)
            parts[part] = digest(folder / file)
    for part in sorted(places.keys() & {"localizer", "taxonomy"}):
        own = folder / STAGE_OF[part]
        for path in files_of(part, places[part]):
            brought += links.link_or_copy(path, own / path.name)
        atomic.sync(own)
        parts[part] = digest(*files_of(part, own))
    model, entry = weights.load(folder / "trained_model")
    made_by = model_id(weights.digest(model.state_dict()), precision_of(model_of(folder)))  # embeds a visitor's photo
    return Candidate(folder, {**parts, "model": made_by}, brought, entry.side_px)


def files_of(part: str, folder: Path) -> list[Path]:
    """Return the files of a part that is a folder, in which others may stand that a version does not need."""
    return [folder / file for file in (LOCALIZER if part == "localizer" else answering(folder))]


def digest(*paths: Path) -> str:
    """Return the digest of a part that is one file or a few, 32 hex digits."""
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: whole)
    return whole.hexdigest()[:32]


def run_of(model: str, reports: Path) -> str | None:
    """Return the id of the MLflow run in which a model learnt, None where its training's report names none."""
    try:
        report = read_report(STAGE_OF["model"], reports) or {}
    except Damaged:  # what is not needed to serve costs no version
        return None
    run, trained = report.get("mlflow_run_id"), str(report.get("digest") or "")
    return str(run) if run and trained and model.startswith(trained) else None


def _shown(version: Path) -> dict[gates.Product, gates.Photos]:
    return gates.products(version / "crops.lance", version / "embeddings.lance")


def describe(candidate: Candidate, earlier: Path | None) -> dict[str, Any]:
    """Return what a version's facts say of its content, and of what is new in it against an earlier version."""
    now = _shown(candidate.folder)
    had = _shown(earlier) if earlier else {}
    new, gone = sorted(now.keys() - had.keys()), had.keys() - now.keys()
    hits = gates.street_hits(candidate.folder / "knn.lance", now)
    hits_before = gates.street_hits(earlier / "knn.lance", had) if earlier else {}
    both = hits.keys() & hits_before.keys()  # the same questions, so that what is compared is not their difficulty
    recall, before = gates.recall(hits, both), gates.recall(hits_before, both)
    shown = new[:: max(1, len(new) // SHOWN)][:SHOWN]
    return {
        "model": candidate.parts["model"],
        "parts": candidate.parts,
        "products": len(now),
        "products_before": len(had),
        "added": len(new),
        "changed": sum(had[product] != photos for product, photos in now.items() if product in had),
        "removed": len(gone),
        "recall_at_1": gates.recall(hits),
        "street_queries": len(hits),
        "probe_queries": len(both),
        "probe_recall_at_1_drop": None if recall is None or before is None else round(before - recall, 6),
        "shown": [{"crop_id": now[product].crop_id, "product_id": product[1]} for product in shown],
    }
