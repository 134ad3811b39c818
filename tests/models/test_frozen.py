"""Which parts of a network stand still in training."""

import pytest
import torch

from tests.models.drawn import random
from visnet.models import eval_frozen
from visnet.models.tapped import Tapped
from visnet.models.timm_trunk import TimmTrunk


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
    eval_frozen(model)
    model(random(4, 3, 64, 64)).sum().backward()
    moved = {name for name, value in model.named_buffers() if name in before and not torch.equal(value, before[name])}
    still = {"deep.trunk.features.0.1.running_mean", "deep.trunk.features.1.1.running_mean"}
    assert before.keys() - moved == still
    without_gradient = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without_gradient == {f"deep.trunk.features.{at}.{kind}" for at in (0, 1)
                                for kind in ("0.weight", "1.weight", "1.bias")}  # fmt: skip


@pytest.mark.parametrize(
    ("network", "pool", "blocks", "still"),
    [
        ("tf_efficientnet_lite0", "gem", 6, ["conv_stem", "bn1", "blocks.0", "blocks.1", "blocks.2", "blocks.3.0"]),
        ("resnet18", "average", 2, ["conv1", "bn1", "layer1"]),
        ("convnext_atto", "average", 3, ["stem", "stages.0", "stages.1.downsample", "stages.1.blocks.0"]),
        ("vit_tiny_patch16_224", "token", 1, ["cls_token", "pos_embed", "patch_embed", "blocks.0"]),
        ("tf_efficientnet_lite0", "average", -1, [""]),
    ],
)
def test_the_stem_and_the_first_blocks_of_a_trunk_of_timm_do_not_move_in_a_step(
    network: str, pool: str, blocks: int, still: list[str]
) -> None:
    model = TimmTrunk(network=network, pool=pool, embedding=8, frozen_blocks=blocks)  # type: ignore[arg-type]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    eval_frozen(model)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0, weight_decay=0.1)
    (model(random(4, 3, 64, 64)) @ torch.linspace(-1, 1, 8)).square().sum().backward()
    optimizer.step()
    kept = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    held = {name for name in before if name.startswith(tuple(f"trunk.{part}" for part in still))}
    assert held
    assert kept >= held
    # A bias may have no gradient yet, behind a weight that begins at zero.
    assert {name for name in kept - held if not name.endswith("bias")} == {"normalise.mean", "normalise.std"}


def test_what_is_frozen_does_not_depend_on_the_mode() -> None:
    model = TimmTrunk(network="vit_small_patch16_dinov3", pool="token", embedding=0, frozen_blocks=-1)
    photos = random(2, 3, 64, 64)
    expected = model.eval()(photos)
    model.train()
    eval_frozen(model)
    assert torch.equal(model(photos), expected)  # rotary positions are moved about in training
