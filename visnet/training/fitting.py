"""Run a training from wherever its checkpoint stands."""

import contextlib
import hashlib
import logging
import signal
import warnings
from collections.abc import Iterator, Sized
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from visnet.log import SILENT, Log
from visnet.models.inputs import photo_loader, stack
from visnet.models.state import digest
from visnet.training import checkpoint
from visnet.training.batches import EpochBatches, Rows, TripletBatches
from visnet.training.checkpoint import Standing
from visnet.training.options import Fitted, Options
from visnet.training.signals import Interrupted, StopSignals
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
    log: Log = SILENT,
) -> Fitted:
    """Train `model` in place and give it back with its best weights, in eval mode on the CPU.

    `images` is a map-style dataset of N uint8 RGB photos [3, S, S]; `train` [T, 3] and `validation` [V, 3] int64 are
    its rows as (query, positive, negative), where V may be 0; `labels` [N] int64 is the product of each photo.
    A run that was killed goes on from `checkpoint_dir` when it is called again with the same model, triplets and
    options; on a CPU to the same weights, bit for bit. SIGINT and SIGTERM leave a checkpoint and are then raised again.
    `ValueError` for triplets that are no such rows, and for a loss that is not finite, naming epoch and step.
    """
    train, validation, labels = (np.ascontiguousarray(rows, dtype=np.int64) for rows in (train, validation, labels))
    _check(images, train, validation, labels)
    checkpoint_dir.mkdir(parents=True, exist_ok=True)
    fingerprint = _fingerprint(model, images, train, validation, labels, options, loss, augment)
    kept, why_not = checkpoint.load(checkpoint_dir, fingerprint)
    standing = Standing() if kept is None else cast(Standing, kept["standing"])
    if kept is None:
        if why_not:
            log.say(why_not)
    else:
        model.load_state_dict(kept["model"])
        log.say(f"training goes on after {standing.epoch} epochs and {standing.batch} steps")
    resumed_from_epoch = None if kept is None else standing.epoch
    for epoch, row in enumerate(standing.curve):
        log.curve(epoch + 1, row)  # said by a run that died, and lost with it
    if not standing.finished:
        batches = TripletBatches(
            images, train, labels, batch_triplets=options.batch_triplets, seed=options.seed, amounts=augment
        )
        optimizer_state = None if kept is None else kept["optimizer"]
        with torch.random.fork_rng(devices=[]):
            _run(model, batches, validation, options, loss, standing, optimizer_state, checkpoint_dir, fingerprint, log)
    model.cpu().load_state_dict(checkpoint.load_best(checkpoint_dir, standing.best_epoch))
    best = standing.best
    return Fitted(
        model=model.eval(),
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


def _run(
    model: nn.Module,
    batches: TripletBatches,
    validation: Rows,
    options: Options,
    loss: Loss,
    standing: Standing,
    optimizer_state: dict[str, Any] | None,
    folder: Path,
    fingerprint: str,
    log: Log,
) -> None:
    # Lightning takes seconds to import, and the loader's workers, which import this package, need none of it.
    import lightning as L

    from visnet.training.loop import Loop

    on_gpu = options.device != "cpu" and torch.cuda.is_available()
    if options.device == "cuda" and not on_gpu:
        raise ValueError("device 'cuda': this machine has no usable CUDA GPU; allowed are 'auto' and 'cpu'")
    half = options.precision == "bf16" or (options.precision == "auto" and on_gpu)
    epochs = EpochBatches(
        batches, epoch=standing.epoch, number=standing.batch, workers=options.workers, pin_memory=on_gpu
    )
    photos = np.unique(validation).tolist()
    read = photo_loader(
        batches.images, photos, batch=2 * options.batch_triplets, workers=options.workers, pin_memory=on_gpu
    )
    if options.channels_last:
        model.to(memory_format=torch.channels_last)
    total, done = (options.epochs * batches.batches, standing.epoch * batches.batches + standing.batch)
    signals = StopSignals()
    with _quiet(), log.progress("training", total, done=done, unit="step") as progress:
        loop = Loop(
            model,
            epochs,
            validation,
            batches.labels,
            options=options,
            loss=loss,
            standing=standing,
            optimizer_state=optimizer_state,
            folder=folder,
            fingerprint=fingerprint,
            log=log,
            progress=progress,
            signals=signals,
        )
        trainer = L.Trainer(
            accelerator="gpu" if on_gpu else "cpu",
            devices=1,
            precision="bf16-mixed" if half else "32-true",
            max_epochs=options.epochs - standing.epoch,
            reload_dataloaders_every_n_epochs=1,  # the first epoch may be the rest of one
            gradient_clip_val=options.optimizer.clip_norm or None,
            limit_val_batches=1.0 if photos else 0,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        signals.remember()
        try:
            trainer.fit(loop, val_dataloaders=read)
        except Interrupted:
            signals.release()
            signal.raise_signal(signals.asked or signal.SIGINT)
            raise KeyboardInterrupt from None  # a handler that only took note: there is still no model to give back
        finally:
            signals.release()
            if options.channels_last:
                model.to(memory_format=torch.contiguous_format)


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
    train: Rows,
    validation: Rows,
    labels: Rows,
    options: Options,
    loss: Loss,
    augment: Augment,
) -> str:
    hashed = hashlib.sha256(digest(model.state_dict()).encode())
    settings = {**asdict(options), "loss": asdict(loss), "augment": asdict(augment)}
    for name in ("device", "workers", "checkpoint_every_s"):
        del settings[name]
    hashed.update(repr(sorted(settings.items())).encode())
    for rows in (train, validation, labels):
        hashed.update(f"{rows.shape}".encode() + rows.tobytes())
    some = np.unique(np.linspace(0, len(labels) - 1, 8).astype(np.int64)).tolist()  # not all: there may be a million
    for row in some:
        hashed.update(stack(images, [row]).numpy().tobytes())
    return hashed.hexdigest()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's own words (devices, tips, advice on workers) from a terminal that has one bar."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
