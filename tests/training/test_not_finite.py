"""A loss or a weight that is no number ends the training, and no checkpoint has it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.toy import Tiny, train
from visnet import zoo


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    class Breaking(Tiny):
        calls = 0

        def forward(self, photos: Tensor) -> Tensor:
            self.calls += self.training
            return super().forward(photos) * (float("nan") if self.calls == 13 else 1.0)

    torch.manual_seed(0)
    with pytest.raises(
        ValueError,
        match=r"training loss is nan at epoch 2, step 3 of 10, a batch of the photos \d+, .*: training stopped",
    ) as caught:
        train(tmp_path, model=Breaking())
    assert "\n" not in str(caught.value)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert (kept["state"]["epoch"], kept["state"]["batch"]) == (1, 2)
    assert all(bool(torch.isfinite(value).all()) for value in kept["model"].values())


def test_a_step_that_explodes_is_not_kept(tmp_path: Path) -> None:
    wild = zoo.Optimizer(name="sgd", lr=1e6, momentum=0.99)

    class Bare(Tiny):
        def forward(self, photos: Tensor) -> Tensor:
            return self.body(photos) * 1e12

    torch.manual_seed(0)
    with pytest.raises(ValueError, match=r"(training loss|weight '.*') is (nan|inf) at epoch 1, step \d+ of 10"):
        train(tmp_path, model=Bare(), optimizer=wild, schedule=zoo.Schedule())
    if (tmp_path / "last.ckpt").exists():
        kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
        assert all(bool(torch.isfinite(value).all()) for value in kept["model"].values())
