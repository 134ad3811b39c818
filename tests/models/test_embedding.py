"""What a network makes of photos: unit vectors, at any side, by the path that its entry names."""

import pytest
import torch
import torchvision
from torch import Tensor, nn

from tests.models.drawn import random
from visnet import zoo
from visnet.models import ARCHITECTURES
from visnet.models.multiscale import Multiscale
from visnet.models.tapped import Tapped
from visnet.models.timm_trunk import TimmTrunk

# Small enough for a CPU, one of each form.
SMALL_NETWORKS = {
    "plain": lambda: Tapped(trunk="plain", pool="average_max", dense=(16,), activation="none"),
    "mobilenet": lambda: Tapped(trunk="mobilenet", taps=(1, 2, 3, 4, 5), dense=(32, 16)),
    "gem": lambda: Tapped(trunk="plain", pool="gem", dense=()),
    "alexnet": lambda: Tapped(trunk="alexnet", taps=(1, 2), pool="grid", dense=(16,)),
    "shallow": lambda: Multiscale(
        trunk="plain", dense=(16,), shallow="keras", batch_norm=True, embedding=8, norm="unit"
    ),
    "resnet18": lambda: TimmTrunk(network="resnet18", pool="gem", embedding=16),
    "efficientnet_lite0": lambda: TimmTrunk(network="tf_efficientnet_lite0", embedding=0),
    "vit": lambda: TimmTrunk(network="vit_tiny_patch16_224", pool="token", embedding=16),
    "swin": lambda: TimmTrunk(network="swin_tiny_patch4_window7_224", embedding=16),
}


@pytest.fixture(scope="module", params=SMALL_NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = SMALL_NETWORKS[request.param]()
    return model.eval()


@pytest.mark.parametrize("side_px", [64, 97])
def test_any_side_gives_unit_vectors_that_tell_photos_apart(network: nn.Module, side_px: int) -> None:
    photos = random(2, 3, side_px, side_px) * torch.tensor([0.3, 1.0]).view(2, 1, 1, 1)
    with torch.inference_mode():
        out = network(photos)
        swapped = network(photos.flip(1))
    assert out.shape == (2, network.dimensions)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(2))
    assert not torch.allclose(out[0], out[1], atol=1e-5)
    assert not torch.allclose(out, swapped, atol=1e-5)  # the channels' order matters


