"""Run a training from wherever its checkpoint stands."""

import hashlib
from collections.abc import Sequence, Sized
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from visnet.models.inputs import stack
from visnet.models.state import digest
from visnet.pipeline.log import SILENT, Log
from visnet.training import checkpoint
from visnet.training.batches import Plan, Rows
from visnet.training.checkpoint import Standing
from visnet.training.job import Job
from visnet.training.options import Fitted, Options
from visnet.training.plans import ByProduct, ByTriplet
from visnet.training.trainer import train_on
from visnet.zoo import Augment, Loss


def fit(
    model: nn.Module,
    images: Dataset[Tensor],
    train: Rows,
    validation: Rows,
    *,
    labels: Rows,
    options: Options,
    loss: Loss,
    augment: Augment,
    checkpoint_dir: Path,
    pool: Rows | None = None,
    street: Rows | None = None,
    rounds_dir: Path | None = None,
    log: Log = SILENT,
) -> Fitted:
    """Train `model` in place and give it back with its best weights, in eval mode on the CPU.

    `images` is a map-style dataset of N uint8 RGB photos [3, S, S] (with `names`, where errors shall name them);
    `train` [T, 3] and `validation` [V, 3] int64 are its rows as (query, positive, negative), where V may be 0; `labels`
    [N] int64 is the product of each photo. Batches of products draw from the rows `pool` [M] (those of `train` where
    left out), and take both sides where `street` [N], true for street photos, says which is which. Rounds of mined
    negatives are kept in `rounds_dir` (by default with the checkpoints).
    A run that was killed goes on from `checkpoint_dir` when it is called again with the same model, triplets and
    options; on a CPU to the same weights, bit for bit. SIGINT and SIGTERM leave a checkpoint and are then raised again.
    `ValueError` for triplets that are no such rows, and for a loss that is not finite, naming epoch, step and photos.
    Where `options.devices` is above 1, this returns in the first process only; the others exit.
    """
    train, validation, labels = (np.ascontiguousarray(rows, dtype=np.int64) for rows in (train, validation, labels))
    _check(images, train, validation, labels)
    if options.monitor == "validation_loss" and loss.on_given_triplets() is None:
        raise ValueError(
            f"monitor 'validation_loss': {loss.name} looks at a whole batch and has no value for one triplet; "
            "allowed is 'validation_triplet_accuracy'"
        )
    pool = np.unique(train) if pool is None else np.unique(pool).astype(np.int64)
    street = np.zeros(len(labels), np.int64) if street is None else np.asarray(street, np.int64)
    checkpoint_dir.mkdir(parents=True, exist_ok=True)
    hashed = [train, validation, labels, *([pool, street] if options.batches.products else [])]
    job = Job(
        model=model, images=images, train=train, validation=validation, labels=labels,
        plan=_plan(train, pool, labels, street, options), options=options, loss=loss, augment=augment,
        folder=checkpoint_dir, rounds_dir=rounds_dir or checkpoint_dir, log=log,
        fingerprint=_fingerprint(model, images, hashed, options, loss, augment),
    )  # fmt: skip
    standing, kept = _resumed(job)
    resumed_from_epoch = None if kept is None else standing.epoch
    if not standing.finished:
        with torch.random.fork_rng(devices=[]):
            train_on(job, standing, kept)
    model.cpu().load_state_dict(checkpoint.load_best(checkpoint_dir, standing.best_epoch))
    return _fitted(model.eval(), standing, resumed_from_epoch)


def _resumed(job: Job) -> tuple[Standing, dict[str, Any] | None]:
    """Return how far a training has come, and the rest of its checkpoint: None where it begins."""
    kept, why_not = checkpoint.load(job.folder, job.fingerprint)
    if kept is None:
        if why_not:
            job.log.say(why_not)
        return Standing(), None
    standing = cast(Standing, kept["standing"])
    job.model.load_state_dict(kept["model"])
    job.log.say(f"training goes on after {standing.epoch} epochs and {standing.batch} steps")
    for epoch, row in enumerate(standing.curve):
        job.log.curve(epoch + 1, row)  # written by a run that died, and lost with it
    return standing, kept


def _fitted(model: nn.Module, standing: Standing, resumed_from_epoch: int | None) -> Fitted:
    best = standing.best
    return Fitted(
        model=model,
        epochs=standing.epoch,
        best_epoch=standing.best_epoch,
        stopped_early=standing.stopped_early,
        resumed_from_epoch=resumed_from_epoch,
        train_loss=best["train_loss"],
        train_triplet_accuracy=best["train_triplet_accuracy"],
        validation_loss=best.get("validation_loss"),
        validation_triplet_accuracy=best.get("validation_triplet_accuracy"),
        photos=standing.photos,
        wall_s=standing.wall_s,
        images_per_s=standing.photos / max(standing.training_s, 1e-9),
    )


def _plan(train: Rows, pool: Rows, labels: Rows, street: Rows, options: Options) -> Plan:
    asked = options.batches
    if asked.products:
        return ByProduct(pool, labels, street, products=asked.products, photos=asked.photos, seed=options.seed)
    return ByTriplet(train, per_batch=asked.triplets, seed=options.seed)


def _check(images: Dataset[Tensor], train: Rows, validation: Rows, labels: Rows) -> None:
    count = len(cast(Sized, images))
    if labels.shape != (count,):
        raise ValueError(f"labels are {list(labels.shape)}; must be [{count}], one product for each photo")
    if len(train) == 0:
        raise ValueError("there are no training triplets; at least 1 is needed")
    for name, rows in (("train", train), ("validation", validation)):
        if rows.size and (rows.ndim != 2 or rows.shape[1] != 3):
            raise ValueError(f"{name} triplets are {list(rows.shape)}; must be [T, 3]")
        if rows.size and not 0 <= rows.min() <= rows.max() < count:
            raise ValueError(f"{name} triplets name rows {rows.min()} to {rows.max()}; allowed are 0 to {count - 1}")


def _fingerprint(
    model: nn.Module,
    images: Dataset[Tensor],
    arrays: Sequence[Rows],
    options: Options,
    loss: Loss,
    augment: Augment,
) -> str:
    hashed = hashlib.sha256(digest(model.state_dict()).encode())
    settings = {**asdict(options), "loss": asdict(loss), "augment": asdict(augment)}
    for name in ("compile", "device", "workers", "checkpoint_every_s"):
        del settings[name]
    hashed.update(repr(sorted(settings.items())).encode())
    for rows in arrays:
        hashed.update(f"{rows.shape}".encode() + rows.tobytes())
    some = np.unique(
        np.linspace(0, len(cast(Sized, images)) - 1, 8).astype(np.int64)
    ).tolist()  # not all: there may be a million
    for row in some:
        hashed.update(stack(images, [row]).numpy().tobytes())
    return hashed.hexdigest()
