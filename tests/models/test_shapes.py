"""Networks: their maps and embeddings are of the shapes that their sources give."""

import pytest
import torch
from torch import nn

from tests.models.drawn import random, shapes_of
from visnet.models.multiscale import Multiscale
from visnet.models.shallow import ShallowPaths
from visnet.models.trunks import TRUNKS

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
