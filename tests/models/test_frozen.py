"""Which parts of a network stand still in training."""

import pytest
import torch

from tests.models.drawn import random
from visnet.models import freeze_norms
from visnet.models.tapped import Tapped


@pytest.mark.parametrize(
    ("trunk", "convs", "frozen"),
    [
        ("vgg16", 7, [0, 2, 5, 7, 10, 12, 14]),  # all of blocks 1 to 3
        ("vgg19", 7, [0, 2, 5, 7, 10, 12, 14]),  # 16, the last of block 3, trains: the source counts as for VGG16
        ("vgg16", 13, [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]),
        ("vgg16", 0, []),
    ],
)
def test_the_first_convolutions_of_a_trunk_can_be_frozen(trunk: str, convs: int, frozen: list[int]) -> None:
    with torch.device("meta"):
        model = Tapped(trunk=trunk, frozen_convs=convs)  # type: ignore[arg-type]
    still = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert still == {f"deep.trunk.features.{at}.{kind}" for at in frozen for kind in ("weight", "bias")}


def test_frozen_batch_norms_keep_their_running_mean_in_training() -> None:
    model = Tapped(trunk="plain", pool="average", frozen_convs=2, dense=(8,), batch_norm=True)
    before = {name: value.clone() for name, value in model.named_buffers() if name.endswith("running_mean")}
    model.train()
    freeze_norms(model)
    model(random(4, 3, 64, 64)).sum().backward()
    moved = {name for name, value in model.named_buffers() if name in before and not torch.equal(value, before[name])}
    still = {"deep.trunk.features.0.1.running_mean", "deep.trunk.features.1.1.running_mean"}
    assert before.keys() - moved == still
    without_gradient = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without_gradient == {f"deep.trunk.features.{at}.{kind}" for at in (0, 1)
                                for kind in ("0.weight", "1.weight", "1.bias")}  # fmt: skip
