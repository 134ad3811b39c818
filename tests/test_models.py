"""Networks: their shapes, norms and frozen parts, the weights they begin with, and those on disk."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from visnet import weights, zoo
from visnet.models import ARCHITECTURES, freeze_norms
from visnet.models.backbones import Torchvision, positions_at
from visnet.models.inputs import as_floats, stack
from visnet.models.multiscale import Multiscale
from visnet.models.norms import GeneralisedMeanPool, LocalNorm, saturating_norm
from visnet.models.pretrained import load_pretrained
from visnet.models.shallow import ShallowPaths
from visnet.models.tapped import Tapped
from visnet.models.trunks import TRUNKS

# Small enough for a CPU, one of each form.
SMALL_NETWORKS = {
    "plain": lambda: Tapped(trunk="plain", pool="average_max", dense=(16,), activation="none"),
    "mobilenet": lambda: Tapped(trunk="mobilenet", taps=(1, 2, 3, 4, 5), dense=(32, 16)),
    "gem": lambda: Tapped(trunk="plain", pool="gem", dense=()),
    "alexnet": lambda: Tapped(trunk="alexnet", taps=(1, 2), pool="grid", dense=(16,)),
    "shallow": lambda: Multiscale(
        trunk="plain", dense=(16,), shallow="keras", batch_norm=True, embedding=8, norm="unit"
    ),
    "resnet18": lambda: Torchvision(network="resnet18", pool="gem", embedding=16),
    "vit_s_16": lambda: Torchvision(network="vit_s_16", pool="token", embedding=16),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=SMALL_NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = SMALL_NETWORKS[request.param]()
    return model.eval()


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def shapes_of(layers: dict[str, nn.Module], model: nn.Module, photos: Tensor) -> dict[str, list[int]]:
    """Run a model and return the shape that each of some layers gives, without the batch."""
    seen: dict[str, list[int]] = {}
    for name, layer in layers.items():
        layer.register_forward_hook(lambda _, __, out, name=name: seen.__setitem__(name, list(out.shape[1:])))
    model(photos)
    return seen


# --- shapes ----------------------------------------------------------------------------------------------------------

TAPS = {  # photo side, and the maps at each tap and at the end
    "vgg16": (224, [[64, 112, 112], [128, 56, 56], [256, 28, 28], [512, 14, 14], [512, 7, 7]]),
    "vgg19": (224, [[64, 112, 112], [128, 56, 56], [256, 28, 28], [512, 14, 14], [512, 7, 7]]),
    "alexnet": (227, [[96, 27, 27], [256, 13, 13], [256, 6, 6]]),
    "mobilenet": (224, [[32, 112, 112], [64, 56, 56], [128, 28, 28], [256, 14, 14], [512, 7, 7], [1024, 7, 7]]),
    "plain": (128, [[24, 64, 64], [48, 32, 32], [96, 16, 16], [128, 8, 8], [192, 4, 4]]),
}


@pytest.mark.parametrize("name", TRUNKS)
def test_trunks_are_tapped_where_their_source_taps_them(name: str) -> None:
    side_px, maps = TAPS[name]
    with torch.device("meta"):
        trunk = TRUNKS[name]()
        seen: list[list[int]] = []
        for end, _ in trunk.taps:
            trunk.features[end - 1].register_forward_hook(lambda _, __, out: seen.append(list(out.shape[1:])))
        depths = range(1, len(trunk.taps) + 1)
        averages, last = trunk(torch.empty(1, 3, side_px, side_px), depths)
    assert [*seen, list(last.shape[1:])] == maps
    assert [list(x.shape) for x in averages] == [[1, channels] for channels, _, _ in maps[:-1]]
    assert [channels for _, channels in trunk.taps] == [channels for channels, _, _ in maps[:-1]]
    assert (trunk.width, trunk.grid) == (maps[-1][0], maps[-1][1])


def test_a_trunk_gives_the_averages_of_the_depths_asked_for() -> None:
    trunk = TRUNKS["plain"]().eval()
    photos = random(1, 3, 64, 64)
    with torch.inference_mode():
        (second, fourth), last = trunk(photos, (2, 4))
        x = trunk.features[1](trunk.features[0](photos))
        torch.testing.assert_close(second, x.sum((2, 3)) / (16 * 16))
        x = trunk.features[3](trunk.features[2](x))
        torch.testing.assert_close(fourth, x.sum((2, 3)) / (4 * 4))
        torch.testing.assert_close(last, trunk.features[4](x))


def test_alexnet_has_the_parameters_of_2012() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in TRUNKS["alexnet"]().parameters()) == 2_334_080


def test_visnet_has_the_released_shapes() -> None:
    with torch.device("meta"):
        model = Multiscale()
        four, eight = model.shallow.paths
        layers = {"features": model.deep.trunk.features[-1], "4x": four[1], "4x pooled": four[5], "8x": eight[1]}
        layers |= {"8x pooled": eight[5], "embedding": model.embedding}
        assert shapes_of(layers, model, torch.empty(2, 3, 224, 224)) == {
            "features": [512, 7, 7],
            "4x": [96, 15, 15],
            "4x pooled": [96, 5, 5],
            "8x": [96, 8, 8],
            "8x pooled": [96, 5, 5],
            "embedding": [4096],
        }
    assert model.embedding.in_features == 8896


@pytest.mark.parametrize(
    ("layout", "convolved", "pooled"),
    [
        ("strided", (14, 7), (4, 4)),
        ("padded", (15, 8), (4, 4)),
        ("subsampled", (13, 6), (5, 4)),
        ("keras", (14, 7), (4, 4)),
        ("caffe", (15, 8), (5, 5)),
    ],
)
def test_shallow_paths_have_the_maps_of_their_source(
    layout: str, convolved: tuple[int, int], pooled: tuple[int, int]
) -> None:
    with torch.device("meta"):
        paths = ShallowPaths(layout=layout, lrn=False, norm="none", batch_norm=False, init="glorot")  # type: ignore[arg-type]
        for path, side, pooled_side in zip(paths.paths, convolved, pooled, strict=True):
            conv = next(layer for layer in path if isinstance(layer, nn.Conv2d))
            # Before the last pool, which only other sides than 224 px need.
            seen = shapes_of({"conv": conv, "pool": path[-3]}, path, torch.empty(1, 3, 224, 224))
            assert seen == {"conv": [96, side, side], "pool": [96, pooled_side, pooled_side]}
        assert paths(torch.empty(1, 3, 100, 64)).shape == (1, paths.width)
    assert paths.width == 96 * sum(side**2 for side in pooled)


def test_only_zeros_that_the_source_pads_take_part_in_a_pool() -> None:
    maps = {}
    for layout in ("strided", "padded"):  # neither has a ReLU
        paths = ShallowPaths(layout=layout, lrn=False, norm="none", batch_norm=False, init="glorot")  # type: ignore[arg-type]
        for path in paths.paths:
            conv = next(layer for layer in path if isinstance(layer, nn.Conv2d))
            nn.init.zeros_(conv.weight)
            nn.init.constant_(conv.bias, -1.0)
        with torch.inference_mode():
            maps[layout] = paths(random(1, 3, 224, 224)).view(2, 96, 4, 4)
    assert bool((maps["strided"] == -1).all())
    assert bool((maps["padded"][..., 1:3, 1:3] == -1).all())
    assert bool((maps["padded"][..., 0, :] == 0).all())


# --- norms and pools -------------------------------------------------------------------------------------------------


def test_saturating_norm_is_the_cross_channel_norm_of_the_source() -> None:
    x = torch.randn(4, 4096, generator=torch.Generator().manual_seed(0)) * torch.tensor([[0.0], [1e-3], [1.0], [50.0]])
    wide = nn.LocalResponseNorm(8191, 8191.0, 0.5, 1.0)(x[:, :, None, None])[:, :, 0, 0]
    torch.testing.assert_close(saturating_norm(x), wide, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("layout", "alpha", "k"), [("subsampled", 1e-4, 2.0), ("caffe", 1e-4 / 5, 1.0)])
def test_local_norms_have_the_constants_of_their_source(layout: str, alpha: float, k: float) -> None:
    paths = ShallowPaths(layout=layout, lrn=True, norm="none", batch_norm=False, init="glorot")  # type: ignore[arg-type]
    norms = [layer for layer in paths.modules() if isinstance(layer, LocalNorm)]
    assert len(norms) == 2
    x = 300.0 * random(1, 9, 1, 1)
    row = x.flatten().tolist()
    expected = []
    for channel, value in enumerate(row):
        squares = sum(other**2 for other in row[max(channel - 2, 0) : channel + 3])
        expected.append(value / (k + alpha * squares) ** 0.75)
    torch.testing.assert_close(norms[0](x).flatten(), torch.tensor(expected))
    assert bool(torch.isfinite(norms[1](x.half())).all())  # 300² is beyond what half precision holds


def test_the_generalised_mean_lies_between_the_average_and_the_maximum() -> None:
    x = random(2, 3, 4, 5)
    torch.testing.assert_close(GeneralisedMeanPool(1.0)(x), x.mean((2, 3), keepdim=True))
    torch.testing.assert_close(GeneralisedMeanPool(300.0)(x), x.amax((2, 3), keepdim=True), rtol=0.02, atol=0.0)
    pool = GeneralisedMeanPool()
    expected = (sum(value**3 for value in x[1, 2].flatten().tolist()) / 20) ** (1 / 3)
    assert pool(x)[1, 2].item() == pytest.approx(expected, rel=1e-5)
    dark = torch.zeros(1, 3, 4, 5, requires_grad=True)
    pool(dark).sum().backward()
    assert dark.grad is not None
    assert pool.power.grad is not None
    assert bool(torch.isfinite(dark.grad).all() & torch.isfinite(pool.power.grad).all())


def test_each_shallow_norm_makes_unit_vectors_of_its_own_part() -> None:
    photos = random(2, 3, 64, 64)
    found = {}
    for norm in ("each", "joint", "none"):
        paths = ShallowPaths(layout="padded", lrn=False, norm=norm, batch_norm=False, init="glorot")  # type: ignore[arg-type]
        with torch.inference_mode():
            found[norm] = paths(photos).unflatten(1, (2, -1)).norm(dim=2)
    torch.testing.assert_close(found["each"], torch.ones(2, 2))
    torch.testing.assert_close(found["joint"].square().sum(1), torch.ones(2))
    assert not torch.allclose(found["none"], torch.ones(2, 2), atol=0.1)


# --- embedding -------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("photos_px", [(224, 224), (80, 64), (100, 128)])
def test_a_transformer_is_torchvisions_at_its_own_side_and_runs_at_others(photos_px: tuple[int, int]) -> None:
    model = Torchvision(network="vit_s_16", pool="token", embedding=8).eval()
    vit = model.backbone
    tokens: list[Tensor] = []
    model.embedding.register_forward_pre_hook(lambda _, args: tokens.append(args[0]))
    photos = random(1, 3, *photos_px)
    with torch.inference_mode():
        model(photos)
        if photos_px == (224, 224):
            torch.testing.assert_close(tokens[0], vit(model.normalise(photos)), rtol=1e-4, atol=1e-5)
    assert tokens[0].shape == (1, 384)


def test_a_transformers_positions_are_stretched_along_their_own_axis() -> None:
    rows, columns = torch.meshgrid(torch.arange(14.0), torch.arange(14.0), indexing="ij")
    embedding = torch.stack((rows, columns), 2).view(1, 196, 2)
    token = torch.full((1, 1, 2), 99.0)
    assert torch.equal(positions_at(torch.cat((token, embedding), 1), [14, 14])[:, 1:], embedding)
    wide = positions_at(torch.cat((token, embedding), 1), [7, 28])
    assert torch.equal(wide[:, :1], token)
    grid = wide[0, 1:].view(7, 28, 2)
    # Away from the edges a straight line stays one: pixel centres, two rows to one and one column to two.
    torch.testing.assert_close(grid[2:5, 9, 0], torch.tensor([4.5, 6.5, 8.5]))
    torch.testing.assert_close(grid[3, 10:14, 1], torch.tensor([4.75, 5.25, 5.75, 6.25]))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Tapped(taps=(2, 1)), r"taps must rise and be among \[1, 2, 3, 4\], the depths of vgg16, are \[2, 1\]"),
        (lambda: Tapped(trunk="alexnet", taps=(3,)), r"among \[1, 2\], the depths of alexnet, are \[3\]"),
        (lambda: Tapped(taps=(1, 1)), r"taps must rise"),
        (lambda: Tapped(frozen_convs=14), r"frozen_convs must be 0 to 13, the trunk's convolutions, is 14"),
        (lambda: Tapped(dense=(8, 0)), r"dense widths must be at least 1, are \[8, 0\]"),
        (lambda: Torchvision(network="resnet18", pool="token"), r"pool of resnet18 must be 'average' or 'gem'"),
        (lambda: Torchvision(network="vit_s_16", pool="gem"), r"pool of vit_s_16 must be 'token', is 'gem'"),
    ],
)
def test_what_cannot_be_built_is_refused(make: object, said: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]


# --- frozen parts ----------------------------------------------------------------------------------------------------


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


# --- torchvision's weights -------------------------------------------------------------------------------------------


def numbered(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of a state's names and shapes, each filled with its place in the list; takes no memory."""
    return {name: torch.tensor(float(at)).expand(value.shape) for at, (name, value) in enumerate(state.items())}


