"""Run Lightning's trainer over a training, from wherever it stands, quietly and until a signal."""

import contextlib
import logging
import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from visnet.models.inputs import as_floats, photo_loader, stack
from visnet.pipeline.log import Log
from visnet.training import rounds
from visnet.training.batches import EpochBatches, PlannedBatches, Rows
from visnet.training.checkpoint import Standing
from visnet.training.options import Options
from visnet.training.plans import ByTriplet
from visnet.training.signals import Interrupted, StopSignals
from visnet.zoo import Augment, Loss


def train_on(
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
    """Run Lightning's loop from where `standing` is to the end, a signal, or a loss that is no number."""
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
        if not (number := rounds.round_of(standing.epoch, options.rounds)):
            return
        begins = standing.epoch % options.rounds.every_epochs == 0 and epochs.number == 0
        path = rounds_dir / f"round-{number:03d}.npy"
        if begins:
            found = rounds.mine(
                model, batches.images, train, batches.labels, options.rounds,
                np.random.default_rng([options.seed, number, 17]),
                batch=at_once, device="cuda" if on_gpu else "cpu", workers=options.workers, log=log,
            )  # fmt: skip
            log.say(f"  round {number}: {found.mined} negatives mined, {found.wrong} of them nearer than the positive")
            if rank == 0:
                rounds.save(path, found.triplets)
        triplets = found.triplets if begins else rounds.load(path, folder)
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
        except SystemExit as left:
            if isinstance(left.__context__, KeyboardInterrupt):  # as which Lightning hides a second signal
                raise KeyboardInterrupt from None
            raise
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
