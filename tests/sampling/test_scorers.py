"""What each similarity scorer sees and what it does not, on drawn pictures, and on real photos where there are some."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as F

from visnet.sampling.scorers import SCORERS, colour, deep, describe, pattern

torch.set_num_threads(1)
REAL = Path(os.environ.get("VISNET_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
SIDE_PX = 96
RED, NAVY, GREEN, SAND, WHITE, GREY = (
    (200, 30, 30),
    (20, 30, 90),
    (40, 150, 60),
    (210, 180, 140),
    (255,) * 3,
    (120,) * 3,
)
RGB = tuple[int, ...]
DOWN, ACROSS = np.meshgrid(np.arange(SIDE_PX), np.arange(SIDE_PX), indexing="ij")


def stripes(one: RGB, other: RGB, period_px: float = 8, angle: float = 0.0, shift_px: float = 0.0) -> np.ndarray:
    along = DOWN * np.cos(angle) + ACROSS * np.sin(angle) + shift_px
    return np.where((np.sin(2 * np.pi * along / period_px) > 0)[..., None], one, other)


def checks(one: RGB, other: RGB, period_px: int = 12) -> np.ndarray:
    return np.where(((DOWN // (period_px // 2) + ACROSS // (period_px // 2)) % 2 == 0)[..., None], one, other)


def dots(one: RGB, other: RGB, period_px: int = 12) -> np.ndarray:
    inside = (DOWN % period_px - period_px / 2) ** 2 + (ACROSS % period_px - period_px / 2) ** 2 < (period_px / 4) ** 2
    return np.where(inside[..., None], one, other)


def plain(one: RGB) -> np.ndarray:
    return stripes(one, one)


def shaded(one: RGB) -> np.ndarray:
    light = 0.75 + 0.25 * np.cos(np.pi * (ACROSS + 0.5 * DOWN) / SIDE_PX)
    return np.array(one) * light[..., None]


def worn(fabric: np.ndarray, ground: RGB | np.ndarray) -> Tensor:
    """Draw a shirt of the fabric before a ground, with a camera's noise: uint8 [3, S, S]."""
    body = (abs(ACROSS - 47.5) < 24) & (DOWN > 16) & (DOWN < 88)
    sleeves = (abs(ACROSS - 47.5) < 38) & (DOWN > 16) & (DOWN < 40)
    picture = np.where((body | sleeves)[..., None], fabric, ground) + np.random.default_rng(0).normal(
        0, 2, (SIDE_PX, SIDE_PX, 3)
    )
    return torch.from_numpy(picture.clip(0, 255).astype(np.uint8)).permute(2, 0, 1)


def busy(seed: int) -> np.ndarray:
    blocks = np.random.default_rng(seed).integers(0, 256, (12, 12, 3))
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


def sq_distance(score: Callable[[Tensor], Tensor], a: Tensor, b: Tensor) -> float:
    both = score(torch.stack([a, b]))
    return float((both[0] - both[1]).square().sum())


# ---- colour


def test_colour_is_of_the_shirt_whatever_is_behind_it() -> None:
    grounds = [WHITE, GREY, NAVY, stripes(SAND, WHITE, 30), stripes(GREY, GREEN, 50, 1.0)]
    for ground in grounds[1:]:
        same = sq_distance(colour, worn(plain(RED), WHITE), worn(plain(RED), ground))
        other = sq_distance(colour, worn(plain(RED), WHITE), worn(plain(GREEN), WHITE))
        assert same < 0.2 < 1.5 < other


def test_a_picture_that_fabric_fills_or_whose_ground_is_alike_keeps_its_colour() -> None:
    close_up = torch.from_numpy(plain(RED).astype(np.uint8)).permute(2, 0, 1)
    assert sq_distance(colour, close_up, worn(plain(RED), GREY)) < 0.3
    white = worn(plain(WHITE), WHITE)
    assert sq_distance(colour, white, worn(plain(WHITE), NAVY)) < 0.3 < 1.5 < sq_distance(colour, white, close_up)


def test_a_busy_ground_leaves_the_centre() -> None:
    for seed in range(3):
        red, green = worn(plain(RED), busy(seed)), worn(plain(GREEN), busy(seed))
        assert sq_distance(colour, red, worn(plain(RED), WHITE)) < 0.5 < 1 < sq_distance(colour, red, green)


def test_colour_does_not_see_arrangement() -> None:
    upright, lying = worn(stripes(RED, WHITE), GREY), worn(stripes(RED, WHITE, angle=np.pi / 2), GREY)
    assert sq_distance(colour, upright, lying) < 0.05 < 0.3 < sq_distance(colour, upright, worn(plain(RED), GREY))


# ---- pattern

FABRICS = {
    "plain": lambda one, other: plain(one),
    "stripes": stripes,
    "wide stripes": lambda one, other: stripes(one, other, 18),
    "upright stripes": lambda one, other: stripes(one, other, angle=np.pi / 2),
    "checks": checks,
    "dots": dots,
}
COLOURS = [(RED, WHITE, GREY), (NAVY, SAND, WHITE), (WHITE, GREEN, NAVY)]  # of the fabric, and behind it


def test_patterns_are_known_again_in_other_colours_before_other_grounds() -> None:
    made = {name: pattern(torch.stack([worn(f(a, b), c) for a, b, c in COLOURS])) for name, f in FABRICS.items()}
    within = max(float(torch.pdist(vectors).max()) for vectors in made.values())
    names = list(made)
    between = min(float(torch.cdist(made[a], made[b]).min()) for i, a in enumerate(names) for b in names[i + 1 :])
    assert within < 0.8 * between


