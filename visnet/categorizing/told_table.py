"""The table of what a trained model says of every crop, in today's tree; what it has seen it does not look at again."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from visnet.categorizing.answers import PathAnswer, answers
from visnet.categorizing.categorizer import Categorizer
from visnet.categorizing.retelling import Retelling
from visnet.embedding.crop_dataset import CropImages
from visnet.pipeline.log import Log
from visnet.storage.fingerprints import fingerprint, fingerprints
from visnet.storage.table import Table, wanted_rows

COMMIT_EVERY = 512  # crops
COLUMNS = pa.schema(
    [
        ("crop_id", pa.string()),
        ("path", pa.string()),  # the likeliest
        ("answer", pa.string()),  # what is told of it
        ("probabilities", pa.list_(pa.float64())),  # of each level of the path
        ("taxonomy", pa.string()),
        # What the model said of which picture, in the tree that it learnt.
        ("model_path", pa.string()),
        ("model_probabilities", pa.list_(pa.float64())),
        ("model", pa.string()),
        ("picture", pa.string()),
        ("source", pa.string()),
        ("content", pa.string()),
    ]
)

ByModel = tuple[str, list[float]]  # a path of the tree that it learnt, and the probabilities of its levels
Known = Mapping[str, tuple[ByModel, PathAnswer]]  # of pictures: what the model said, and what was told of that


class Brought(NamedTuple):
    """Crops, each in one: new ones, others than before, gone ones, told in another tree, and not to be mapped to it."""

    new: list[str]
    changed: list[str]
    gone: list[str]
    remapped: list[str]
    predicted_again: list[str]


def bring_table(
    table: Table, rows: pd.DataFrame, categorizer: Categorizer, retelling: Retelling, crops: Path, log: Log
) -> Brought:
    """Answer for what is new or changed, or was told in another tree; rows: crop_id and content.

    A category, a split or a photo's name changes a crop, and not what its picture shows: what this model said of it is
    told again, in today's tree.
    """
    model = fingerprint(categorizer.made_by)
    told_by = pa.repeat(fingerprint(model, retelling.name), len(rows))
    rows = rows.assign(source=fingerprints(told_by, pa.array(rows["content"])), model=model)
    change = table.compare(wanted_rows(rows["crop_id"], rows["source"]))
    if table.exists():
        table.add_columns(COLUMNS)
    else:
        table.put(COLUMNS.empty_table())
    todo = rows[rows["crop_id"].isin(set(change.todo))]
    known = _known(table, model) if len(todo) else {}
    remapped: list[str] = []
    again: list[str] = []
    # In parts, of which a run that is killed keeps those that it has told.
    with log.progress("paths", len(rows), done=change.same, unit="crop") as progress:
        for first in range(0, len(todo), COMMIT_EVERY):
            part = todo[first : first + COMMIT_EVERY]
            part = part.assign(picture=_pictures(crops, part["crop_id"].tolist()))
            table.put(_told(part, known, categorizer, retelling, crops, (remapped, again)), change.changed)
            progress.advance(len(part))
    table.delete(change.gone)
    moved = {*remapped, *again}
    new, changed = ([one for one in some if one not in moved] for some in (change.new, change.changed))
    return Brought(new, changed, change.gone, remapped, again)


def _known(table: Table, model: str) -> Known:
    """Read what this model has said, by the pictures that it has seen."""
    columns = ["picture", "model_path", "model_probabilities", "path", "probabilities", "answer", "taxonomy"]
    rows = table.read(columns, f"model = '{model}'").to_pandas()
    return {
        row.picture: (
            (row.model_path, row.model_probabilities.tolist()),
            PathAnswer(row.path, tuple(row.probabilities.tolist()), row.answer, row.taxonomy),
        )
        for row in rows.itertuples()
    }


def _pictures(crops: Path, crop_ids: list[str]) -> list[str]:
    """Name pictures by their bytes, which need not be decoded."""
    images = CropImages(crops, crop_ids, 1, keep=False)
    taken = Table(crops).opened(images.version).take(images.positions, columns=["image"])["image"]
    return [hashlib.sha256(image.as_py() or b"").hexdigest()[:32] for image in taken]


def _told(
    rows: pd.DataFrame,
    known: Known,
    categorizer: Categorizer,
    retelling: Retelling,
    crops: Path,
    moved: tuple[list[str], list[str]],
) -> pa.Table:
    """Tell of some crops; name in `moved` those that were mapped to another tree, and those that could not be."""
    remapped, again = moved
    found: dict[str, tuple[ByModel, PathAnswer]] = {}
    for crop_id, picture in zip(rows["crop_id"], rows["picture"], strict=True):
        if picture in known:
            (path, levels), before = known[picture]
            now = retelling.stored(path, levels)
            if now is None:
                again.append(crop_id)
                continue
            found[crop_id] = (path, levels), now
            remapped += [crop_id] * (now != before)
    todo = [crop_id for crop_id in rows["crop_id"] if crop_id not in found]
    if todo:
        found |= zip(todo, _predicted(todo, categorizer, retelling, crops), strict=True)
    answered = [found[crop_id] for crop_id in rows["crop_id"]]
    columns = {
        "path": [one.path for _, one in answered],
        "answer": [one.answer for _, one in answered],
        "probabilities": [list(one.level_probabilities) for _, one in answered],
        "taxonomy": [one.taxonomy for _, one in answered],
        "model_path": [path for (path, _), _ in answered],
        "model_probabilities": [levels for (_, levels), _ in answered],
        "content": [fingerprint(*one) for _, one in answered],
    }
    columns |= {name: rows[name].tolist() for name in ("crop_id", "model", "picture", "source")}
    return pa.table(columns, schema=COLUMNS)


def _predicted(
    crop_ids: list[str], categorizer: Categorizer, retelling: Retelling, crops: Path
) -> list[tuple[ByModel, PathAnswer]]:
    images = CropImages(crops, crop_ids, categorizer.settings.side_px, keep=False)
    model = categorizer.settings.answers
    found = categorizer.probabilities(model, categorizer.scores(model, images))
    own = answers(categorizer.taxonomy, found, categorizer.settings.sure)
    told = own if retelling.same else retelling.predicted(found)
    said = [(one.path, list(one.level_probabilities)) for one in own]
    return list(zip(said, told, strict=True))
