"""The verdicts of a shop's photos, brought up to what there is: learnt, told of each photo, listed and left out."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.torch
from numpy.typing import NDArray
from PIL import Image

from visnet.photos.cutting import BOX
from visnet.photos.keys import photo_keys
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Report
from visnet.quality import cases, decisions, files, learnt, left_out, listing, shown_crops, zoom_training
from visnet.quality.bands import GOOD, VERDICTS, Precisions
from visnet.quality.faults import FAULTS
from visnet.quality.features import PhotoFeatures
from visnet.quality.head import FaultHead
from visnet.quality.learnt import Learnt
from visnet.quality.photo_features import bring, slices
from visnet.quality.planter import Planter, shown
from visnet.quality.rule import QualityRule
from visnet.sheets import quality_sheet
from visnet.storage import atomic
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table

VERSION = 1  # raise when the same photos give other features, or the same seed other cases, than before


def bring_verdicts(
    raw_images: Path, crops: Path, *, out: Path, params: QualityRule, decided: decisions.Decisions, log: Log
) -> Report:
    """Learn to see planted faults, and bring the verdicts in `out` up to the photos and to what was decided."""
    look = PhotoFeatures(params.network, params.weights, "photo_quality.toml: [photo_quality]")
    made = fingerprint(VERSION, params.network, params.weights)
    measured = params.photos_measured
    at_most = {"train": params.photos, "validation": measured, "test": measured}
    decided_of = {photo: what for (photo,), what in decided.of().items()}
    confirmed = {photo for photo, what in decided_of.items() if what == decisions.CONFIRMED}
    rows = cases.chosen(raw_images, crops, at_most, params.seed, confirmed=confirmed)
    planter = Planter(raw_images, crops, rows, params.seed)
    sources: dict[str, str] = {}
    for own in planter.rows.values():
        sources |= cases.sources(own, made, params.seed)
    bring(Table(out / files.PLANTED, "key"), sources, planter.pictures, look, log, "planted faults")
    wanted = Precisions(params.bad_precision, params.good_precision, params.fault_share, params.unsure_share_max)
    found = learnt.learn(out / files.PLANTED, rows, wanted)
    for fault, count in found.too_few.items():
        log.say(f"  {fault} is not learnt: it could be planted in {count} photos only")
    for fault in (one for one, band in found.bands.items() if not band.kept):
        log.say(f"  {fault} is seen too badly for good_precision: a person is asked about the most suspicious alone")
    zoom = zoom_training.bring(out, planter, sources, params.zoom_epochs, params.seed, log)

    photos = _photos(raw_images, crops)
    contents = {crop: fingerprint(made, one) for crop, one in zip(photos["crop_id"], photos["content"], strict=True)}
    seen = Table(out / files.FEATURES, "key")
    change = bring(seen, contents, lambda some: shown(crops, some), look, log, "photos")
    table = listing.listed(photos, _scores(seen.path, photos, found.head), found.head.faults, found.bands, decided_of)
    counts = listing.put(out, table)
    with atomic.writing(out / files.HEAD) as building:
        safetensors.torch.save_file(found.head.tensors(), building)
    leaving = _leave_out(out, crops, table, params)
    atomic.put_json(out / files.BANDS, {fault: band._asdict() for fault, band in found.bands.items()})
    log.picture(quality_sheet.quality(crops / "crops.lance", table, _examples(planter, found)))
    return {
        "enabled": True,
        **{f"{split}_photos": len(own) for split, own in planter.rows.items()},
        **found.report(),
        **zoom,
        **_report(table, decided_of),
        "photos_new": len(change.todo),
        **dict(zip(("added", "changed", "removed"), counts, strict=True)),
        **leaving,
    }


def _leave_out(out: Path, crops: Path, table: pd.DataFrame, params: QualityRule) -> Report:
    """Write which photos are left out, if any are to be; count them."""
    digest = Table(out / files.TABLE, "crop_id").digest()
    if not params.leave_out_bad:
        (out / files.LEFT_OUT).unlink(missing_ok=True)
        return {"left_out": 0, "kept_as_last": 0, "digest": digest}
    chosen = left_out.choose(table)
    shown_crops.put_left_out(out, crops / "crops.lance", chosen.crop_ids)
    counts = {"left_out": len(chosen.crop_ids), "kept_as_last": len(chosen.kept_as_last)}
    return {**counts, "digest": fingerprint(digest, *chosen.crop_ids)}


def _photos(raw_images: Path, crops: Path) -> pd.DataFrame:
    columns = ["crop_id", "photo_id", "product_id", "category", "content", *BOX]
    rows = Table(crops / "crops.lance").read(columns, "lost IS NULL AND side = 'shop'").to_pandas()
    rows["key"] = photo_keys(raw_images, rows)
    return rows.sort_values("crop_id", ignore_index=True)


def _scores(table: Path, photos: pd.DataFrame, fitted: FaultHead) -> NDArray[np.float32]:
    """Return the scores of photos, [N, F], by their features."""
    place = {crop: at for at, crop in enumerate(photos["crop_id"])}
    scores = np.full((len(photos), len(fitted.faults)), np.nan, np.float32)
    for names, features in slices(table):
        scores[[place[name] for name in names]] = fitted.scores(features)
    return scores


def _examples(planter: Planter, found: Learnt) -> dict[str, list[tuple[Image.Image, float]]]:
    """Make planted test cases of each fault again, with their scores."""
    shown: dict[str, list[tuple[Image.Image, float]]] = {}
    for at, fault in enumerate(found.head.faults):
        some = [case for case in found.scores if cases.fault_of(case) == fault][: quality_sheet.PLANTED]
        shown[fault] = [(picture, float(found.scores[case][at])) for case, picture in planter.pictures(some)]
    return shown


def _report(table: pd.DataFrame, decided: Mapping[str, str]) -> Report:
    """Count verdicts, and what was decided."""
    counts = {verdict: int((table["verdict"] == verdict).sum()) for verdict in VERDICTS}
    return {
        "photos": len(table),
        **counts,
        **{f"{fault}_flagged": int((table["fault"] == fault).sum()) for fault in FAULTS},
        "undecided": int(((table["verdict"] != GOOD) & (table["decision"] == "")).sum()),
        **{what: int((table["decision"] == what).sum()) for what in decisions.WHAT},
        "decisions_unknown": len(decided.keys() - set(table["key"])),
    }
