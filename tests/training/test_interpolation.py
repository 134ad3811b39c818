"""Weights between the pretrained and the learnt ones: how far a validation lets them go back."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.training.test_task import Classifier, Points, trained
from tests.training.toy import Diary
from visnet.training.interpolation import SHARES, trunk_of
from visnet.training.task import Monitor


class Slope(Classifier):
    """A task whose metric falls by `fall` for all that the trunk's weight is away from what it has learnt."""

    monitor = Monitor("validation_accuracy", more_is_better=True, error="validation_error")

    def __init__(self, fall: float, error: float = 0.08) -> None:
        super().__init__()
        self.model = nn.Sequential()
        self.model.add_module("trunk", Classifier().model)
        self.fall, self.error, self.ends = fall, error, list[Tensor]()
        self.begun = trunk_of(self.model)

    def predict(self, model: nn.Module, batch: Points) -> Tensor:
        self.now = trunk_of(model)["trunk.0.weight"]
        return super().predict(model, batch)

    def metrics(self, predictions: Sequence[Tensor]) -> dict[str, float]:
        if len(self.epochs) > len(self.ends):  # it is the loop that asks
            self.ends.append(self.now)
        whole, kept = ((end - self.begun["trunk.0.weight"]).norm() for end in (self.ends[-1], self.now))
        return {"accuracy": 0.9 - self.fall * (1.0 - float(kept / whole)), "error": self.error}


def fitted(task: Slope, folder: Path, **others: object):  # type: ignore[no-untyped-def]
    return trained(task, folder, Diary(), epochs=2, interpolate=True, **others)


@pytest.mark.parametrize(
    ("fall", "share"),
    [(1.0, 1.0), (0.5, 0.9), (0.25, 0.7), (0.0, SHARES[-1])],  # 0.08 is reached at a tenth, two, four, and never
)
def test_it_goes_back_while_the_validation_stays_within_a_standard_error(
    fall: float, share: float, tmp_path: Path
) -> None:
    task = Slope(fall)
    found = fitted(task, tmp_path)
    assert found.interpolation == share
    assert found.metrics["validation_accuracy"] == pytest.approx(0.9 - fall * (1.0 - share), abs=1e-5)
    expected = torch.lerp(task.begun["trunk.0.weight"], task.ends[-1], share)
    assert torch.allclose(trunk_of(found.model)["trunk.0.weight"], expected)
    assert not found.model.training


def test_statistics_of_norms_go_back_too_and_whole_numbers_stay(tmp_path: Path) -> None:
    task = Slope(0.0)
    mean = task.begun["trunk.1.running_mean"]
    with_all = trained(Slope(0.0), tmp_path / "all", epochs=2).model.state_dict()
    half = fitted(task, tmp_path / "half").model.state_dict()
    assert torch.allclose(half["trunk.1.running_mean"], torch.lerp(mean, with_all["trunk.1.running_mean"], 0.5))
    assert half["trunk.1.num_batches_tracked"] == with_all["trunk.1.num_batches_tracked"]


def test_a_training_that_ended_is_not_repeated_for_it(tmp_path: Path) -> None:
    whole = trained(Slope(0.0), tmp_path, epochs=2)
    assert whole.interpolation == 1.0
    task = Slope(0.0)
    task.ends = [trunk_of(whole.model)["trunk.0.weight"]]
    assert fitted(task, tmp_path).interpolation == 0.5
    assert task.steps == 0


def test_without_a_standard_error_all_that_was_learnt_stays(tmp_path: Path) -> None:
    task = Classifier()
    found = trained(task, tmp_path, epochs=2, interpolate=True)
    assert found.interpolation == 1.0
    assert found.metrics.keys() >= {"validation_accuracy", "train_loss"}
