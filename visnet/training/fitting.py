"""Run a training from wherever its checkpoint stands."""

import contextlib
import hashlib
import logging
import os
import signal
import warnings
from collections.abc import Iterator, Sequence, Sized
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from visnet.embedding import Device
from visnet.log import SILENT, Log
from visnet.models.inputs import as_floats, photo_loader, stack
from visnet.models.state import digest
from visnet.training import checkpoint, rounds
from visnet.training.batches import EpochBatches, Plan, PlannedBatches, Rows
from visnet.training.checkpoint import Standing
from visnet.training.options import Fitted, Options
from visnet.training.plans import ByProduct, ByTriplet
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
    pool = np.unique(train) if pool is None else np.unique(pool).astype(np.int64)
    street = np.zeros(len(labels), np.int64) if street is None else np.asarray(street, np.int64)
    plan = _plan(train, pool, labels, street, options)
    if options.monitor == "validation_loss" and loss.on_given_triplets() is None:
        raise ValueError(
            f"monitor 'validation_loss': {loss.name} looks at a whole batch and has no value for one triplet; "
            "allowed is 'validation_triplet_accuracy'"
        )
    checkpoint_dir.mkdir(parents=True, exist_ok=True)
    hashed = [train, validation, labels, *([pool, street] if options.batches.products else [])]
    fingerprint = _fingerprint(model, images, hashed, options, loss, augment)
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
        batches = PlannedBatches(images, labels, plan, seed=options.seed)
        with torch.random.fork_rng(devices=[]):
            _run(
                model, batches, train, validation, options, loss, augment, standing, kept,
                checkpoint_dir, rounds_dir or checkpoint_dir, fingerprint, log,
            )  # fmt: skip
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


def _plan(train: Rows, pool: Rows, labels: Rows, street: Rows, options: Options) -> Plan:
    asked = options.batches
    if asked.products:
        return ByProduct(pool, labels, street, products=asked.products, photos=asked.photos, seed=options.seed)
    return ByTriplet(train, per_batch=asked.triplets, seed=options.seed)


def _run(
    model: nn.Module,
    batches: PlannedBatches,
    train: Rows,
    validation: Rows,
    options: Options,
    loss: Loss,
    augment: Augment,
    standing: Standing,
    kept: dict[str, Any] | None,
    folder: Path,
    rounds_dir: Path,
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
    rank = int(os.environ.get("LOCAL_RANK", "0")) if options.devices > 1 else 0  # Lightning's word to its processes
    epochs = EpochBatches(
        batches, epoch=standing.epoch, number=standing.batch, workers=options.workers, pin_memory=on_gpu,
        rank=rank, ranks=options.devices,
    )  # fmt: skip
    photos = np.unique(validation).tolist()
    at_once = 2 * (options.batches.triplets or options.batches.products * options.batches.photos)
    read = photo_loader(batches.images, photos, batch=at_once, workers=options.workers, pin_memory=on_gpu)
    dimensions = _dimensions(model, batches.images)
    if options.channels_last:
        model.to(memory_format=torch.channels_last)

    def before_epoch() -> None:
        if not (every := options.rounds.every_epochs) or (number := standing.epoch // every) == 0:
            return
        path = rounds_dir / f"round-{number:03d}.npy"
        if standing.epoch % every == 0 and epochs.number == 0:
            rng = np.random.default_rng([options.seed, number, 17])
            device: Device = "cuda" if on_gpu else "cpu"
            found = rounds.mine(
                model, batches.images, train, batches.labels, options.rounds, rng,
                batch=at_once, device=device, workers=options.workers, log=log,
            )  # fmt: skip
            log.say(f"  round {number}: {found.mined} negatives mined, {found.wrong} of them nearer than the positive")
            if rank == 0:
                rounds_dir.mkdir(parents=True, exist_ok=True)
                rounds.save(path, found.triplets)
            triplets = found.triplets
        elif not path.is_file():
            raise ValueError(f"{path}: no such file, though the training stands in that round; delete {folder}")
        else:
            triplets = np.load(path, allow_pickle=False)
        epochs.replan(ByTriplet(triplets, per_batch=options.batches.triplets, seed=options.seed))

    total, done = (options.epochs * epochs.per_epoch, standing.epoch * epochs.per_epoch + standing.batch)
    signals = StopSignals()
    with _quiet(), log.progress("training", total, done=done, unit="step") as progress:
        loop = Loop(
            model,
            epochs,
            validation,
            batches.labels,
            options=options,
            loss=loss,
            amounts=augment,
            dimensions=dimensions,
            standing=standing,
            kept=kept,
            folder=folder,
            fingerprint=fingerprint,
            before_epoch=before_epoch,
            log=log,
            progress=progress,
            signals=signals,
        )
        trainer = L.Trainer(
            accelerator="gpu" if on_gpu else "cpu",
            devices=options.devices,
            strategy="ddp" if options.devices > 1 else "auto",
            use_distributed_sampler=False,
            precision="bf16-mixed" if half else "32-true",
            max_epochs=options.epochs - standing.epoch,
            reload_dataloaders_every_n_epochs=1,  # the first epoch may be the rest of one
            accumulate_grad_batches=options.optimizer.accumulate,
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
    if rank:
        raise SystemExit(0)  # the first process has the weights, and the rest of the work


def _dimensions(model: nn.Module, images: Dataset[Tensor]) -> int:
    """Count the dimensions of a model's embeddings, by embedding two photos; nothing of the model changes."""
    training = model.training
    with torch.inference_mode():
        embeddings = model.eval()(as_floats(stack(images, [0, 0])))
    model.train(training)
    return int(embeddings.shape[1])


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
