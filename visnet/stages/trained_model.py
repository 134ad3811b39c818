"""trained_model: the embedding network of a zoo entry, learnt from the triplets."""

import dataclasses
import hashlib
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import torch

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
    entry = zoo.entry(params.config)
    changes = {name: getattr(params, name) for name in ("side_px", "epochs", "batch_triplets", "weights")}
    entry = zoo.changed(entry, lr=params.lr, **changes)
    path = crops / "crops.lance"
    parts = {split: pq.read_table(triplets / f"{split}.parquet").to_pandas() for split in ("train", "validation")}
    crop_ids = sorted(set().union(*[set(frame[c]) for frame in parts.values() for c in ("q", "p", "n")]))
    products = tables.read(path, ["crop_id", "product_id"]).to_pandas().set_index("crop_id")["product_id"]
    labels = torch.from_numpy(pd.factorize(products.loc[crop_ids])[0].copy())
    number = pd.Series(range(len(crop_ids)), index=crop_ids)
    numbered = {
        split: torch.stack([torch.tensor(number.loc[frame[c].astype(str)].to_numpy()) for c in ("q", "p", "n")], dim=1)
        for split, frame in parts.items()
    }
    _keep_or_clear(out, tables.fingerprint(entry, params, *[_sha256(triplets / f"{s}.parquet") for s in parts]))

    torch.manual_seed(params.seed)
    model = zoo.build_model(entry, seed=params.seed)
    size = sum(p.numel() for p in model.parameters())
    log.say(f"  {entry.name}: {size:,} parameters, {len(crop_ids)} photos, {len(numbered['train'])} triplets")
    images = CropImages(path, crop_ids, entry.side_px)
    fitted = training.fit(
        model,
        images,
        numbered["train"],
        numbered["validation"],
        labels=labels,
        entry=entry,
        options=training.Options(seed=params.seed, patience=params.patience, workers=params.workers),
        checkpoint_dir=out / CHECKPOINTS,
        log=log,
    )
    weights.save(fitted.model, entry, out)
    shutil.rmtree(out / CHECKPOINTS)
    (out / INPUTS).unlink()
    return {
        "config": entry.name,
        "parameters": size,
        "side_px": entry.side_px,
        "photos": len(crop_ids),
        "train_triplets": len(numbered["train"]),
        **{k: v for k, v in dataclasses.asdict(fitted).items() if isinstance(v, (int, float, bool, str))},
        "digest": weights.digest(fitted.model.state_dict()),
    }


def _keep_or_clear(out: Path, inputs: str) -> None:
    """Throw away what a training on other inputs left behind."""
    mark = out / INPUTS
    if not mark.exists() or mark.read_text() != inputs:
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
        mark.write_text(inputs)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
