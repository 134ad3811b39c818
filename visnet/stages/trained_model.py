"""trained_model: the embedding network of a zoo entry, learnt from the triplets."""

import contextlib
import dataclasses
import hashlib
import resource
import shutil
import time
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import Field
from torch import nn

from visnet import training, zoo
from visnet.embedding.crop_dataset import CropImages
from visnet.pipeline.bounds import BATCH_MAX, EPOCHS_MAX, LR_MAX, SIDES_PX
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Frozen, Report, Seed, Workers
from visnet.storage import atomic
from visnet.storage.fingerprints import fingerprint
from visnet.tracking import registry
from visnet.zoo import weights

METRICS = ("training_s",)
MEASURED = ("train_loss", "train_triplet_accuracy", "validation_loss", "validation_triplet_accuracy", "validation_mrr")
FITTED_AT_ONCE = 16  # photos
INPUTS, CHECKPOINTS, ROUNDS = "inputs", "checkpoints", "rounds"
RESUMES = (INPUTS, CHECKPOINTS)  # what a killed run needs to go on, and nobody else


class Params(Frozen):
    """Which zoo entry, and what this training changes of it; null leaves the entry's own value.

    version: above 0, nothing is trained: the weights are those of this registered version. precision "auto" is bf16 on
    a GPU and, on a CPU with instructions for it, for the frozen layers; a Xeon with AMX learns twice as fast in bf16.
    devices: GPUs that train together, on this host or, started by torchrun, on several.
    interpolate: end between the pretrained and the learnt weights, as far as the validation allows: for photos of other
    places than those learnt from.
    """

    config: str = "mildnet_small"
    side_px: int | None = Field(None, ge=SIDES_PX[0], le=SIDES_PX[1])
    epochs: int | None = Field(None, ge=1, le=EPOCHS_MAX)
    batch_triplets: int | None = Field(None, ge=1, le=BATCH_MAX)
    lr: float | None = Field(None, gt=0, le=LR_MAX)
    weights: str | None = None
    patience: int = Field(10, ge=0, le=EPOCHS_MAX)
    interpolate: bool = False
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False
    devices: int = Field(1, ge=1, le=1024)
    workers: Workers = 0
    seed: Seed = 1
    version: int = Field(0, ge=0, le=2**31 - 1)


def build(crops: Path, triplets: Path, *, out: Path, params: Params, log: Log) -> Report:
    """Train, or go on where a killed training stopped; write model.safetensors, model.toml and the mined rounds."""
    if params.version:
        return _taken(params, out, log)
    _forget_peak()
    entry = changed(_entry(params.config), params)
    path = crops / "crops.lance"
    parts = {split: pq.read_table(triplets / f"{split}.parquet").to_pandas() for split in ("train", "validation")}
    photos = pq.read_table(triplets / "photos.parquet").to_pandas().set_index("crop_id")
    used = set().union(*[set(frame[c]) for frame in parts.values() for c in ("q", "p", "n")])
    if entry.batches.products:
        used |= set(photos.index[photos["train"]])
    photos = photos[photos.index.isin(used)]
    numbered = {
        split: np.stack([photos.index.get_indexer(frame[c].astype(str)) for c in ("q", "p", "n")], axis=1)
        for split, frame in parts.items()
    }
    inputs = [_sha256(triplets / f"{name}.parquet") for name in (*parts, "photos")]
    _keep_or_clear(out, fingerprint(entry, params, *inputs))

    model = zoo.build_model(entry, seed=params.seed)
    size = sum(p.numel() for p in model.parameters())
    log.say(f"  {entry.name}: {size:,} parameters, {len(photos)} photos, {len(numbered['train'])} triplets")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return _fitted(model, entry, photos[photos["train"]].index.tolist(), path, out, params, log)
    data = training.TripletSet(
        CropImages(path, photos.index.tolist(), entry.side_px),
        numbered["train"],
        numbered["validation"],
        labels=pd.factorize(photos["label"])[0],
        pool=np.flatnonzero(photos["train"]),
        street=photos["street"].to_numpy(),
    )
    options = training.Options.of(
        entry,
        seed=params.seed,
        patience=params.patience,
        interpolate=params.interpolate,
        precision=params.precision,
        compile=params.compile,
        devices=params.devices,
        workers=params.workers,
    )
    task = training.EmbeddingTask.of(entry, model, data, seed=params.seed, rounds_dir=out / ROUNDS)
    fitted = training.fit(task, options, out / CHECKPOINTS, log)
    _name_rounds(out / ROUNDS, photos.index)
    made_by = weights.save(fitted.model, entry.toml(), out)
    return {
        "config": entry.name,
        "parameters": size,
        "side_px": entry.side_px,
        "dimensions": getattr(model, "dimensions", None),
        "photos": len(photos),
        "train_triplets": len(numbered["train"]),
        "epochs": fitted.epochs,
        "best_epoch": fitted.best_epoch,
        "stopped_early": fitted.stopped_early,
        "interpolation": fitted.interpolation,
        "resumed_from_epoch": fitted.resumed_from_epoch,
        **{name: fitted.metrics.get(name) for name in MEASURED},
        "training_s": round(fitted.wall_s, 3),
        "images_per_s": round(fitted.images_per_s, 1),
        "trained_photos": fitted.photos,
        "peak_memory_mib": _peak_memory_mib(),
        "digest": made_by[:32],
    }


