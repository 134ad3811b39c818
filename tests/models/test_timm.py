"""Networks of timm: sides, patches, pools, and what must be there for them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.models.drawn import random
from visnet.models.timm_trunk import TimmTrunk

ROOT = Path(__file__).resolve().parents[2]


def fed(model: TimmTrunk, photos: Tensor) -> list[int]:
    """Return the sides of what the trunk gets."""
    seen: list[list[int]] = []
    model.trunk.register_forward_pre_hook(lambda _, args: seen.append(list(args[0].shape[-2:])))
    with torch.inference_mode():
        assert model(photos).shape == (len(photos), model.dimensions)
    return seen[0]


@pytest.mark.parametrize(
    ("network", "photos_px", "fed_px"),
    [
        ("vit_tiny_patch16_224", (224, 224), [224, 224]),
        ("vit_tiny_patch16_224", (80, 64), [80, 64]),
        ("vit_tiny_patch16_224", (100, 131), [96, 128]),
        ("vit_small_patch14_dinov2", (97, 97), [98, 98]),
        ("resnet18", (97, 131), [97, 131]),
        ("swin_tiny_patch4_window7_224", (97, 131), [224, 224]),  # takes no other side
    ],
)
def test_photos_of_any_side_are_brought_to_what_a_network_takes(
    network: str, photos_px: tuple[int, int], fed_px: list[int]
) -> None:
    with torch.device("meta"):
        model = TimmTrunk(network=network, embedding=0)
        assert fed(model.eval(), torch.empty(2, 3, *photos_px)) == fed_px


def test_a_generalised_mean_pools_the_last_map() -> None:
    for network, pooled in (("resnet18", "global_pool"), ("convnext_atto", "head.global_pool")):
        model = TimmTrunk(network=network, pool="gem", embedding=0).eval()
        photos = model.normalise(random(2, 3, 64, 64))
        with torch.inference_mode():
            seen = model.trunk.forward_features(photos)
            mean = model.trunk.get_submodule(pooled)(seen).flatten(1)
        cells = seen.flatten(2).clamp_min(1e-6)
        torch.testing.assert_close(mean, (cells**3).mean(2) ** (1 / 3))


def test_maps_of_other_depths_are_joined_to_what_is_pooled() -> None:
    model = TimmTrunk(network="tf_efficientnet_lite0", embedding=0, taps=(2, 5)).eval()
    photos = random(2, 3, 64, 64)
    maps: list[Tensor] = []
    for stage in (1, 6):  # where the side is halved the second time, and the last: feature_info of timm
        model.trunk.blocks[stage].register_forward_hook(lambda *seen: maps.append(seen[-1]))
    with torch.inference_mode():
        vectors = model(photos)
        pooled = model.trunk(model.normalise(photos))
    parts = [pooled, *(found.mean((2, 3)) for found in maps[:2])]
    joined = torch.cat([nn.functional.normalize(part) for part in parts], dim=1)
    assert model.dimensions == vectors.shape[1] == 1280 + 24 + 320
    torch.testing.assert_close(vectors, nn.functional.normalize(joined))


@pytest.mark.parametrize(
    ("network", "taps", "said"),
    [
        (
            "tf_efficientnet_lite0",
            (0,),
            r"taps of tf_efficientnet_lite0 must rise and be among \[1, 2, 3, 4, 5\], are \[0\]",
        ),
        ("tf_efficientnet_lite0", (2, 1), r"must rise .*, are \[2, 1\]"),
        ("tf_efficientnet_lite0", (6,), r"are \[6\]"),
        ("vit_tiny_patch16_224", (1,), r"taps of vit_tiny_patch16_224 must be \[\], are \[1\]"),
    ],
)
def test_taps_that_a_network_does_not_have_are_refused(network: str, taps: tuple[int, ...], said: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=said):
        TimmTrunk(network=network, taps=taps)


@pytest.mark.parametrize(("pool", "read"), [("token", lambda x: x[:, 0]), ("average", lambda x: x[:, 5:].mean(1))])
def test_a_transformer_gives_its_class_token_or_the_average_of_its_patches(pool: str, read: object) -> None:
    model = TimmTrunk(network="vit_small_patch16_dinov3", pool=pool, embedding=0).eval()  # type: ignore[arg-type]
    photos = random(2, 3, 64, 64)
    with torch.inference_mode():
        tokens = model.trunk.forward_features(model.normalise(photos))  # the class, four registers, sixteen patches
        expected = nn.functional.normalize(read(tokens))  # type: ignore[operator]
        torch.testing.assert_close(model(photos), expected)
    assert tokens.shape == (2, 21, 384)


def test_a_vector_does_not_depend_on_its_batch() -> None:
    model = TimmTrunk(network="tf_efficientnet_lite0", pool="gem", embedding=8).eval()
    photos = random(3, 3, 96, 96)
    with torch.inference_mode():
        together = model(photos)
        alone = torch.cat([model(photo[None]) for photo in photos])
    torch.testing.assert_close(together, alone, rtol=0.0, atol=1e-5)


def test_where_timm_is_absent_the_other_kinds_work_and_a_line_names_the_cure() -> None:
    code = (
        "import sys; sys.modules['timm'] = None\n"
        "from visnet import zoo\n"
        "zoo.build_model(zoo.entry('mildnet_small'), seed=1)\n"
        "try: zoo.build_model(zoo.entry('resnet18'), seed=1)\n"
        "except ValueError as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout == "zoo entry resnet18: [architecture] (timm): timm is not installed: pip install timm\n"
