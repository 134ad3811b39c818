"""publish: the catalog as one version that is served, complete in itself, after the gates; the last ones stay.

Readers keep the version that they opened (see `visnet.serving.catalog`). Files are linked: a version costs what
changed. Which content is published stands in `data/published.json`, DVC's output; an experiment (`dvc exp run`) writes
that and its report, and serves nothing.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field

from visnet.categorizing.files import TAXONOMY, TODAY
from visnet.categorizing.retelling import Retelling
from visnet.embedding.vectors import Vectors, read_vectors
from visnet.evaluation import calibration, verdict
from visnet.pipeline.log import Log
from visnet.pipeline.reports import REPORTS
from visnet.pipeline.stage import Frozen, Report, Share
from visnet.quality.shown_crops import shown_crops
from visnet.serving import candidate, galleries, gates, pointer, versions
from visnet.serving.candidate import Candidate
from visnet.serving.gates import Gate
from visnet.sheets import contact_sheet
from visnet.stages.catalog_embeddings import sources
from visnet.storage.fingerprints import fingerprint
from visnet.storage.links import Transfer
from visnet.storage.table import Table, wanted_rows
from visnet.taxonomy.tree import Taxonomy

IN_PLACE = True
METRICS = ("products",)
SERVED = True  # readers stand in it: it is no output of DVC, which would take it from under them
EXPERIMENT = "DVC_EXP_NAME"  # what `dvc exp run` has in the environment of its stages


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
    evaluation: Path,
    localizer: Path,
    taxonomy_model: Path,
    category_paths: Path,
    photo_quality: Path,
    duplicates: Path,
    *,
    out: Path,
    params: Params,
    log: Log,
) -> Report:
    """Serve the catalog as a new version, unless it is what the newest is already; after a rollback it waits.

    `ValueError` when its parts do not fit each other, a gate is closed, or its model is another than the served one's
    and did not pass its evaluation; then what is served stays.
    """
    number, building = versions.begin(out)
    served = versions.intact(out)
    newest = served if (waits := versions.waiting(out)) is None else waits
    before = versions.facts(out, newest) if newest is not None else {}
    apart = os.environ.get(EXPERIMENT)
    try:
        made = candidate.assemble(candidate.of_line(out.parent), building)
        published = made.parts != before.get("parts")
        facts = before
        if published:
            vectors = read_vectors(building)
            earlier = versions.folder(out, served) if served is not None else None
            facts = candidate.describe(made, earlier)
            _check_whole(made, photo_quality, knn_results, vectors)
            judged = _gates(facts, vectors, raw_images, params)
            _judge(judged, served)
            calibration.load(evaluation, made.parts["model"])  # what a distance means to another model is no news of it
            if "today" in made.parts:
                learnt = Taxonomy.load(building / candidate.STAGE_OF["taxonomy"] / TAXONOMY)
                Retelling.read(building / TODAY, learnt, sure=1.0)  # nor is what became of another tree
            _check_verdict(evaluation, vectors.model, made.parts["model"], before, served)
            facts |= {
                "mlflow_run": candidate.run_of(made.parts["model"], out.parent.parent / REPORTS),
                "dagster_run": os.environ.get("DAGSTER_RUN_ID"),  # None where it was made in a shell
                "gates": {name: value for gate in judged for name, value in gate.report().items()},
                "before": served,
                "brought": asdict(made.brought),
            }
        _picture(building, facts, log)
        if published and not apart:
            galleries.prepare(out, number, building, made.parts, vectors)
        # All that can fail has been done. A kill between these lines leaves what `deploy`, or the next run, completes.
        pointer.write(out, made.parts, fingerprint(*sorted(made.parts.items())))
        if published and not apart:
            versions.finish(out, number, building, facts)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    if not published:
        log.say(f"  nothing has changed: version {newest} stays")
    elif apart:
        log.say(f"  the experiment {apart} serves nothing; `dvc exp apply {apart}`, then {versions.DEPLOY} does")
    if versions.waiting(out) is not None:
        log.say(f"  {versions.status(out)}")
    elif published and not apart:
        log.say(f"  version {number} is served")
    gone = [] if apart else versions.prune(out, params.keep)
    return _report(facts, published, params) | {"versions_removed": len(gone)}


def _check_whole(made: Candidate, photo_quality: Path, knn_results: Path, vectors: Vectors) -> None:
    table = shown_crops(made.folder / "crops.lance", photo_quality, ["crop_id", "content"]).combine_chunks()
    model = made.parts["model"]
    wanted = wanted_rows(table["crop_id"].combine_chunks(), sources(table["content"], model, made.side_px))
    there = gates.products(made.folder / "crops.lance")
    gates.check_consistent(made.folder, knn_results / "applied.lance", vectors, there, wanted, model)


def _gates(facts: Mapping[str, Any], shop: Vectors, raw_images: Path, params: Params) -> list[Gate]:
    """Return the gates with what was measured for them."""
    photos, had = Table(raw_images / "photos.lance").opened(), facts["products_before"]
    lost = round(photos.count_rows("lost IS NOT NULL") / photos.count_rows(), 6)
    removed, added = (round(facts[name] / had, 6) if had else None for name in ("removed", "added"))
    return [
        Gate("self_hit_share", gates.self_hit_share(shop.of(side="shop")), 1.0, least=True),
        Gate("probe_recall_at_1_drop", facts["probe_recall_at_1_drop"], params.probe_recall_at_1_drop_max),
        Gate("removed_share", removed, params.removed_share_max),
        Gate("added_share", added, params.added_share_max),
        Gate("lost_share", lost, params.lost_share_max),
    ]


def _judge(judged: list[Gate], served: int | None) -> None:
    for gate in judged:
        if not gate.passed:
            limit = f"{gate.name}_{'min' if gate.least else 'max'}"
            cure = "run `dvc repro knn_results`" if gate.least else f"if this is meant, set {limit} = {gate.value}"
            raise ValueError(
                f"[publish] {limit}: {gate.name} is {gate.value}, allowed is {gate.limit}; {_stays(served)}; {cure}"
            )


def _stays(served: int | None) -> str:
    return f"version {served} stays" if served is not None else "nothing is served"


def _check_verdict(evaluation: Path, vectors: str, model: str, before: Mapping[str, Any], served: int | None) -> None:
    """Hold a new model to the verdict of its evaluation; a refresh by the model of the version before needs none."""
    if model == before.get("model"):
        return
    ruling = verdict.read(evaluation)
    if ruling.model != vectors[: len(ruling.model)] or not ruling.model:
        raise ValueError(
            f"{evaluation / verdict.FILE} is of another model ({ruling.model[:8]}) than the one to be served "
            f"({model[:8]}); {_stays(served)}; run `dvc repro evaluation`"
        )
    if ruling.passed is None:
        raise ValueError(
            f"[evaluation] the new model was not judged: {ruling.why}; {_stays(served)}; run {verdict.AGAIN}"
        )
    if not ruling.passed:
        raise ValueError(f"[evaluation] the new model did not pass: {ruling.why}; {_stays(served)}")


def _report(facts: Mapping[str, Any], published: bool, params: Params) -> Report:
    """Return the facts of the content; numbers of versions are this machine's, and told by `visnet versions`."""
    counts = {name: facts[name] if published else 0 for name in ("added", "changed", "removed")}
    transfer = facts["brought"] if published else asdict(Transfer())
    limits = {name: limit for name, limit in params if name.endswith("_max")}
    unmeasured = {
        name: value for limit in limits for name, value in ((limit.removesuffix("_max"), None), (limit, None))
    }
    return {
        "products": facts["products"],
        "published": published,
        **counts,
        **{name: facts[name] for name in ("recall_at_1", "street_queries", "probe_queries")},
        "self_hit_share": None,
        "self_hit_share_min": 1.0,
        **unmeasured,
        **limits,
        **facts.get("gates", {}),
        "files": transfer["files"],
        "linked_megabytes": round(transfer["linked_bytes"] / 1e6, 3),
        "copied_megabytes": round(transfer["copied_bytes"] / 1e6, 3),
        "model": facts["model"],
        "digest": fingerprint(*sorted(facts["parts"].items())),
    }


def _picture(folder: Path, facts: Mapping[str, Any], log: Log) -> None:
    """Show some of the products that the version brought, each by a photo."""
    found = contact_sheet.open_images(folder / "crops.lance", [shown["crop_id"] for shown in facts["shown"]])
    tiles = [contact_sheet.Thumbnail(found[shown["crop_id"]], shown["product_id"]) for shown in facts["shown"]]
    rows = [tiles[start : start + 8] for start in range(0, len(tiles), 8)]
    log.picture(contact_sheet.sheet(rows, f"{facts['products']} products, {facts['added']} of them new"))