def test_stripes_are_nearer_to_stripes_of_another_colour_than_to_plain_of_their_own() -> None:
    red, navy = worn(stripes(RED, WHITE), GREY), worn(stripes(NAVY, SAND, shift_px=3), GREY)
    assert sq_distance(pattern, red, navy) < 0.1 * sq_distance(pattern, red, worn(plain(RED), GREY))


def test_shading_is_no_pattern() -> None:
    smooth, folded = worn(plain(RED), GREY), worn(shaded(RED), GREY)
    assert sq_distance(pattern, smooth, folded) < 0.1 * sq_distance(pattern, folded, worn(stripes(RED, WHITE), GREY))


def test_a_plain_fabric_has_next_to_no_length_and_a_strong_pattern_nearly_1() -> None:
    flat, strong = pattern(torch.stack([worn(plain(NAVY), SAND), worn(stripes(NAVY, WHITE), SAND)])).norm(dim=1)
    assert flat < 0.2 < 0.8 < strong <= 1
    one_colour = torch.full((1, 3, SIDE_PX, SIDE_PX), 90, dtype=torch.uint8)
    assert pattern(one_colour).abs().max() < 1e-4


def test_pictures_of_any_size_are_described_alike() -> None:
    small, large = (F.resize(worn(stripes(RED, WHITE, 16), GREY), [side, side]) for side in (64, 131))
    for score in (colour, pattern):
        a, b = score(small[None]), score(large[None])
        assert a.shape == b.shape
        assert a.dtype == torch.float32
        assert float((a - b).square().sum()) < 0.1


# ---- deep


class Twice(nn.Module):
    """Give the mean colour, twice as bright in training."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.9)
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, photos: Tensor) -> Tensor:
        return self.dropout(photos.mean(dim=(2, 3)) * self.scale)


def test_deep_is_the_networks_features_in_eval_mode_at_length_1() -> None:
    network = Twice()
    network.dropout.train()
    photos = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    got = deep(photos, network)
    mean = photos.double().mean(dim=(2, 3))
    assert torch.allclose(got.double(), mean / mean.norm(dim=1, keepdim=True), atol=1e-6)
    assert network.dropout.training
    assert not got.requires_grad


def test_a_network_that_gives_maps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the network gives \[2, 3, 8, 8\] for 2 photos; needed is \[B, D\]"):
        deep(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), nn.Identity())


# ---- all


class Photos(Dataset[Tensor]):
    def __init__(self, photos: Tensor) -> None:
        self.photos = photos

    def __getitem__(self, index: int) -> Tensor:
        return self.photos[index]


def test_a_dataset_is_described_in_batches_as_photo_by_photo() -> None:
    photos = torch.stack([worn(f(*COLOURS[0][:2]), GREY) for f in FABRICS.values()])
    got = describe(Photos(photos), 5, ["pattern", "deep", "colour"], network=Twice(), batch=2)
    assert list(got) == ["pattern", "deep", "colour"]
    for name, score in (("pattern", pattern), ("colour", colour), ("deep", lambda p: deep(p, Twice()))):
        one_by_one = torch.cat([score(photo[None]) for photo in photos[:5]])
        assert torch.allclose(got[name], one_by_one, atol=1e-5)
    assert set(SCORERS) == set(got)


def test_what_cannot_be_described_is_refused() -> None:
    photos = Photos(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="no scorer is called 'shape'; allowed are deep, colour, pattern"):
        describe(photos, 1, ["shape"])
    with pytest.raises(ValueError, match="scorer 'deep' needs a network"):
        describe(photos, 1, ["deep"])
    with pytest.raises(ValueError, match="batch must be at least 1, is 0"):
        describe(photos, 1, ["colour"], batch=0)
    for score in (colour, pattern, lambda p: deep(p, Twice())):
        for wrong in (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9, dtype=torch.uint8)):
            with pytest.raises(ValueError, match=r"needed is uint8 \[B, 3, S, S\]"):
                score(wrong)


@pytest.mark.real
def test_on_real_garments_each_scorer_finds_more_alike_than_chance() -> None:
    root = REAL / "clothing"
    if not root.is_dir():
        pytest.skip(f"{root} is not here")
    table = pd.read_csv(root / "sample_set.csv", sep="\t").sample(800, random_state=0)
    paths = [str(root / "images" / name) for name in table["_name"]]
    opened = [F.pil_to_tensor(Image.open(path).convert("RGB")) for path in paths]
    photos = [F.resize(photo, [SIDE_PX, SIDE_PX], antialias=True) for photo in opened]
    found = describe(Photos(torch.stack(photos)), len(photos), ["colour", "pattern"])
    category, tint = (torch.from_numpy(pd.factorize(table[name])[0]) for name in ("_category", "_color"))
    alike = {
        "colour": (category[:, None] == category) & (tint[:, None] == tint),
        "pattern": category[:, None] == category,
    }
    for name, vectors in found.items():
        apart = torch.cdist(vectors, vectors).fill_diagonal_(torch.inf)
        nearest = apart.topk(10, largest=False).indices
        agreement = float(alike[name].gather(1, nearest).float().mean())
        chance = float((alike[name].sum() - len(photos)) / (len(photos) * (len(photos) - 1)))
        assert agreement > {"colour": 4, "pattern": 1.5}[name] * chance