FC6, FC7 = "classifier.0.bias", "classifier.3.bias"


@pytest.mark.parametrize(
    ("make", "vgg", "dense"),
    [
        (lambda: Multiscale(), "vgg16", {"deep.dense.0.bias": FC6, "deep.dense.1.bias": FC7}),
        (lambda: Tapped(trunk="vgg19", frozen_convs=7), "vgg19", {}),
        (lambda: Tapped(taps=(), pool="grid", dense=(4096, 512)), "vgg16", {"deep.dense.0.bias": FC6}),
        (lambda: Tapped(taps=(), pool="grid", dense=(1024, 4096)), "vgg16", {}),
        (lambda: Tapped(taps=(), pool="average", dense=(4096, 4096)), "vgg16", {}),
    ],
)  # fmt: skip
def test_a_trunk_takes_torchvisions_vgg(make: object, vgg: str, dense: dict[str, str]) -> None:
    with torch.device("meta"):
        model = make()  # type: ignore[operator]
        shapes = getattr(torchvision.models, vgg)().state_dict()
    state = numbered(shapes)
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    model.load_trunk(state)
    filled = {name for name, value in model.state_dict().items() if not value.is_meta}
    wanted = {f"deep.trunk.{name}": name for name in state if name.startswith("features.")} | dense
    assert filled >= wanted.keys()
    assert {name for name in filled if "dense" in name} == {
        f"{name.rpartition('.')[0]}.{kind}" for name in dense for kind in ("weight", "bias")
    }
    for ours, theirs in wanted.items():
        value = model.get_parameter(ours)
        assert value.shape == state[theirs].shape
        assert value.flatten()[0] == list(state).index(theirs), ours
    assert frozen == [name for name, parameter in model.named_parameters() if not parameter.requires_grad]


