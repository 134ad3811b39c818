"""publish: the catalog as one version that is served, complete in itself, after the gates; the last ones stay.

Readers keep the version that they opened (see `visnet.serving`). Files are linked: a version costs what changed.
"""

import datetime
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from visnet import folders, gates, pictures, tables, versions, weights
from visnet.folders import Brought
from visnet.gates import Gate
from visnet.log import Log
from visnet.model_id import model_id, precision_of
from visnet.stage import Frozen, Report, Share
from visnet.stages.catalog_embeddings import WANTED, sources
from visnet.vectors import Vectors, model_of, read_vectors

IN_PLACE = True
METRICS = ("products",)
SERVED = True  # readers stand in it: it is no output of DVC, which would take it from under them
MODEL = ("model.safetensors", "model.toml")
SHOWN = 24


class Params(Frozen):
    """How many versions stay, and the gates; one that is left out in params.toml has the limit given here."""

    keep: int = Field(5, ge=1, le=10_000)
    probe_recall_at_1_drop_max: Share | None = 0.05
    removed_share_max: Share | None = 0.2
    added_share_max: float | None = Field(None, ge=0, le=1_000_000)
    lost_share_max: Share | None = 0.05


def build(
    raw_images: Path,
    crops: Path,
    trained_model: Path,
    catalog_embeddings: Path,
    knn_results: Path,
    *,
    out: Path,
    params: Params,
    log: Log,
) -> Report:
    """Serve the catalog as a new version, unless it is what the newest is already; after a rollback it waits.

    `ValueError` when its parts do not fit each other or a gate is closed; then what is served stays.
    """
    number, building = versions.begin(out)
    served = versions.current(out)
    newest = served if (waits := versions.waiting(out)) is None else waits
    before = versions.facts(out, newest) if newest is not None else {}
    parts = {
        "crops": crops / "crops.lance",
        "embeddings": catalog_embeddings / "embeddings.lance",
        "knn": knn_results / "knn.lance",
        "catalog": raw_images / "catalog.lance",
    }
    try:
        brought, digests = Brought(), {}
        for name, path in parts.items():
            if name == "catalog" and not tables.is_table(path):
                continue  # a source that has photos only
            brought += folders.bring_table(path, building / path.name)
            digests[name] = tables.digest(building / path.name, tables.opened(path).schema.names[0])
        for file in MODEL:
            brought += folders.bring(trained_model / file, building / "trained_model" / file)
        folders.sync(building / "trained_model")
        made_by, side_px = _model(building)
        published = {**digests, "model": made_by} != before.get("parts")
        if published:
            now, vectors = gates.products(building / "crops.lance"), read_vectors(building)
            wanted = _wanted(building / "crops.lance", made_by, side_px)
            gates.whole(building, knn_results / "applied.lance", vectors, now, wanted, made_by)
            earlier = versions.folder(out, served) if served is not None else None
            said, judged = _measured(raw_images, building, now, vectors.of(side="shop"), earlier, params)
            _judge(judged, served)
            said |= {
                "version": number,
                "before": served,
                "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")[:19] + "Z",
                "model": made_by,
                "parts": {**digests, "model": made_by},
                "brought": asdict(brought),
            }
    except (ValueError, OSError):
        shutil.rmtree(building, ignore_errors=True)
        raise
    if published:
        versions.finish(out, number, building, said)
    else:
        shutil.rmtree(building)
        said = before
        log.say(f"  nothing has changed: version {newest} stays")
    if versions.waiting(out) is not None:
        log.say(f"  {versions.standing(out)}")
    gone = versions.prune(out, params.keep)
    _picture(versions.folder(out, said["version"]), said, log)
    return _report(said, published) | {
        "served": versions.current(out),
        "versions": len(versions.numbers(out)),
        "versions_removed": len(gone),
    }


def _model(building: Path) -> tuple[str, int]:
    """Return which model embeds a visitor's photo, in the precision of the catalog's vectors, and its input's side."""
    model, entry = weights.load(building / "trained_model")
    return model_id(weights.digest(model.state_dict()), precision_of(model_of(building))), entry.side_px


