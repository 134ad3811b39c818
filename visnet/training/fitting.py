"""Train a task, on from its checkpoint."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from visnet.models.state import digest
from visnet.pipeline.budget import keep_what_is_freed
from visnet.pipeline.log import SILENT, Log
from visnet.pipeline.peers import joined
from visnet.training.checkpoint import Checkpoints
from visnet.training.interpolation import interpolate, trunk_of
from visnet.training.loop import Loop
from visnet.training.options import Fitted, Options
from visnet.training.processes import fabric_of
from visnet.training.signals import Interrupted, stop_signals
from visnet.training.state import TrainingState
from visnet.training.task import Batch, Task

# options that may change before a training goes on
_FREE = ("interpolate", "compile", "device", "workers", "checkpoint_every_s")


def fit(task: Task[Batch], options: Options, checkpoint_dir: Path, log: Log = SILENT) -> Fitted:
    """Train the task's model in place and give it back with its best weights, in eval mode on the CPU.

    A run that was killed goes on from `checkpoint_dir` when it is called again with the same task and options; on a CPU
    to the same weights, bit for bit. SIGINT and SIGTERM leave a checkpoint and are then raised again. `ValueError` for
    a loss that is not finite, naming epoch, step and batch. Where `options.devices` is above 1, this returns in the
    first process only; the others exit.
    """
    checkpoint_dir.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(checkpoint_dir, _fingerprint(task, options))
    state, weights, why_not = checkpoints.load()
    if why_not:
        log.say(why_not)
    if weights is not None:
        log.say(f"training goes on after {state.epoch} epochs and {state.batch} steps")
        for epoch, metrics in enumerate(state.curve, start=1):
            log.curve(epoch, metrics)  # written by a run that died, and lost with it
    resumed_from_epoch = None if weights is None else state.epoch
    begun = trunk_of(task.model) if options.interpolate else {}
    _agree(checkpoints, state)
    if not state.finished:
        with torch.random.fork_rng(devices=[]):
            _train(task, options, checkpoints, state, weights, log)
    model = task.model.cpu().to(memory_format=torch.contiguous_format)
    model.load_state_dict(checkpoints.load_best(state.best_epoch))
    share, measured = interpolate(task, begun, options, state.best, log) if options.interpolate else (1.0, {})
    return Fitted(
        model=model.eval(),
        epochs=state.epoch,
        best_epoch=state.best_epoch,
        stopped_early=state.stopped_early,
        resumed_from_epoch=resumed_from_epoch,
        metrics=state.best | measured,
        photos=state.photos,
        wall_s=state.wall_s,
        interpolation=share,
        images_per_s=state.photos / max(state.training_s, 1e-9),
    )


def _train(
    task: Task[Batch],
    options: Options,
    checkpoints: Checkpoints,
    state: TrainingState,
    weights: dict[str, Any] | None,
    log: Log,
) -> None:
    fabric = fabric_of(options)
    if fabric.device.type == "cpu":
        keep_what_is_freed()
    loop = Loop(task, options, fabric, checkpoints, state, log=log)
    if weights is not None:
        loop.updates.load(weights)
        weights.clear()  # or a copy would be kept as long as the training lasts
    total, done = (epochs * loop.steps_per_epoch for epochs in (options.epochs, state.epoch))
    with stop_signals() as signals, log.progress("training", total, done=done + state.batch, unit="step") as progress:
        try:
            loop.run(progress, signals)
        except Interrupted:
            if fabric.global_rank == 0:
                raise
    if peers := joined():
        peers.trained()
    if fabric.global_rank:
        raise SystemExit(0)  # the first process has the weights, and the rest of the work


def _agree(checkpoints: Checkpoints, state: TrainingState) -> None:
    """Begin once the processes of all hosts have come here with the same data, settings and checkpoint."""
    peers = joined()
    if peers is None or (peers.rank == 0 and state.finished):  # nobody helps with what is done
        return
    if peers.rank == 0:
        peers.tell("begin")
    seen = {"data or settings": checkpoints.fingerprint, "checkpoints": [state.epoch, state.batch, state.finished]}
    peers.agree("ready", seen, "the hosts of a training share one folder")


def _fingerprint(task: Task[Batch], options: Options) -> str:
    """Hash all that the weights depend on."""
    settings = {name: value for name, value in asdict(options).items() if name not in _FREE}
    hashed = hashlib.sha256()
    for part in (
        digest(task.model.state_dict()).encode(),
        repr(sorted(settings.items())).encode(),
        *task.fingerprint(),
    ):
        hashed.update(len(part).to_bytes(8) + part)
    return hashed.hexdigest()
