"""What every training on a GPU is asked: that it learns, does so again, and gives a model of the CPU."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from visnet.training import Fitted

DEVICE = "cuda"
MARKS = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
AGAIN = 0.15  # of a metric in 0..1: backward passes on a GPU add up in no fixed order, and steps carry that on


def learnt(train: Callable[[Path], Fitted], folder: Path, metric: str, at_least: float) -> Fitted:
    """Train twice, anew, and return the first one.

    A metric in 0..1 must reach `at_least`, and be the same again within `AGAIN`.
    """
    one, again = (train(folder / name) for name in ("one", "again"))
    assert at_least <= one.metrics[metric] <= 1.0, one.metrics
    assert one.metrics[metric] == pytest.approx(again.metrics[metric], abs=AGAIN)
    assert {value.device.type for value in one.model.state_dict().values()} == {"cpu"}
    assert not one.model.training
    return one


def noisy(colours: Tensor, side_px: int, seed: int = 0) -> Tensor:
    """Make photos of one colour each, uint8 [N, 3] -> [N, 3, S, S], with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(-20, 21, (len(colours), 3, side_px, side_px), generator=generator)
    return (colours.long()[:, :, None, None] + noise).clamp(0, 255).to(torch.uint8)