def _entry(name: str) -> zoo.Entry:
    """Read the zoo entry that the parameters name; what is wrong is said of them."""
    try:
        return zoo.entry(name)
    except ValueError as error:
        raise ValueError(f"[trained_model] config: {error}") from None


def _fitted(
    model: nn.Module, entry: zoo.Entry, crop_ids: list[str], table: Path, out: Path, params: Params, log: Log
) -> Report:
    """Fit what a frozen model has instead of learning: seconds, and neither triplets nor labels."""
    begun_s = time.monotonic()
    photos = 0
    if getattr(model, "fitted", False):
        images = CropImages(table, crop_ids, entry.side_px, keep=False)
        photos = training.fit_projection(
            model, images, seed=params.seed, batch=FITTED_AT_ONCE, workers=params.workers, log=log
        )
    log.curve(0, {})  # there is none, and DVC wants its file
    made_by = weights.save(model, entry.toml(), out)
    return {
        "config": entry.name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "side_px": entry.side_px,
        "dimensions": getattr(model, "dimensions", None),
        "photos": photos,
        "training_s": round(time.monotonic() - begun_s, 3),
        "digest": made_by[:32],
    }


def changed(entry: zoo.Entry, params: Params) -> zoo.Entry:
    """Lay the parameters that are not null over the entry's own; `ValueError` names what is out of bounds."""
    given = {name: getattr(params, name) for name in ("side_px", "epochs", "weights")}
    try:
        entry = dataclasses.replace(entry, **{name: value for name, value in given.items() if value is not None})
        if params.batch_triplets is not None:
            if entry.batches.products:
                raise ValueError(f"batch_triplets: {entry.name} has batches of products; leave it out")
            entry = dataclasses.replace(entry, batches=zoo.Batches(triplets=params.batch_triplets))
        if params.lr is not None:
            entry = dataclasses.replace(entry, optimizer=dataclasses.replace(entry.optimizer, lr=params.lr))
        if params.interpolate and entry.weights == "none":
            raise ValueError(
                f"interpolate: {entry.name} begins with no pretrained weights; set weights, or leave it out"
            )
    except ValueError as error:
        raise ValueError(f"params.toml: [trained_model] {error}") from None
    return entry


def _taken(params: Params, out: Path, log: Log) -> Report:
    """Take the weights of a registered version instead of training; a training that was stopped stays until then."""
    taken = out / "taken"
    shutil.rmtree(taken, ignore_errors=True)
    try:
        told = registry.take(params.version, taken)
    except ValueError as error:
        shutil.rmtree(taken, ignore_errors=True)
        raise ValueError(f"params.toml: [trained_model] version: {error}") from None
    _clear(out, but=taken.name)
    for path in list(taken.iterdir()):
        atomic.move(path, out / path.name)
    taken.rmdir()
    for epoch, values in (registry.curve(str(told["mlflow_run_id"])) or {0: {}}).items():
        log.curve(epoch, values)
    model, entry = weights.load(out)
    return {
        **told,
        "config": entry.name,
        "version": params.version,
        "parameters": sum(p.numel() for p in model.parameters()),
        "side_px": entry.side_px,
        "dimensions": getattr(model, "dimensions", None),
        "digest": weights.digest(model.state_dict())[:32],
    }


def _name_rounds(folder: Path, crop_ids: pd.Index) -> None:
    """Turn the mined triplets from rows into crop ids, one Parquet file a round."""
    for path in sorted(folder.glob("round-*.npy")):
        q, p, n = np.load(path, allow_pickle=False).T
        table = pa.table({"q": crop_ids[q], "p": crop_ids[p], "n": crop_ids[n]})
        pq.write_table(table, path.with_suffix(".parquet"))
        path.unlink()


def _forget_peak() -> None:
    """Begin to measure the most memory held; a process may train several models, one after the other."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):  # only Linux has it
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def _peak_memory_mib() -> int:
    """Return the most memory that was held since the training began: of the GPU, where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() >> 20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _keep_or_clear(out: Path, inputs: str) -> None:
    """Throw away what a training on other inputs left behind."""
    mark = out / INPUTS
    if not mark.exists() or mark.read_text(encoding="utf-8") != inputs:
        _clear(out)
        mark.write_text(inputs, encoding="utf-8")


def _clear(folder: Path, but: str = "") -> None:
    for path in folder.iterdir():
        if path.name == but:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