def test_unit_vectors_are_float32_under_autocast(network: nn.Module) -> None:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        out = network(random(2, 3, 64, 64))
    assert out.dtype == torch.float32
    # bfloat16 holds eight bits: a norm taken in it would be off by a thousandth and more.
    torch.testing.assert_close(out.norm(dim=1), torch.ones(2), rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_photo_too_small_is_refused(kind: str) -> None:
    with torch.device("meta"):
        model = ARCHITECTURES[kind]()
        with pytest.raises(ValueError, match="must be at least 64 pixels"):
            model(torch.empty(1, 3, 63, 100))


def test_visnets_embedding_is_shorter_than_one() -> None:
    model = Multiscale(trunk="plain", dense=(16,), embedding=8).eval()
    with torch.inference_mode():
        out = model(random(3, 3, 64, 64))
    assert bool(((out.norm(dim=1) > 0) & (out.norm(dim=1) < 1)).all())


@pytest.mark.parametrize("pool", ["average", "average_max", "grid"])
def test_the_deep_path_joins_taps_and_the_pooled_last_map(pool: str) -> None:
    model = Tapped(trunk="plain", taps=(1, 3), pool=pool, dense=(), norm="none").eval()  # type: ignore[arg-type]
    photos = random(1, 3, 128, 128)
    with torch.inference_mode():
        out = model(photos)[0]
        (first, third), last = model.deep.trunk(model.normalise(photos), (1, 3))
    cells = last[0].flatten(1)
    expected = {
        "average": [cells.sum(1) / 16],
        "average_max": [cells.sum(1) / 16, cells.max(1).values],
        "grid": [cells.flatten()],  # 4 x 4 is its own grid
    }[pool]
    torch.testing.assert_close(out, torch.cat((first[0], third[0], *expected)))


@pytest.mark.parametrize("activation", ["relu", "none"])
def test_dense_layers_have_a_relu_between_them_and_the_last_when_asked_to(activation: str) -> None:
    model = Tapped(trunk="plain", taps=(), dense=(12, 8), activation=activation, norm="none").eval()  # type: ignore[arg-type]
    photos = random(4, 3, 64, 64)
    with torch.inference_mode():
        out = model(photos)
        _, last = model.deep.trunk(model.normalise(photos), ())
        one, two = model.deep.dense
        expected = two((one(last.mean((2, 3)))).clamp(min=0))
    assert bool((expected < 0).any())
    torch.testing.assert_close(out, expected.clamp(min=0) if activation == "relu" else expected)


@pytest.mark.parametrize("layout", ["caffe", "subsampled"])
def test_only_the_released_shallow_paths_see_bgr_in_0_to_255(layout: str) -> None:
    model = Multiscale(trunk="plain", dense=(16,), shallow=layout, embedding=8).eval()  # type: ignore[arg-type]
    photos = random(1, 3, 64, 64, seed=1)
    seen: list[Tensor] = []
    model.shallow.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.inference_mode():
        model(photos)
    if layout == "caffe":
        expected = torch.stack([255 * photos[0, channel] for channel in (2, 1, 0)])
    else:
        expected = torchvision.transforms.functional.normalize(photos[0], [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(seen[0][0], expected)


@pytest.mark.parametrize(("last", "dropped"), [(False, 2), (True, 3)])
def test_dropout_follows_the_last_dense_layer_only_when_asked_to(last: bool, dropped: int) -> None:
    model = Multiscale(trunk="plain", dense=(8, 8, 8), dropout_last=last, embedding=8)
    calls: list[int] = []
    model.deep.dropout.register_forward_hook(lambda *_: calls.append(1))
    model(random(2, 3, 64, 64))
    assert len(calls) == dropped


def test_cardigans_batch_norms_stand_where_its_parameters_say() -> None:
    with torch.device("meta"):
        model = ARCHITECTURES["multiscale"](**zoo.entry("cardigan").architecture.parameters)
    norms = [layer.num_features for layer in model.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert sorted(norms) == [96, 96, 512, 4096]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Tapped(taps=(2, 1)), r"taps must rise and be among \[1, 2, 3, 4\], the depths of vgg16, are \[2, 1\]"),
        (lambda: Tapped(trunk="alexnet", taps=(3,)), r"among \[1, 2\], the depths of alexnet, are \[3\]"),
        (lambda: Tapped(taps=(1, 1)), r"taps must rise"),
        (lambda: Tapped(frozen_convs=14), r"frozen_convs must be 0 to 13, the trunk's convolutions, is 14"),
        (lambda: Tapped(dense=(8, 0)), r"a dense layer's width must be at least 1 and at most 65536, is 0"),
        (
            lambda: TimmTrunk(network="resnet18", pool="token"),
            r"pool of resnet18 must be 'average' or 'gem', is 'token'",
        ),
        (
            lambda: TimmTrunk(network="vit_tiny_patch16_224", pool="gem"),
            r"pool of vit_tiny_patch16_224 must be 'average' or 'token', is 'gem'",
        ),
        (lambda: TimmTrunk(network="swin_tiny_patch4_window7_224", pool="gem"), r"must be 'average', is 'gem'"),
        (lambda: TimmTrunk(network="resnet51"), r"no network of timm is called 'resnet51'; did you mean 'resnet"),
        (lambda: TimmTrunk(network="resnet18.best"), r"timm has no weights called 'resnet18.best'; it has resnet18.a1"),
        (lambda: TimmTrunk(embedding=-1), r"embedding must be at least 1 and at most 65536, is -1"),
        (
            lambda: TimmTrunk(network="tf_efficientnet_lite0", frozen_blocks=17),
            r"frozen_blocks of tf_efficientnet_lite0 must be -1, all, or 0 to 16, is 17",
        ),
        (lambda: TimmTrunk(network="poolformer_s12", frozen_blocks=1), r"timm names no blocks"),
    ],
)
def test_what_cannot_be_built_is_refused(make: object, said: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]
