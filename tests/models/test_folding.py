"""A network with its batch norms folded is the same network; one that would not be is left alone."""

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from visnet import zoo
from visnet.models.detector import Detector
from visnet.models.folding import WideConv2d, folded
from visnet.zoo import build_model

SIDE_PX = 64


def learnt(model: nn.Module) -> nn.Module:
    """Give norms the statistics and weights that they would have learnt."""
    generator = torch.Generator().manual_seed(5)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values, low in (
                (norm.running_mean, -0.5),
                (norm.running_var, 0.5),
                (norm.weight, 0.5),
                (norm.bias, -0.5),
            ):
                assert values is not None
                values.data.copy_(torch.rand(values.shape, generator=generator) + low)
    return model


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def photos() -> Tensor:
    return torch.rand((3, 3, SIDE_PX, SIDE_PX), generator=torch.Generator().manual_seed(9))


class Joined(nn.Module):
    """A convolution whose output is normed, and used as it is, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, photos: Tensor) -> Tensor:
        seen = self.conv(photos)
        return torch.relu(self.norm(seen) + seen)


class Twice(Joined):
    """One convolution and one norm at work twice."""

    def forward(self, photos: Tensor) -> Tensor:
        return self.norm(self.conv(photos)) + self.norm(self.conv(photos.flip(3)))


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "tf_efficientnet_lite0", "densenet121"])
def test_networks_of_timm_fold_and_answer_as_before(name: str) -> None:
    torch.manual_seed(1)
    model = learnt(timm.create_model(name, num_classes=7)).train()
    made = folded(model, SIDE_PX)
    assert norms(made) < norms(model), "densenet norms what it joins: there some stay"
    assert (norms(made) == 0) == (name != "densenet121")
    assert model.training
    assert not made.training
    with torch.inference_mode():
        before, after = model.eval()(photos()), made(photos())
    assert not torch.equal(before, after), "it is computed in another way"
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))


def test_a_network_of_the_zoo_is_as_it_was_itself() -> None:
    model = learnt(build_model(zoo.entry("mildnet_small"), seed=3))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    made = folded(model, SIDE_PX)
    assert (norms(model), norms(made)) == (5, 0)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert folded(made, SIDE_PX) is made, "there is nothing left to fold"


def test_a_detector_folds_its_trunk() -> None:
    trunk = Detector(network="tf_efficientnet_lite0", side_px=SIDE_PX, width=32).fcos.backbone
    assert norms(trunk) > 40
    assert norms(folded(learnt(trunk), SIDE_PX)) == 0


@pytest.mark.parametrize("kind", [Joined, Twice])
def test_what_would_be_another_network_is_left_alone(kind: type[nn.Module]) -> None:
    model = learnt(kind())
    assert folded(model, SIDE_PX) is model


def test_norms_without_statistics_or_of_an_unknown_kind_stay() -> None:
    class Own(nn.BatchNorm2d):
        def forward(self, seen: Tensor) -> Tensor:
            return super().forward(seen) ** 2

    for norm in (nn.BatchNorm2d(4, track_running_stats=False), Own(4)):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), norm)
        assert folded(model, SIDE_PX) is model


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.booleans(),
    st.booleans(),
)
def test_a_wide_convolution_is_timms_with_its_margins_of_any_sizes(
    sides: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], apart: bool, bias: bool
) -> None:
    like = Conv2dSame(4, 8, kernel, stride, groups=4 if apart else 1, bias=bias)  # type: ignore[no-untyped-call]
    generator = torch.Generator().manual_seed(2)
    for values in like.parameters():  # whole numbers, whose sums are the same in any order
        values.data.copy_(torch.randint(-4, 5, values.shape, generator=generator))
    seen = torch.randint(-4, 5, (2, 4, *sides), generator=generator).float()
    with torch.inference_mode():
        assert torch.equal(WideConv2d(like, sides)(seen), like(seen))


def test_a_wide_convolution_refuses_inputs_of_another_size_whose_margins_are_others() -> None:
    like = Conv2dSame(3, 4, 3, 2)  # type: ignore[no-untyped-call]
    with pytest.raises(ValueError, match=r"an input of \(7, 8\): this network is folded for \(8, 8\)"):
        WideConv2d(like, (8, 8))(torch.zeros(1, 3, 7, 8))
    with pytest.raises(ValueError, match="only convolutions of neighbours"):
        WideConv2d(Conv2dSame(3, 4, 3, 2, dilation=2), (8, 8))  # type: ignore[no-untyped-call]


def test_the_margins_of_a_trunk_are_folded_and_the_model_keeps_its_own() -> None:
    model = learnt(timm.create_model("tf_efficientnet_lite0", num_classes=7)).eval()
    made = folded(model, SIDE_PX)
    assert sum(isinstance(module, WideConv2d) for module in made.modules()) == 5
    assert not any(isinstance(module, Conv2dSame) for module in made.modules())
    assert sum(isinstance(module, Conv2dSame) for module in model.modules()) == 5


class Several(nn.Module):
    """Convolutions with margins of their own that are not to be widened: dilated, and at work on two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.dilated = Conv2dSame(4, 4, 3, dilation=2)  # type: ignore[no-untyped-call]
        self.twice = Conv2dSame(4, 4, 3, 2)  # type: ignore[no-untyped-call]

    def forward(self, photos: Tensor) -> Tensor:
        return self.twice(self.twice(self.dilated(self.norm(self.first(photos)))))


def test_convolutions_of_other_margins_stay() -> None:
    made = folded(learnt(Several()), SIDE_PX)
    assert (norms(made), sum(type(module) is Conv2dSame for module in made.modules())) == (0, 2)
