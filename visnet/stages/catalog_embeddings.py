"""catalog_embeddings: one vector per shop crop, and per street crop of the test split, all by one model."""

import hashlib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import torch

from visnet import embedding, tables, weights
from visnet.crop_images import CropImages
from visnet.log import Log
from visnet.stage import Frozen, Report

IN_PLACE = True
COLUMNS = ["crop_id", "product_id", "category", "side", "colour"]


class Params(Frozen):
    """How many crops at a time."""

    batch: int = 64
    commit_every: int = 512
    workers: int = 0


def build(crops: Path, trained_model: Path, *, out: Path, params: Params, log: Log) -> Report:
    """Bring the embeddings up to the crops and the model: embed what is new, changed, or made by another model."""
    model, entry = weights.load(trained_model)
    made_by = weights.digest(model.state_dict())
    path = crops / "crops.lance"
    wanted = "lost IS NULL AND (side = 'shop' OR split = 'test')"
    frame = tables.read(path, [*COLUMNS, "content"], wanted).to_pandas().sort_values("crop_id", ignore_index=True)
    frame["source"] = [tables.fingerprint(content, made_by, entry.side_px) for content in frame["content"]]
    embeddings = out / "embeddings.lance"
    if tables.is_table(embeddings) and _dimensions(embeddings) != model.dimensions:
        tables.drop(embeddings)  # vectors of two sizes have no table in common
    change = tables.compare(embeddings, "crop_id", dict(zip(frame["crop_id"], frame["source"], strict=True)))
    # Gone rows first: a search between two commits may lack new products but never shows one that was removed.
    tables.delete(embeddings, "crop_id", change.gone)
    todo = frame[frame["crop_id"].isin(set(change.todo))].reset_index(drop=True)
    images = CropImages(path, todo["crop_id"].tolist(), entry.side_px)
    with log.progress("embeddings", len(frame), done=change.same, unit="crop") as progress:
        held: list[torch.Tensor] = []
        first = 0
        for indices, vectors in embedding.embed(model, images, batch=params.batch, workers=params.workers):
            held.append(vectors)
            last = int(indices[-1]) + 1
            if last - first >= params.commit_every or last == len(todo):
                rows = todo.iloc[first:last].assign(model=made_by)
                tables.put(embeddings, "crop_id", _rows(rows, torch.cat(held)), change.changed)
                held, first = [], last
            progress.advance(len(indices))
    return {
        "embeddings": len(frame),
        "dimensions": _dimensions(embeddings),
        "added": len(change.new),
        "changed": len(change.changed),
        "removed": len(change.gone),
        "unchanged": change.same,
        "model": made_by,
        "digest": tables.digest(embeddings, "crop_id"),
    }


def _dimensions(embeddings: Path) -> int:
    return int(tables.opened(embeddings).schema.field("embedding").type.list_size)


def _rows(rows: pd.DataFrame, vectors: torch.Tensor) -> pa.Table:
    flat = vectors.numpy().ravel()
    columns = {name: pa.array(rows[name].tolist(), pa.string()) for name in [*COLUMNS, "model"]}
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), vectors.shape[1])
    columns["source"] = pa.array(rows["source"].tolist(), pa.string())
    content = [hashlib.sha256(vector.numpy().tobytes()).hexdigest()[:32] for vector in vectors]
    columns["content"] = pa.array(content, pa.string())
    return pa.table(columns)
