"""catalog_embeddings: one vector per shop crop that is shown, and per street crop of the test split, by one model."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast, get_args

import pandas as pd
import pyarrow as pa
import torch
from pydantic import Field
from torch import nn

from visnet.embedding import embed
from visnet.embedding.crop_dataset import CropImages
from visnet.embedding.model_id import model_id
from visnet.embedding.spread import Batching, embed_on
from visnet.engines import Engine, cluster
from visnet.pipeline.budget import BATCH_BYTES
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Frozen, Report, Workers
from visnet.quality.shown_crops import shown_crops
from visnet.storage import atomic, repair
from visnet.storage.fingerprints import fingerprint, fingerprints
from visnet.storage.table import Table, wanted_rows
from visnet.zoo import weights

IN_PLACE = True
TABLE = "embeddings.lance"
COLUMNS = ["crop_id", "product_id", "category", "side", "colour"]


class Params(Frozen):
    """How many crops at a time, in which precision, and where.

    Vectors of another precision are by another model. "auto" keeps that of the vectors which stand there by these
    weights, whatever machine goes on; for new weights it is bf16 on a GPU, and on a CPU with AMX but for networks with
    few weights or thin convolutions (EfficientNet, MobileNet).
    """

    batch: int = Field(16, ge=1, le=65_536)
    commit_every: int = Field(2048, ge=1, le=1_000_000)
    workers: Workers = 0
    precision: embed.Precision = "auto"
    engine: Engine = "local"


def build(crops: Path, photo_quality: Path, trained_model: Path, *, out: Path, params: Params, log: Log) -> Report:
    """Bring the embeddings up to the crops and the model: embed what is new, changed, or made by another model.

    Another model's vectors are made in `next.lance`, and take the place of the others when all of them are there.
    """
    model, entry = weights.load(trained_model)
    served, digest = Table(out / TABLE, "crop_id"), weights.digest(model.state_dict())
    precision = _precision(params.precision, model, digest, served)
    made_by = model_id(digest, precision)
    path = crops / "crops.lance"
    table = shown_crops(path, photo_quality, [*COLUMNS, "content"]).sort_by("crop_id")
    frame = table.to_pandas().assign(source=sources(table["content"], made_by, entry.side_px))
    wanted = wanted_rows(frame["crop_id"], frame["source"])
    embeddings = _table(out, wanted)
    before = served.compare(wanted)
    change = before if embeddings == served else embeddings.compare(wanted)
    if embeddings != served:
        log.say(f"  no vector stays, as with another model: all {len(frame)} crops are embedded beside those served")
    # Gone rows first: a search between two commits may lack new products but never shows one that was removed.
    embeddings.delete(change.gone)
    todo = frame[frame["crop_id"].isin(set(change.todo))].reset_index(drop=True)
    images = CropImages(path, todo["crop_id"].tolist(), entry.side_px, keep=False)
    with contextlib.ExitStack() as stack:
        embedded = stack.enter_context(_embedded(trained_model, model, images, params, precision, log))
        progress = stack.enter_context(log.progress("embeddings", len(frame), done=change.same, unit="crop"))
        held: list[torch.Tensor] = []
        first = 0
        for indices, vectors in embedded:
            held.append(vectors)
            last = int(indices[-1]) + 1
            full = last - first >= params.commit_every or sum(some.nbytes for some in held) >= BATCH_BYTES
            if full or last == len(todo):
                rows = todo.iloc[first:last].assign(model=made_by)
                embeddings.put(_rows(rows, torch.cat(held)), change.changed)
                held, first = [], last
            progress.advance(len(indices))
    if embeddings != served:
        if repair.repair(out):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(embeddings.path.absolute()))
        atomic.replace(served.path, embeddings.path)
    return {
        "embeddings": len(frame),
        "dimensions": int(served.opened().schema.field("embedding").type.list_size),
        "added": len(before.new),
        "changed": len(before.changed),
        "removed": len(before.gone),
        "unchanged": before.same,
        "model": made_by,
        "precision": precision,
        "digest": served.digest(),
    }


@contextlib.contextmanager
def _embedded(
    trained_model: Path, model: nn.Module, images: CropImages, params: Params, precision: embed.Computed, log: Log
) -> Iterator[Iterator[tuple[torch.Tensor, torch.Tensor]]]:
    """Give what `embed` yields, made here or on a cluster, which is connected for as long as there is work for it."""
    if params.engine == "local" or not len(images):
        yield embed.embed(model, images, batch=params.batch, workers=params.workers, precision=precision)
        return
    with cluster.connected(log) as nodes:
        embedded = embed_on(nodes, trained_model, model, images, Batching(params.batch, precision, params.commit_every))
        with contextlib.closing(embedded):
            yield embedded


def sources(contents: pa.Array | pa.ChunkedArray, made_by: str, side_px: int) -> list[str]:
    """Return what each crop's vector is made from: its content, and the model (`model_id`) with its input's size."""
    model = pa.repeat(fingerprint(made_by, side_px), len(contents))
    return fingerprints(contents, model)


def _precision(asked: embed.Precision, model: nn.Module, digest: str, served: Table) -> embed.Computed:
    """Return the precision asked for; for "auto" that of the vectors that stand by these weights, if there are some."""
    if asked == "auto" and served.exists():
        made_by = set(served.read(["model"])["model"].unique().to_pylist())
        for known in get_args(embed.Computed):
            if made_by == {model_id(digest, known)}:
                return cast(embed.Computed, known)
    return embed.chosen_precision(asked, embed.chosen_device("auto"), model)


def _table(out: Path, wanted: pa.Table) -> Table:
    """Return the table to be written, after clearing up what a killed run left.

    That is the one that is served, unless not one of its vectors stays: then it is of another model, and goes on being
    read until `next.lance` is whole.
    """
    served, coming = (Table(out / f"{name}.lance", "crop_id") for name in ("embeddings", "next"))
    atomic.clean(out)
    if coming.exists() and not served.exists():
        atomic.move(coming.path, served.path)  # killed in the middle of a `replace`: it was whole
    in_place = not served.exists() or not served.count() or served.compare(wanted).same > 0
    if coming.path.exists() and (in_place or not coming.exists() or coming.compare(wanted).same == 0):
        atomic.remove(coming.path)  # of a model that is no longer asked for, or what a kill left of it
    return served if in_place else coming


def _rows(rows: pd.DataFrame, vectors: torch.Tensor) -> pa.Table:
    flat = vectors.numpy().ravel()
    columns = {name: pa.array(rows[name].tolist(), pa.string()) for name in [*COLUMNS, "model"]}
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), vectors.shape[1])
    columns["source"] = pa.array(rows["source"].tolist(), pa.string())
    content = [hashlib.sha256(vector.numpy().tobytes()).hexdigest()[:32] for vector in vectors]
    columns["content"] = pa.array(content, pa.string())
    return pa.table(columns)
