"""The loop knows a task and nothing else: a classifier, whose batches, loss and metrics are its own, trains by it."""

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.training.toy import Diary, options
from visnet import zoo
from visnet.models.state import digest
from visnet.pipeline.log import Log
from visnet.training import Fitted, Monitor, Step, fit

CLASSES, VALUES, PER_BATCH, PER_EPOCH = 3, 8, 16, 6
CENTRES = torch.randn(CLASSES, VALUES, generator=torch.Generator().manual_seed(0))


class Points(NamedTuple):
    values: Tensor  # [B, VALUES]
    labels: Tensor  # [B]


def points(count: int, seed: int) -> Points:
    draws = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count,), generator=draws)
    return Points(CENTRES[labels] + 0.7 * torch.randn(count, VALUES, generator=draws), labels)


class Training:
    """Batches by epoch and number."""

    per_epoch = PER_EPOCH

    def __getitem__(self, at: tuple[int, int]) -> Points:
        epoch, number = at
        return points(PER_BATCH, 1000 + epoch * PER_EPOCH + number)

    def described(self, epoch: int, number: int) -> str:
        return f"the points drawn from seed {1000 + epoch * PER_EPOCH + number}"


class Scale(nn.Module):
    """What the loss itself learns: how sharp the classes are told apart."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(1.0))


class Classifier:
    """Tell three clouds of points apart; `accuracies`, where given, stand for what the epochs measure."""

    validation: Sequence[Points] = [points(32, seed) for seed in (1, 2)]
    monitor = Monitor("validation_accuracy", more_is_better=True)

    def __init__(self, accuracies: Sequence[float] = (), broken_at: int = -1) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Linear(VALUES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, CLASSES)
        )
        self.loss_module = Scale()
        self.batches = Training()
        self.accuracies, self.broken_at = accuracies, broken_at
        self.epochs: list[tuple[int, int]] = []
        self.steps = 0

    def fingerprint(self) -> Iterator[bytes]:
        yield b"three clouds"

    def before_epoch(self, epoch: int, batch: int, *, rank: int, workers: int, log: Log) -> None:
        self.epochs.append((epoch, batch))

    def step(self, model: nn.Module, batch: Points) -> Step:
        scores = model(batch.values) * self.loss_module.sharpness
        loss = F.cross_entropy(scores, batch.labels) * (float("nan") if self.steps == self.broken_at else 1.0)
        self.steps += 1
        right = (scores.argmax(1) == batch.labels).sum()
        return Step(loss, len(batch.labels), {"accuracy": right}, len(batch.labels))

    def predict(self, model: nn.Module, batch: Points) -> Tensor:
        assert not model.training
        return model(batch.values).argmax(1) == batch.labels

    def metrics(self, predictions: Sequence[Tensor]) -> dict[str, float]:
        if self.accuracies:
            error = {"error": 0.08} if self.monitor.error else {}
            return {"accuracy": self.accuracies[len(self.epochs) - 1], **error}
        return {"accuracy": torch.cat(list(predictions)).double().mean().item()}


CHOSEN = {
    "epochs": 5,
    "optimizer": zoo.Optimizer(name="adamw", lr=0.02, ema_decay=0.5, accumulate=2, proxy_lr_factor=3.0),
}


def trained(task: Classifier, folder: Path, log: Diary | None = None, **others: object) -> Fitted:
    torch.seed()
    return fit(task, options(**{**CHOSEN, **others}), folder, log or Diary())


pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_classifier_learns_and_its_curve_says_so(tmp_path: Path) -> None:
    task, log = Classifier(), Diary()
    fitted = trained(task, tmp_path, log)
    assert [set(row) for _, row in log.rows] == [{"train_loss", "train_accuracy", "validation_accuracy", "lr"}] * 5
    assert fitted.metrics["validation_accuracy"] > 0.8
    assert log.rows[0][1]["train_loss"] > log.rows[-1][1]["train_loss"]
    assert (log.total, log.done, fitted.photos) == (5 * PER_EPOCH, 5 * PER_EPOCH, 5 * PER_EPOCH * PER_BATCH)
    assert task.epochs == [(epoch, 0) for epoch in range(5)]
    assert task.loss_module.sharpness.item() != 1.0
    best = max(log.rows, key=lambda row: row[1]["validation_accuracy"])  # the first of equals
    assert (fitted.best_epoch, fitted.metrics) == best
    with torch.inference_mode():  # the metrics are those of the weights that came back
        seen = torch.cat([task.predict(fitted.model, batch) for batch in task.validation])
    assert seen.double().mean().item() == fitted.metrics["validation_accuracy"]


def test_the_curve_has_the_means_of_an_epoch_s_steps(tmp_path: Path) -> None:
    task, log = Classifier(), Diary()
    task.model[3] = nn.Identity()  # no dropout, whose draws are the loop's
    trained(task, tmp_path, log, epochs=1, optimizer=zoo.Optimizer(name="sgd", lr=1e-30, momentum=0.0))
    task.model.train()
    steps = [task.step(task.model, task.batches[0, number]) for number in range(PER_EPOCH)]
    assert log.rows[0][1]["train_loss"] == pytest.approx(sum(step.loss.item() for step in steps) / PER_EPOCH)
    right = sum(int(step.totals["accuracy"]) for step in steps)
    assert log.rows[0][1]["train_accuracy"] == right / (PER_EPOCH * PER_BATCH)


# Batch 13 is the first of the two of a step, which ends with 14; a signal with an epoch's last ends its validation, and
# what was kept is of the end of the epoch before.
@pytest.mark.parametrize(("at_step", "kept"), [(2, (0, 2)), (13, (2, 2)), (18, (2, 0))])
def test_stopped_midway_it_goes_on_to_the_same_weights(at_step: int, kept: tuple[int, int], tmp_path: Path) -> None:
    whole, log = Diary(), Diary(at_step=at_step, act=lambda: os.kill(os.getpid(), signal.SIGINT))
    undisturbed = trained(Classifier(), tmp_path / "undisturbed", whole)
    with pytest.raises(KeyboardInterrupt):
        trained(Classifier(), tmp_path / "stopped", log, checkpoint_every_s=99.0)
    task, rest = Classifier(), Diary()
    resumed = trained(task, tmp_path / "stopped", rest)
    assert task.epochs[0] == kept
    assert resumed.resumed_from_epoch == kept[0]
    assert digest(resumed.model.state_dict()) == digest(undisturbed.model.state_dict())
    assert rest.rows == whole.rows


def test_it_stops_early_and_gives_back_the_best_epoch(tmp_path: Path) -> None:
    task = Classifier(accuracies=[0.5, 0.7, 0.7, 0.6, 0.9])
    fitted = trained(task, tmp_path, patience=2)
    assert (fitted.epochs, fitted.best_epoch, fitted.stopped_early) == (4, 2, True)


def test_less_is_better_where_the_task_says_so(tmp_path: Path) -> None:
    task = Classifier(accuracies=[0.5, 0.3, 0.4, 0.3, 0.6])
    task.monitor = Monitor("validation_accuracy", more_is_better=False)
    assert trained(task, tmp_path).best_epoch == 2


def test_of_epochs_within_a_standard_error_of_the_best_the_last_is_kept(tmp_path: Path) -> None:
    task = Classifier(accuracies=[0.5, 0.7, 0.625, 0.6, 0.5])
    task.monitor = Monitor("validation_accuracy", more_is_better=True, error="validation_error")
    fitted = trained(task, tmp_path, patience=3)  # which counts from the second
    assert (fitted.epochs, fitted.best_epoch, fitted.stopped_early) == (5, 3, False)
    assert fitted.metrics["validation_accuracy"] == 0.625


def test_a_batch_is_named_by_its_task(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"training loss is nan at epoch 2, step 3 of 6, a batch of the points drawn from seed 1008: "
    ):
        trained(Classifier(broken_at=8), tmp_path)


def test_a_metric_that_is_no_number_stops(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"validation accuracy is nan at epoch 2: training stopped"):
        trained(Classifier(accuracies=[0.5, float("nan")]), tmp_path)
