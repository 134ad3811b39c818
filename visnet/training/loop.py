"""The training loop: epochs of steps, a validation after each, and checkpoints from which all of it goes on."""

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, cast

import torch
from torch.utils.data import DataLoader, Dataset

from visnet.models import eval_frozen
from visnet.models.inputs import loader_options
from visnet.pipeline.log import Log, Progress
from visnet.training.checkpoint import Checkpoints
from visnet.training.epochs import EpochReader
from visnet.training.frozen_layers import frozen_in_bf16
from visnet.training.measuring import measured
from visnet.training.options import Options
from visnet.training.signals import Interrupted, StopSignals
from visnet.training.state import TrainingState
from visnet.training.sums import Sums, means
from visnet.training.task import Batch, Task
from visnet.training.updates import Updates

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_SHOWN_EVERY = 10  # steps between two looks at the loss, each of which makes the host wait for a GPU


class Loop(Generic[Batch]):
    """Training of a task; every count that it needs to go on later is in `state`."""

    def __init__(
        self,
        task: Task[Batch],
        options: Options,
        fabric: "Fabric",
        checkpoints: Checkpoints,
        state: TrainingState,
        *,
        log: Log,
    ) -> None:
        self.task, self.options, self.fabric = task, options, fabric
        self.checkpoints, self.state, self.log = checkpoints, state, log
        self.rank, self.ranks = fabric.global_rank, fabric.world_size
        self._on_gpu = fabric.device.type == "cuda"
        self._reader: EpochReader[Batch] = EpochReader(
            workers=options.workers, pin_memory=self._on_gpu, rank=self.rank, ranks=self.ranks
        )
        self.steps_per_epoch = self._reader.length(task.batches)
        validation = cast(Dataset[Any], task.validation)
        reading = loader_options(options.workers, pin_memory=self._on_gpu)
        self._validation = DataLoader(validation, batch_size=None, **reading)
        self.updates = Updates(task, options, fabric, self.steps_per_epoch)
        self._sums = Sums(state.sums, fabric.device)
        self._began_s = time.perf_counter() - state.wall_s
        self._tick_s = self._saved_s = time.perf_counter()

    def run(self, progress: Progress, signals: StopSignals) -> None:
        """Train to the end; `Interrupted` once a signal has asked to stop and the checkpoint is written."""
        while not self.state.finished:
            with frozen_in_bf16(self.task.model, self.options, self.fabric.device):
                self._learn(progress, signals)
            self.updates.share_buffers()
            # What is best and when to stop is decided by each process: by the numbers of the first.
            measured = self.fabric.broadcast(self._validate(signals))
            self._end_epoch(measured, signals)

    def _learn(self, progress: Progress, signals: StopSignals) -> None:
        """Take the steps of an epoch, or the rest of them."""
        state, task = self.state, self.task
        task.before_epoch(state.epoch, state.batch, rank=self.rank, workers=self.options.workers, log=self.log)
        task.model.train()
        eval_frozen(task.model)  # what is frozen keeps its statistics, too
        self._tick_s = time.perf_counter()
        for number, batch in self._reader.read(task.batches, state.epoch, state.batch):
            batch = self.fabric.to_device(batch)
            done, first = state.batch, self._at_update()
            state.batch += self.ranks
            last = self._at_update()
            step = self.updates.make(state.epoch, number, batch, done=done, first=first, last=last)
            self._sums.add(step, number)
            state.photos += step.photos * self.ranks
            now_s = time.perf_counter()
            state.training_s += now_s - self._tick_s
            self._tick_s = now_s
            self._show(progress)
            # The end of an epoch is kept once it is validated. Gradients that wait for their update, and what other
            # processes have summed up, are in no checkpoint.
            if last and state.batch < self.steps_per_epoch and self.ranks == 1:
                if signals.asked is not None or now_s - self._saved_s >= self.options.checkpoint_every_s:
                    self._save(signals)
                if signals.asked is not None:
                    raise Interrupted

    def _at_update(self) -> bool:
        """Tell whether weights have moved with the batch before, so that no gradients wait."""
        done = self.state.batch
        return done >= self.steps_per_epoch or done // self.ranks % self.options.optimizer.accumulate == 0

    def _show(self, progress: Progress) -> None:
        shown = {}
        if not self._on_gpu or self.state.batch % _SHOWN_EVERY == 0:
            shown = means(self._checked_sums())
        progress.advance(self.ranks, epoch=f"{self.state.epoch + 1}/{self.options.epochs}", **shown)

    def _validate(self, signals: StopSignals) -> dict[str, float]:
        """Measure the task's metrics, with the averaged weights where there are some; none without a validation."""
        if not len(self._validation):
            return {}

        def batches() -> Iterator[object]:
            for batch in self._validation:
                yield self.fabric.to_device(batch)
                if signals.asked is not None and self.ranks == 1:
                    raise Interrupted  # the last checkpoint is of this epoch, or of the end of the one before

        return measured(self.task, self.updates.averaged.eval(), batches(), self.options, self.fabric.device)

    def _end_epoch(self, measured: dict[str, float], signals: StopSignals) -> None:
        """Draw the curve, keep the best weights and a checkpoint."""
        state, options = self.state, self.options
        self._sums.values = cast(torch.Tensor, self.fabric.all_reduce(self._sums.values, reduce_op="sum"))
        metrics = {f"train_{name}": value for name, value in means(self._checked_sums()).items()}
        metrics |= measured | {"lr": self.updates.lr}
        for name, value in measured.items():
            if not math.isfinite(value):
                raise self._not_finite(name.replace("_", " "), value, f"epoch {state.epoch + 1}")
        self._check_weights()
        monitor = self.task.monitor if measured else None
        best = state.end_epoch(metrics, monitor, epochs=options.epochs, patience=options.patience)
        self.log.curve(state.epoch, metrics)
        self._sums.clear()
        if self.rank == 0:
            if best:
                with signals.writing():
                    self.checkpoints.save_best(state.epoch, self.updates.averaged)
            self._save(signals)
        asked = torch.tensor(float(signals.asked is not None), device=self.fabric.device)
        if self.fabric.all_reduce(asked, reduce_op="max"):  # processes stop together, or one would wait for another
            raise Interrupted

    def _save(self, signals: StopSignals) -> None:
        self.state.sums = self._checked_sums()
        self._check_weights()
        self.state.wall_s = time.perf_counter() - self._began_s
        with signals.writing():
            self.checkpoints.save(self.state, self.updates.state())
        self._saved_s = time.perf_counter()

    def _checked_sums(self) -> dict[str, float]:
        sums, number = self._sums.read()
        if number is not None:
            described = self.task.batches.described(self.state.epoch, number)
            raise self._not_finite("training loss", sums["loss"], f"{self._where(number + 1)}, a batch of {described}")
        return sums

    def _check_weights(self) -> None:
        # A finite loss may have had a gradient that was not: such weights must not replace the last good ones.
        for name, value in self.task.model.state_dict().items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise self._not_finite(f"weight {name!r}", math.nan, self._where(self.state.batch))

    def _where(self, step: int) -> str:
        return f"epoch {self.state.epoch + 1}, step {step} of {self.steps_per_epoch}"

    def _not_finite(self, what: str, value: float, where: str) -> ValueError:
        lr = self.options.optimizer.lr
        return ValueError(
            f"{what} is {value} at {where}: training stopped, its last good checkpoint is in "
            f"{self.checkpoints.folder}; a lower lr than {lr:g}, a clip_norm, or precision = 'fp32' may help"
        )
