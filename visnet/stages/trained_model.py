"""trained_model: the embedding network of a zoo entry, learnt from the triplets."""

import dataclasses
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from visnet import tables, training, weights, zoo
from visnet.crop_images import CropImages
from visnet.log import Log
from visnet.stage import Frozen, Report

RESUMES = True  # what a killed run left in `out` is worth keeping
INPUTS, CHECKPOINTS = "inputs", "checkpoints"


class Params(Frozen):
    """Which zoo entry, and what this training changes of it; null leaves the entry's own value."""

    config: str = "mildnet_mobilenet"
    side_px: int | None = None
    epochs: int | None = None
    batch_triplets: int | None = None
    lr: float | None = None
    weights: str | None = None
    patience: int = 10
    workers: int = 0
    seed: int = 1


def build(crops: Path, triplets: Path, *, out: Path, params: Params, log: Log) -> Report:
    """Train, or go on where a killed training stopped; write model.safetensors and model.toml."""
    entry = _changed(zoo.entry(params.config), params)
    path = crops / "crops.lance"
    parts = {split: pq.read_table(triplets / f"{split}.parquet").to_pandas() for split in ("train", "validation")}
    crop_ids = sorted(set().union(*[set(frame[c]) for frame in parts.values() for c in ("q", "p", "n")]))
    products = tables.read(path, ["crop_id", "product_id"]).to_pandas().set_index("crop_id")["product_id"]
    labels = pd.factorize(products.loc[crop_ids])[0]
    number = pd.Index(crop_ids)
    numbered = {
        split: np.stack([number.get_indexer(frame[c].astype(str)) for c in ("q", "p", "n")], axis=1)
        for split, frame in parts.items()
    }
    _keep_or_clear(out, tables.fingerprint(entry, params, *[_sha256(triplets / f"{s}.parquet") for s in parts]))

    model = zoo.build_model(entry, seed=params.seed)
    size = sum(p.numel() for p in model.parameters())
    log.say(f"  {entry.name}: {size:,} parameters, {len(crop_ids)} photos, {len(numbered['train'])} triplets")
    fitted = training.fit(
        model,
        CropImages(path, crop_ids, entry.side_px),
        numbered["train"],
        numbered["validation"],
        labels=labels,
        options=training.Options.of(entry, seed=params.seed, patience=params.patience, workers=params.workers),
        loss=entry.loss,
        augment=entry.augment,
        checkpoint_dir=out / CHECKPOINTS,
        log=log,
    )
    made_by = weights.save(fitted.model, entry.toml(), out)
    shutil.rmtree(out / CHECKPOINTS)
    (out / INPUTS).unlink()
    return {
        "config": entry.name,
        "parameters": size,
        "side_px": entry.side_px,
        "photos": len(crop_ids),
        "train_triplets": len(numbered["train"]),
        "epochs": fitted.epochs,
        "best_epoch": fitted.best_epoch,
        "stopped_early": fitted.stopped_early,
        "resumed_from_epoch": fitted.resumed_from_epoch,
        "train_loss": fitted.train_loss,
        "train_triplet_accuracy": fitted.train_triplet_accuracy,
        "validation_loss": fitted.validation_loss,
        "validation_triplet_accuracy": fitted.validation_triplet_accuracy,
        "training_s": round(fitted.wall_s, 3),
        "images_per_s": round(fitted.images_per_s, 1),
        "digest": made_by[:32],
    }


def _changed(entry: zoo.Entry, params: Params) -> zoo.Entry:
    """Lay the parameters that are not null over the entry's own; `ValueError` names what is out of bounds."""
    said = {name: getattr(params, name) for name in ("side_px", "epochs", "batch_triplets", "weights")}
    try:
        entry = dataclasses.replace(entry, **{name: value for name, value in said.items() if value is not None})
        if params.lr is not None:
            entry = dataclasses.replace(entry, optimizer=dataclasses.replace(entry.optimizer, lr=params.lr))
    except ValueError as error:
        raise ValueError(f"params.toml: [trained_model] {error}") from None
    return entry


def _keep_or_clear(out: Path, inputs: str) -> None:
    """Throw away what a training on other inputs left behind."""
    mark = out / INPUTS
    if not mark.exists() or mark.read_text() != inputs:
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
        mark.write_text(inputs)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