def _wanted(crops: Path, made_by: str, side_px: int) -> pa.Table:
    """Return the crops that are to have a vector, and what each is to be made from."""
    table = tables.read(crops, ["crop_id", "content"], WANTED).combine_chunks()
    return tables.wanted(table["crop_id"].combine_chunks(), sources(table["content"], made_by, side_px))


def _measured(
    raw_images: Path, building: Path, now: Mapping[str, str], shop: Vectors, before: Path | None, params: Params
) -> tuple[dict[str, Any], list[Gate]]:
    """Return what is new against the version before, and the gates with what was measured for them."""
    had = gates.products(before / "crops.lance") if before else {}
    new, gone = sorted(now.keys() - had.keys()), had.keys() - now.keys()
    hits = gates.street_hits(building / "knn.lance", now)
    hits_before = gates.street_hits(before / "knn.lance", had) if before else {}
    both = hits.keys() & hits_before.keys()  # the same questions, so that what is compared is not their difficulty
    recall, recall_before = gates.recall(hits, both), gates.recall(hits_before, both)
    drop = None if recall is None or recall_before is None else round(recall_before - recall, 6)
    photos = tables.opened(raw_images / "photos.lance")
    judged = [
        Gate("self_hit_share", gates.self_hit_share(shop), 1.0, least=True),
        Gate("probe_recall_at_1_drop", drop, params.probe_recall_at_1_drop_max),
        Gate("removed_share", round(len(gone) / len(had), 6) if had else None, params.removed_share_max),
        Gate("added_share", round(len(new) / len(had), 6) if had else None, params.added_share_max),
        Gate(
            "lost_share", round(photos.count_rows("lost IS NOT NULL") / photos.count_rows(), 6), params.lost_share_max
        ),
    ]
    said = {
        "products": len(now),
        "added": len(new),
        "changed": sum(had[product] != photos for product, photos in now.items() if product in had),
        "removed": len(gone),
        "recall_at_1": gates.recall(hits),
        "street_queries": len(hits),
        "probe_queries": len(both),
        "gates": {name: value for gate in judged for name, value in gate.report().items()},
        "shown": [now[product].partition("=")[0] for product in new[:: max(1, len(new) // SHOWN)][:SHOWN]],
    }
    return said, judged


def _judge(judged: list[Gate], served: int | None) -> None:
    for gate in judged:
        if not gate.passed:
            limit = f"{gate.name}_{'min' if gate.least else 'max'}"
            cure = "run `dvc repro knn_results`" if gate.least else f"if this is meant, set {limit} = {gate.value}"
            stays = f"version {served} stays" if served is not None else "nothing is served"
            raise ValueError(
                f"[publish] {limit}: {gate.name} is {gate.value}, allowed is {gate.limit}; {stays}; {cure}"
            )


def _report(said: Mapping[str, Any], published: bool) -> Report:
    kept = {name: said[name] for name in ("version", "before", "products")}
    counts = {name: said[name] if published else 0 for name in ("added", "changed", "removed")}
    brought = said["brought"] if published else asdict(Brought())
    return {
        **kept,
        "published": published,
        **counts,
        **{name: said[name] for name in ("recall_at_1", "street_queries", "probe_queries")},
        **said["gates"],
        "files": brought["files"],
        "linked_megabytes": round(brought["linked_bytes"] / 1e6, 3),
        "copied_megabytes": round(brought["copied_bytes"] / 1e6, 3),
        "model": said["model"],
        "digest": tables.fingerprint(*sorted(said["parts"].items())),
    }


def _picture(version: Path, said: Mapping[str, Any], log: Log) -> None:
    """Show some of the products that the version brought, each by a photo."""
    table = version / "crops.lance"
    found = pictures.open_images(table, said["shown"])
    crops = tables.read(table, ["crop_id", "product_id"])
    mine = crops.filter(pc.is_in(crops["crop_id"], pa.array(said["shown"], pa.string())))
    product = dict(zip(mine["crop_id"].to_pylist(), mine["product_id"].to_pylist(), strict=True))
    tiles = [pictures.Tile(found[crop], product[crop]) for crop in said["shown"]]
    rows = [tiles[start : start + 8] for start in range(0, len(tiles), 8)]
    title = f"Version {said['version']}: {said['products']} products, {said['added']} of them new"
    log.picture(pictures.sheet(rows, title))
