"""What Lightning runs: one step, one validation, and what is kept at the end of each."""

import math
import time
from collections.abc import Callable
from typing import Any, cast

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from visnet.losses import right_order
from visnet.models import freeze_norms
from visnet.models.inputs import as_floats
from visnet.pipeline.log import Progress
from visnet.training import checkpoint
from visnet.training.augment import augment
from visnet.training.averaging import Average
from visnet.training.batches import Batch, EpochBatches, step_seed
from visnet.training.checkpoint import Standing
from visnet.training.job import Job
from visnet.training.schedule import lr_factor, optimizer_of, set_lr
from visnet.training.signals import Interrupted, StopSignals
from visnet.training.sums import Sums

_SHOWN_EVERY = 10  # steps between two looks at the loss, each of which makes the host wait for a GPU
_MEASURED_AT_ONCE = 4096  # validation triplets


class Loop(L.LightningModule):
    """Training of a weight-shared network on triplets; every count it needs to go on later is in `standing`."""

    def __init__(
        self,
        job: Job,
        batches: EpochBatches,
        *,
        dimensions: int,
        standing: Standing,
        kept: dict[str, Any] | None,
        before_epoch: Callable[[], None],
        progress: Progress,
        signals: StopSignals,
    ) -> None:
        super().__init__()
        self.job, self.options = job, job.options
        self.model = job.model
        self.batches = batches
        self.signals = signals
        classes = int(job.labels.max(initial=-1)) + 1
        torch.manual_seed(step_seed(self.options.seed, 0, 0) ^ 2)  # of what the loss itself learns
        self.loss = job.loss.function(classes, dimensions)
        given = job.loss.on_given_triplets()
        self._validation_loss = given and given.function(classes, dimensions)
        self.standing = standing
        self.steps_per_epoch = batches.per_epoch
        self._average = Average(job.model, self.options.optimizer.ema_decay)
        self._compiled = torch.compile(job.model, dynamic=True) if self.options.compile else job.model
        self._photos, rows = np.unique(job.validation, return_inverse=True)
        self._validation = torch.from_numpy(rows.reshape(-1, 3).astype(np.int64))
        self._labels = torch.from_numpy(job.labels[self._photos])
        self._kept = kept
        self._before_epoch = before_epoch
        self._progress = progress
        self._embeddings: list[Tensor] = []
        self._measured: dict[str, float] = {}
        self._sums = Sums(standing.loss_sum, standing.right, standing.seen)
        self._began = time.perf_counter() - standing.wall_s
        self._tick = self._saved = time.perf_counter()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimizer, standing where the checkpoint left it."""
        learnt = self.loss if isinstance(self.loss, nn.Module) else None
        self.optimizer = optimizer_of(self.model, self.options.optimizer, learnt)
        if self._kept is not None:
            self.optimizer.load_state_dict(self._kept["optimizer"])
            self._average.load(self._kept["average"])
            if learnt is not None:
                learnt.load_state_dict(self._kept["loss"])
            self._kept = None
        return self.optimizer

    def train_dataloader(self) -> EpochBatches:
        """Return the batches; Lightning asks at each epoch: a resumed one is shorter, a round brings others."""
        self._before_epoch()
        return self.batches

    def on_train_start(self) -> None:
        """Listen to signals from here on, after Lightning has set handlers of its own."""
        self.signals.listen()
        self._sums.to(self.device)
        self._average.to(self.device)

    def on_train_epoch_start(self) -> None:
        """Begin to count the time of training, without validation; what is frozen keeps its statistics, too."""
        freeze_norms(self.model)
        self._tick = time.perf_counter()

    def training_step(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch of triplets; each distinct photo is embedded once."""
        torch.manual_seed(step_seed(self.options.seed, batch.epoch, batch.number) ^ 1)  # dropout's
        set_lr(self.optimizer, self._lr_factor(batch))
        with torch.autocast(self.device.type, enabled=False):
            photos = augment(as_floats(batch.photos), self.job.augment, batch.draws)
        layout = torch.channels_last if self.options.channels_last else torch.contiguous_format
        embeddings = self._compiled(photos.contiguous(memory_format=layout)).float()
        with torch.autocast(self.device.type, enabled=False):
            values = self.loss(embeddings, batch.triplets, batch.labels)
            right = right_order(embeddings.detach(), batch.triplets)
            self._sums.add(values, right, batch.number)
        self.standing.photos += len(batch.photos) * self.batches.ranks
        return values.mean()

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        """Count the step; stop on a loss that is no number, on a signal; keep a checkpoint now and then."""
        standing = self.standing
        standing.batch += self.batches.ranks
        last = standing.batch >= self.steps_per_epoch
        stepped = last or (batch_idx + 1) % self.options.optimizer.accumulate == 0
        if stepped:
            self._average.update()
        now = time.perf_counter()
        standing.training_s += now - self._tick
        self._tick = now
        shown = {}
        if self.device.type == "cpu" or standing.batch % _SHOWN_EVERY == 0:
            shown = self._train_metrics()
        self._progress.advance(self.batches.ranks, epoch=f"{standing.epoch + 1}/{self.options.epochs}", **shown)
        # The end of an epoch is kept once its validation is done. Gradients that wait for their step, and what other
        # processes have summed up, are in no checkpoint.
        if last or not stepped or self.batches.ranks > 1:
            return
        if self.signals.asked is not None:
            self._save()
            raise Interrupted
        if now - self._saved >= self.options.checkpoint_every_s:
            self._save()

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Embed some of the validation's distinct photos."""
        photos = as_floats(batch[1], channels_last=self.options.channels_last)
        self._embeddings.append(self._average.model(photos).float().cpu())
        if self.signals.asked is not None:
            raise Interrupted  # the last checkpoint is of this epoch, or of the end of the one before

    def on_validation_epoch_start(self) -> None:
        """Measure with the averaged weights, where there are some."""
        self._average.model.eval()

    def on_validation_epoch_end(self) -> None:
        """Measure loss and triplet accuracy over all validation triplets, each with its own negative."""
        embeddings = torch.cat(self._embeddings)
        self._embeddings = []
        chunks = torch.split(self._validation, _MEASURED_AT_ONCE)
        count = len(self._validation)
        self._measured = {}
        if loss := self._validation_loss:
            losses = [loss(embeddings, chunk, self._labels).double().sum().item() for chunk in chunks]
            self._measured["validation_loss"] = sum(losses) / count
        right = sum(int(right_order(embeddings, chunk).sum()) for chunk in chunks)
        self._measured["validation_triplet_accuracy"] = right / count

    def on_train_epoch_end(self) -> None:
        """Draw the curve, keep the best weights and a checkpoint, and stop if nothing got better for long."""
        standing, options = self.standing, self.options
        if self.batches.ranks > 1:
            self._sums.values = cast(Tensor, self.all_gather(self._sums.values)).sum(0)
        row = {f"train_{name}": value for name, value in self._train_metrics().items()}
        row |= self._measured | {"lr": options.optimizer.lr * self._last_lr_factor}
        if not math.isfinite(row.get("validation_loss", 0.0)):
            raise self._not_finite("validation loss", row["validation_loss"], f"epoch {standing.epoch + 1}")
        self._check_weights()
        standing.epoch += 1
        standing.batch = 0
        standing.curve.append(row)
        self.job.log.curve(standing.epoch, row)
        if self._is_best(row):
            standing.best_epoch, standing.best = standing.epoch, row
            if self.batches.rank == 0:
                with self.signals.writing():
                    checkpoint.save_best(self.job.folder, standing.epoch, self._average.model)
        if self._measured and options.patience and standing.epoch - standing.best_epoch >= options.patience:
            standing.stopped_early = standing.epoch < options.epochs
            self.trainer.should_stop = True
        standing.finished = standing.epoch >= options.epochs or standing.stopped_early
        self._sums.clear()
        self.batches.epoch, self.batches.number = standing.epoch, 0
        if self.batches.rank == 0:
            self._save()
        if self.signals.asked is not None:
            raise Interrupted

    def _is_best(self, row: dict[str, float]) -> bool:
        monitor = self.options.monitor
        if monitor not in row or self.standing.best_epoch < 0:
            return True  # without validation, the last is the best there is
        now, best = row[monitor], self.standing.best[monitor]
        return now > best if monitor.endswith("accuracy") else now < best

    def _lr_factor(self, batch: Batch) -> float:
        at = batch.epoch + batch.number / self.steps_per_epoch
        self._last_lr_factor = lr_factor(self.options.schedule, at, self.options.epochs)
        return self._last_lr_factor

    def _train_metrics(self) -> dict[str, float]:
        loss_sum, right, seen = self._checked_sums()
        return {"loss": loss_sum / seen, "triplet_accuracy": right / seen}

    def _checked_sums(self) -> list[float]:
        sums, number = self._sums.read()
        if number is not None:
            named = self.batches.batches.named(self.standing.epoch, number)
            raise self._not_finite(
                "training loss", sums[0], f"{self._where(number + 1)}, a batch of the photos {named}"
            )
        return sums

    def _save(self) -> None:
        standing = self.standing
        standing.loss_sum, standing.right, standing.seen = self._checked_sums()
        self._check_weights()
        standing.wall_s = time.perf_counter() - self._began
        states = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self._average.state(),
            "loss": self.loss.state_dict() if isinstance(self.loss, nn.Module) else {},
        }
        with self.signals.writing():
            checkpoint.save(self.job.folder, self.job.fingerprint, standing, states)
        self._saved = time.perf_counter()

    def _where(self, step: int) -> str:
        return f"epoch {self.standing.epoch + 1}, step {step} of {self.steps_per_epoch}"

    def _check_weights(self) -> None:
        # A finite loss may have had a gradient that was not: such weights must not replace the last good ones.
        for name, value in self.model.state_dict().items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise self._not_finite(f"weight {name!r}", math.nan, self._where(self.standing.batch))

    def _not_finite(self, what: str, value: float, where: str) -> ValueError:
        lr = self.options.optimizer.lr
        return ValueError(
            f"{what} is {value} at {where}: training stopped, its last good checkpoint is in {self.job.folder}; "
            f"a lower lr than {lr:g}, a clip_norm, or precision = 'fp32' may help"
        )
