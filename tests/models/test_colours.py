"""Colours as a network sees them: the histogram of the baseline, joined to an embedding by a share of the distance."""

import numpy as np
import pytest
import torch

from visnet.embedding.colour_histogram import colour_histogram, lab
from visnet.models.colours import SIDE_PX, Colours, cielab, histograms
from visnet.models.timm_trunk import COLOURS, TimmTrunk


def drawn(seed: int, side: int = SIDE_PX) -> np.ndarray:
    """Draw a photo of a few colours, uint8 [S, S, 3]."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.integers(0, 256, (4, 4, 3)).repeat(side // 4, 0).repeat(side // 4, 1), np.uint8)


def floats(*photos: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2) / 255.0


def test_cielab_is_the_baseline_s() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3))
    assert np.allclose(cielab(floats(*rgb)).permute(0, 2, 3, 1).numpy(), lab(rgb), atol=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_a_histogram_is_the_baseline_s_but_for_its_rounding_of_colours(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 12, (SIDE_PX, SIDE_PX, 3))
    photo = (drawn(seed) + noise).clip(0, 255).astype(np.uint8)
    (found,) = histograms(floats(photo))
    assert found.square().sum() == pytest.approx(1.0, abs=1e-5)
    assert np.square(found.numpy() - colour_histogram(photo)).sum() < 0.02  # 2 is nothing in common


def test_it_sees_colours_most_in_the_middle_and_neither_places_nor_sides() -> None:
    red, framed = np.full((64, 64, 3), (200, 20, 30), np.uint8), np.full((64, 64, 3), (20, 30, 200), np.uint8)
    framed[10:54, 10:54] = red[0, 0]
    blue = np.full((64, 64, 3), (20, 30, 200), np.uint8)
    whole, rim, other, mirrored, large = histograms(
        torch.cat([floats(red, framed, blue, framed[:, ::-1].copy()), floats(framed)])
    )
    assert (whole - rim).square().sum() < 0.2 < 1.9 < (whole - other).square().sum()
    assert torch.allclose(rim, mirrored, atol=1e-5)
    assert torch.allclose(histograms(floats(framed.repeat(2, 0).repeat(2, 1)))[0], large, atol=1e-5)


def test_its_first_map_keeps_distances_about() -> None:
    torch.manual_seed(0)
    seen = histograms(floats(*(drawn(seed) for seed in range(24))))
    mapped = Colours(COLOURS).linear(seen) * (seen.shape[1] / COLOURS) ** 0.5
    ratio = torch.pdist(mapped) / torch.pdist(seen)
    assert 0.9 < ratio.mean() < 1.1
    assert ratio.std() < 0.2


def test_joined_to_a_trunk_they_have_their_share_of_a_squared_distance() -> None:
    model = TimmTrunk(network="tf_efficientnet_lite0", embedding=32, colours=0.25).eval()
    with torch.inference_mode():
        found = model(floats(*(drawn(seed) for seed in range(4))))
    assert found.shape == (4, model.dimensions) == (4, 32 + COLOURS)
    assert torch.allclose(found[:, :32].square().sum(1), torch.tensor(0.75))
    assert torch.allclose(found[:, 32:].square().sum(1), torch.tensor(0.25))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"colours": 1.0}, "colours must be at least 0 and below 1, is 1"),
        ({"colours": -0.1}, "colours must be at least 0 and below 1, is -0.1"),
        ({"colours": 0.2, "fitted": True, "frozen_blocks": -1}, "colours want to be learnt"),
    ],
)
def test_a_share_that_is_none_is_refused(given: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TimmTrunk(network="tf_efficientnet_lite0", **given)  # type: ignore[arg-type]