def test_what_is_no_vgg16_is_refused() -> None:
    with torch.device("meta"):
        model = Multiscale()
        shapes = torchvision.models.vgg16().state_dict()
        other = torchvision.models.vgg19().state_dict()
    state = numbered(shapes)
    with pytest.raises(ValueError, match=r"no VGG16: 2 of its 30 tensors are missing, first 'classifier.0.bias'"):
        model.load_trunk({name: value for name, value in state.items() if "classifier.0" not in name})
    with pytest.raises(ValueError, match=r"no VGG16: 'classifier.3.bias' is \[7\], must be \[4096\]"):
        model.load_trunk({**state, "classifier.3.bias": torch.zeros(7)})
    with pytest.raises(ValueError, match=r"no VGG16: \d+ of its 30 tensors are missing, first 'features.17.bias'"):
        model.load_trunk(other)
    with pytest.raises(ValueError, match=r"torchvision has no plain; a file must hold all tensors of the model"):
        Tapped(trunk="plain").load_trunk(state)


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "convnext_tiny", "efficientnet_v2_s", "mobilenet_v3_large", "vit_b_16"]
)
def test_a_backbone_takes_torchvisions_weights(name: str) -> None:
    with torch.device("meta"):
        model = Torchvision(network=name, pool="token" if "vit" in name else "gem")  # type: ignore[arg-type]
        shapes = getattr(torchvision.models, name)().state_dict()
    # torchvision's older files do not count the batches seen.
    state = numbered({key: value for key, value in shapes.items() if not key.endswith("num_batches_tracked")})
    model.load_trunk(state)
    for ours, value in model.state_dict().items():
        theirs = ours.removeprefix("backbone.")
        if ours == theirs or theirs == "avgpool.power":
            assert value.is_meta, ours
        elif not theirs.endswith("num_batches_tracked"):
            assert value.flatten()[0] == list(state).index(theirs), ours
    first = next(iter(state))
    with pytest.raises(ValueError, match=rf"no {name}: 1 of its \d+ tensors are missing, first '{first}'"):
        model.load_trunk({key: value for key, value in state.items() if key != first})


