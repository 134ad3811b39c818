"""Run Lightning's trainer over a training, from wherever it stands, quietly and until a signal."""

import contextlib
import logging
import os
import signal
import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from visnet.models.inputs import as_floats, photo_loader, stack
from visnet.training import rounds
from visnet.training.batches import EpochBatches
from visnet.training.checkpoint import Standing
from visnet.training.job import Job
from visnet.training.plans import ByTriplet
from visnet.training.signals import Interrupted, StopSignals

if TYPE_CHECKING:
    from lightning import Trainer

    from visnet.training.loop import Loop


def train_on(job: Job, standing: Standing, kept: dict[str, Any] | None) -> None:
    """Run Lightning's loop from where `standing` is to the end, a signal, or a loss that is no number.

    `kept` is the checkpoint that `standing` is of, None where the training begins.
    """
    # Lightning takes seconds to import, and the loader's workers, which import this package, need none of it.
    from visnet.training.loop import Loop

    options, model = job.options, job.model
    on_gpu = options.device != "cpu" and torch.cuda.is_available()
    if options.device == "cuda" and not on_gpu:
        raise ValueError("device 'cuda': this machine has no usable CUDA GPU; allowed are 'auto' and 'cpu'")
    rank = int(os.environ.get("LOCAL_RANK", "0")) if options.devices > 1 else 0  # Lightning's word to its processes
    epochs = EpochBatches(
        job.batches, epoch=standing.epoch, number=standing.batch, workers=options.workers, pin_memory=on_gpu,
        rank=rank, ranks=options.devices,
    )  # fmt: skip
    photos = np.unique(job.validation).tolist()
    read = photo_loader(job.images, photos, batch=job.at_once, workers=options.workers, pin_memory=on_gpu)
    dimensions = _dimensions(model, job.images)
    if options.channels_last:
        model.to(memory_format=torch.channels_last)

    total, done = (options.epochs * epochs.per_epoch, standing.epoch * epochs.per_epoch + standing.batch)
    with _quiet(), job.log.progress("training", total, done=done, unit="step") as progress:
        loop = Loop(
            job,
            epochs,
            dimensions=dimensions,
            standing=standing,
            kept=kept,
            before_epoch=partial(_mine, job, epochs, standing, on_gpu=on_gpu),
            progress=progress,
            signals=StopSignals(),
        )
        trainer = _trainer(job, options.epochs - standing.epoch, on_gpu=on_gpu, validates=bool(photos))
        try:
            _until_stopped(trainer, loop, read)
        finally:
            if options.channels_last:
                model.to(memory_format=torch.contiguous_format)
    if rank:
        raise SystemExit(0)  # the first process has the weights, and the rest of the work


def _mine(job: Job, epochs: EpochBatches, standing: Standing, *, on_gpu: bool) -> None:
    """Bring the triplets of the round that the next epoch is of, mined where it begins."""
    options = job.options
    if not (number := rounds.round_of(standing.epoch, options.rounds)):
        return
    path = job.rounds_dir / f"round-{number:03d}.npy"
    if standing.epoch % options.rounds.every_epochs == 0 and epochs.number == 0:
        found = rounds.mine(
            job.model, job.images, job.train, job.labels, options.rounds,
            np.random.default_rng([options.seed, number, 17]),
            batch=job.at_once, device="cuda" if on_gpu else "cpu", workers=options.workers, log=job.log,
        )  # fmt: skip
        job.log.say(f"  round {number}: {found.mined} negatives mined, {found.wrong} of them nearer than the positive")
        if epochs.rank == 0:
            rounds.save(path, found.triplets)
        triplets = found.triplets
    else:
        triplets = rounds.load(path, job.folder)
    epochs.replan(ByTriplet(triplets, per_batch=options.batches.triplets, seed=options.seed))


def _trainer(job: Job, epochs: int, *, on_gpu: bool, validates: bool) -> "Trainer":
    import lightning as L

    options = job.options
    half = options.precision == "bf16" or (options.precision == "auto" and on_gpu)
    return L.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=options.devices,
        strategy="ddp" if options.devices > 1 else "auto",
        use_distributed_sampler=False,
        precision="bf16-mixed" if half else "32-true",
        max_epochs=epochs,
        reload_dataloaders_every_n_epochs=1,  # the first epoch may be the rest of one
        accumulate_grad_batches=options.optimizer.accumulate,
        gradient_clip_val=options.optimizer.clip_norm or None,
        limit_val_batches=1.0 if validates else 0,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=job.folder,
    )


def _until_stopped(trainer: "Trainer", loop: "Loop", read: Iterable[Any]) -> None:
    """Train to the end, or to a signal, which is raised again once the checkpoint is written."""
    signals = loop.signals
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
