"""Frozen layers in bf16."""

import pytest
import torch
from torch import nn

from visnet import zoo
from visnet.models import TimmTrunk
from visnet.training import Options
from visnet.training.frozen_layers import frozen_in_bf16, frozen_layers

CPU = torch.device("cpu")


class Seen(nn.Module):
    """Notes in which precision its layer is run."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.in_bf16 = layer, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.in_bf16.append(torch.is_autocast_enabled("cpu"))
        found: torch.Tensor = self.layer(x)
        return found


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(Seen(nn.Conv2d(3, 8, 3)), Seen(nn.BatchNorm2d(8)), nn.ReLU(), Seen(nn.Conv2d(8, 8, 3)),
                         nn.Flatten(), Seen(nn.Linear(8 * 16, 4)))  # fmt: skip


def options(**others: object) -> Options:
    entry = zoo.entry("mildnet_small")
    return Options(epochs=1, optimizer=entry.optimizer, schedule=entry.schedule, seed=1, **others)  # type: ignore[arg-type]


@pytest.fixture
def bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)


def freeze(model: nn.Sequential, *places: int) -> None:
    for place in places:
        model[place].requires_grad_(False)


def ran(model: nn.Sequential) -> list[bool]:
    return [part.in_bf16.pop() for part in model if isinstance(part, Seen)]


@pytest.mark.usefixtures("bf16")
def test_what_is_frozen_before_all_that_learns_runs_in_bf16_and_gives_float32() -> None:
    model, photos = network(), torch.rand(2, 3, 8, 8)
    freeze(model, 0, 1)
    whole = model(photos)
    assert ran(model) == [False] * 4
    with frozen_in_bf16(model, options(), CPU):
        half = model(photos)
        assert ran(model) == [True, True, False, False]
        half.sum().backward()
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=0.05, atol=0.02)
    assert not torch.equal(half, whole)
    assert model[0].layer.weight.grad is None
    assert model[3].layer.weight.grad.dtype == torch.float32
    assert torch.equal(model(photos), whole), "and afterwards as before"


@pytest.mark.usefixtures("bf16")
def test_what_a_gradient_passes_through_stays_in_fp32() -> None:
    model, photos = network(), torch.rand(2, 3, 8, 8)
    freeze(model, 1, 3)  # the first layer learns
    with frozen_in_bf16(model, options(), CPU):
        model(photos).sum().backward()
    assert ran(model) == [False] * 4
    assert model[0].layer.weight.grad is not None


@pytest.mark.usefixtures("bf16")
@pytest.mark.parametrize("others", [{"precision": "fp32"}, {"compile": True}])
def test_only_where_precision_is_auto(others: dict[str, object]) -> None:
    model = network()
    freeze(model, 0, 1)
    with frozen_in_bf16(model, options(**others), CPU):
        model(torch.rand(2, 3, 8, 8))
    assert ran(model) == [False] * 4


def test_a_cpu_without_instructions_for_it_stays_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    model = network()
    freeze(model, 0)
    with frozen_in_bf16(model, options(), CPU):
        model(torch.rand(2, 3, 8, 8))
    assert ran(model) == [False] * 4


def test_the_largest_frozen_parts_of_a_network_are_found() -> None:
    trunk = zoo.build_model(zoo.entry("efficientnet_lite0"), seed=1).trunk
    found = frozen_layers(trunk)
    names = [name for name, part in trunk.named_modules() if any(part is each for each in found)]
    assert names[:3] == ["conv_stem", "bn1", "blocks.0"]
    assert all(not p.requires_grad for part in found for p in part.parameters())
    held = sum(p.numel() for part in found for p in part.parameters())
    assert held == sum(p.numel() for p in trunk.parameters() if not p.requires_grad)


class Asks(nn.Module):
    """Calls its layers as transformers do: with names, and for several tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Named(), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen, counted = self.first(x, mask=None)
        assert counted.dtype == torch.int64
        found: torch.Tensor = self.second(seen)
        return found


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layer(x), torch.ones(1, dtype=torch.int64)


@pytest.mark.usefixtures("bf16")
def test_layers_that_take_names_and_give_several_tensors() -> None:
    model = Asks()
    model.first.requires_grad_(False)
    with frozen_in_bf16(model, options(), CPU):
        model(torch.rand(2, 4)).sum().backward()
    assert model.second.weight.grad is not None


@pytest.mark.usefixtures("bf16")
@pytest.mark.parametrize("network", ["vit_tiny_patch16_224", "tf_efficientnet_lite0", "convnextv2_atto", "resnet18"])
def test_networks_of_timm_learn_with_some_blocks_frozen(network: str) -> None:
    model = TimmTrunk(network=network, embedding=8, frozen_blocks=2).train()
    photos = torch.rand(2, 3, 64, 64)
    with frozen_in_bf16(model, options(), CPU):
        model(photos).sum().backward()
    learnt = {name for name, value in model.named_parameters() if value.requires_grad}
    assert {name for name, value in model.named_parameters() if value.grad is not None} == learnt
