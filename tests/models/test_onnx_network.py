"""A convolutional network that ONNX Runtime runs is the same network; any other is left as it is."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import timm
import torch
from torch import Tensor, nn

from visnet.models import onnx_network
from visnet.models.folding import folded
from visnet.models.onnx_network import MOST_BYTES, OnnxNetwork, on_onnxruntime

SIDE_PX = 64


def photos(count: int) -> Tensor:
    return torch.rand((count, 3, SIDE_PX, SIDE_PX), generator=torch.Generator().manual_seed(9))


def network(name: str) -> nn.Module:
    torch.manual_seed(1)
    return folded(timm.create_model(name, num_classes=7).eval(), SIDE_PX)


class Convolutions(nn.Module):
    """Two convolutions, and what a test puts after them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)

    def forward(self, photos: Tensor) -> Tensor:
        return self.after(self.second(torch.relu(self.first(photos))).mean((2, 3)))

    def after(self, seen: Tensor) -> Tensor:
        return seen


class Untold(Convolutions):
    """An operation that is not known to be told well."""

    def after(self, seen: Tensor) -> Tensor:
        return torch.special.bessel_j0(seen)


class Refused(Convolutions):
    """An operation that the exporter tells, but not at these sizes."""

    def forward(self, photos: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(self.first(photos), 7).flatten(1)


class OfItsBatch(Convolutions):
    """What a trace writes down as a number: how many photos there were."""

    def after(self, seen: Tensor) -> Tensor:
        return seen * float(len(seen))


class Several(Convolutions):
    """An output that is no tensor."""

    def forward(self, photos: Tensor) -> Tensor:
        return super().forward(photos), photos  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "tf_efficientnet_lite0", "tf_efficientnetv2_b0"])
@torch.no_grad()
def test_networks_of_timm_answer_as_before_whatever_the_batch(name: str) -> None:
    model = network(name)
    made = on_onnxruntime(model, SIDE_PX)
    assert isinstance(made, OnnxNetwork)
    assert not made.training
    for count in (1, 2, 5):
        before = model(photos(count))
        torch.testing.assert_close(made(photos(count)), before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))


@torch.no_grad()
def test_a_photo_has_the_same_bits_in_any_company_and_any_thread() -> None:
    made = on_onnxruntime(network("tf_efficientnet_lite0"), SIDE_PX)
    alone = torch.cat([made(one[None]) for one in photos(16)])
    assert torch.equal(made(photos(16)), alone)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(lambda _: made(photos(16)), range(8)):
            assert torch.equal(found, alone)


@pytest.mark.parametrize("kind", [Untold, Refused, OfItsBatch, Several])
def test_what_would_be_another_network_is_left_as_it_is(
    kind: type[Convolutions], capfd: pytest.CaptureFixture[str]
) -> None:
    model = kind().eval()
    assert on_onnxruntime(model, SIDE_PX) is model
    assert capfd.readouterr() == ("", "")


def test_nothing_holds_a_network_that_was_told() -> None:
    model = Convolutions().eval()
    held = weakref.ref(model), weakref.ref(model.first.weight)
    assert isinstance(on_onnxruntime(model, SIDE_PX), OnnxNetwork)
    del model
    gc.collect()
    assert [one() for one in held] == [None, None]


def test_what_cannot_be_told_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tried = Refused().eval(), []
    exported = onnx_network._exported
    monkeypatch.setattr(onnx_network, "_exported", lambda *given: tried.append(given) or exported(*given))
    assert on_onnxruntime(model, SIDE_PX) is on_onnxruntime(model, SIDE_PX) is model
    assert len(tried) == 1


def test_one_that_only_lacks_what_is_in_its_way_is_not() -> None:
    assert isinstance(on_onnxruntime(Convolutions().eval(), SIDE_PX), OnnxNetwork)


def test_transformers_gain_nothing_and_stay() -> None:
    model = timm.create_model("vit_tiny_patch16_224", img_size=SIDE_PX, num_classes=7).eval()
    assert on_onnxruntime(model, SIDE_PX) is model


def test_weights_that_no_message_holds_stay_where_they_are() -> None:
    with torch.device("meta"):  # has a size, and no memory
        large = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(MOST_BYTES // 4, 1))
    assert on_onnxruntime(large, SIDE_PX) is large