@pytest.mark.parametrize(("name", "head"), [("resnet18", "fc"), ("mobilenet_v3_large", "classifier")])
def test_a_backbone_reads_photos_as_torchvisions_network_does(name: str, head: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = getattr(torchvision.models, name)().eval()
    model = Torchvision(network=name, embedding=8).eval()  # type: ignore[arg-type]
    model.load_trunk(theirs.state_dict())
    setattr(theirs, head, nn.Identity())
    seen: list[Tensor] = []
    model.embedding.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    photos = random(2, 3, 96, 96)
    with torch.inference_mode():
        model(photos)
        expected = theirs(
            torchvision.transforms.functional.normalize(photos, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        )
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-5)


def test_digest_sees_names_types_shapes_and_values() -> None:
    base = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(1)}
    same = {"b": torch.tensor(1), "a": torch.arange(6.0).view(3, 2).T.contiguous().T.reshape(2, 3)}
    assert weights.digest(base) == weights.digest(same)
    others = [
        {**base, "a": base["a"].view(3, 2)},
        {**base, "b": torch.tensor(2)},
        {**base, "a": base["a"].view(torch.int32)},
        {"c": base["a"], "b": base["b"]},
        {"a": base["a"]},
    ]
    assert len({weights.digest(state) for state in (base, *others)}) == 6
    assert weights.digest({"h": torch.ones(3, dtype=torch.bfloat16)})


# --- weights on disk -------------------------------------------------------------------------------------------------

SMALL = zoo.entry("mildnet_small").toml().replace("dense = [128]", "dense = [16]")


def test_a_saved_model_embeds_as_before(tmp_path: Path) -> None:
    model = zoo.build_model(zoo.parse(SMALL, "small"), seed=3).eval()
    digest = weights.save(model, SMALL, tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.safetensors", "model.toml"]
    loaded, entry = weights.load(tmp_path / "model")
    assert entry == zoo.parse(SMALL, "small")
    assert weights.digest(loaded.state_dict()) == digest == weights.digest(model.state_dict())
    photos = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(photos), model(photos))
    assert not loaded.training
    assert all(p.requires_grad for p in loaded.parameters())


def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with pytest.raises(ValueError, match=r"model.toml: no such file"):
        weights.load(folder)
    weights.save(zoo.build_model(zoo.parse(SMALL, "small"), seed=3), SMALL, folder)
    tensors = folder / "model.safetensors"
    whole = tensors.read_bytes()

    def refused(said: str) -> None:
        with pytest.raises(ValueError, match=said) as caught:
            weights.load(folder)
        assert "\n" not in str(caught.value)
        assert "model.safetensors" in str(caught.value)

    tensors.write_bytes(whole[: len(whole) // 2])
    refused("corrupt or cut short")
    tensors.write_bytes(b"")
    refused("corrupt or cut short")
    tensors.write_bytes(os.urandom(4096))
    refused("corrupt or cut short")
    tensors.unlink()
    refused("no such file")
    wider = SMALL.replace("dense = [16]", "dense = [17]")
    tensors.write_bytes(whole)
    (folder / "model.toml").write_text(wider)
    refused(r"tensor 'deep.dense.0.(bias|weight)' is float32 \[16.*\]; Tapped wants float32 \[17.*\]")
    (folder / "model.toml").write_text(zoo.entry("visnet").toml())
    refused(r"its tensors are not those of Multiscale: \d+ missing, first .*; \d+ unexpected")


def test_pretrained_weights_come_from_a_file(tmp_path: Path) -> None:
    trained = zoo.build_model(zoo.parse(SMALL, "small"), seed=3)
    weights.save(trained, SMALL, tmp_path)
    path = tmp_path / "model.safetensors"
    warm = zoo.parse(SMALL.replace('weights = "none"', f'weights = "{path}"'), "warm")
    assert weights.digest(zoo.build_model(warm, seed=4).state_dict()) == weights.digest(trained.state_dict())
    torch.save(trained.state_dict(), tmp_path / "model.pth")
    warm = zoo.parse(SMALL.replace('weights = "none"', f'weights = "{tmp_path}/model.pth"'), "warm")
    assert weights.digest(zoo.build_model(warm, seed=4).state_dict()) == weights.digest(trained.state_dict())
    torch.save(print, tmp_path / "evil.pth")
    for name, said in (("evil.pth", "corrupt or cut short"), ("no.pth", "no such file"), ("x.h5", "unknown kind")):
        bad = zoo.parse(SMALL.replace('weights = "none"', f'weights = "{tmp_path}/{name}"'), "bad")
        with pytest.raises(ValueError, match=rf"zoo entry mildnet_small: weights .*{said}.*allowed are 'imagenet'"):
            zoo.build_model(bad, seed=0)


def test_a_download_that_fails_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with torch.device("meta"):
        model = Multiscale()
    with pytest.raises(ValueError, match=r"vgg16-397923af.pth could not be downloaded") as caught:
        load_pretrained(model, "imagenet", "zoo entry visnet")
    said = str(caught.value)
    assert f"put that file at {tmp_path}/hub/checkpoints/vgg16-397923af.pth" in said
    assert "'none' or the path" in said
    assert "\n" not in said
    with torch.device("meta"):
        mobile = Tapped(trunk="mobilenet")
    with pytest.raises(ValueError, match="torchvision has none for mobilenet"):
        load_pretrained(mobile, "imagenet", "x")


# --- what goes in ----------------------------------------------------------------------------------------------------


def test_photos_are_read_together_and_checked() -> None:
    class Many(torch.utils.data.Dataset[torch.Tensor]):
        asked: list[list[int]] = []  # noqa: RUF012

        def __getitems__(self, rows: list[int]) -> list[torch.Tensor]:
            self.asked.append(rows)
            return [torch.full((3, 4, 4), row, dtype=torch.uint8) for row in rows]

    assert stack(Many(), [3, 1])[:, 0, 0, 0].tolist() == [3, 1]
    assert Many.asked == [[3, 1]]
    good = torch.zeros(3, 4, 4, dtype=torch.uint8)
    for bad in (torch.zeros(3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.uint8), torch.zeros(3, 4, 5, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="photo 1 of the dataset is"):
            stack([good, bad], [0, 1])  # type: ignore[arg-type]


def test_photos_become_floats_in_0_to_1() -> None:
    photos = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    for channels_last in (True, False):
        assert as_floats(photos, channels_last=channels_last).flatten().tolist() == pytest.approx([0.0, 0.2, 1.0])
