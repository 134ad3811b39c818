"""A frozen network is fitted to a catalog by the photos alone."""

import numpy as np
import pytest
import torch
from torch import nn

from visnet import zoo
from visnet.embedding.embed import embed
from visnet.pipeline.log import SILENT
from visnet.training import fit_projection
from visnet.training.projection import ENOUGH, POWER, projection


def clusters(count: int, width: int, seed: int = 0) -> np.ndarray:
    """Draw unit vectors [N, W] that share a large mean, and vary much in their first three numbers."""
    rng = np.random.default_rng(seed)
    drawn = rng.normal(0, 0.02, (count, width)) + 3.0
    drawn[:, :3] += rng.normal(0, 1.0, (count, 3))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_of_enough_photos_the_mean_is_nothing_and_directions_are_half_evened_out() -> None:
    vectors = clusters(4 * ENOUGH, 24)
    weight, bias = projection(vectors, 8, np.random.default_rng(0))
    made = vectors @ weight.T + bias
    assert np.abs(made.mean(0)).max() < 1e-9
    covariance = np.cov(made.T)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-9 * covariance.max()
    wanted = np.sort(np.linalg.eigvalsh(np.cov(vectors.T)))[::-1][:8] ** (1 - POWER)
    assert np.diag(covariance) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("count", [1, 2, 7, ENOUGH - 1])
def test_of_few_photos_the_angles_between_them_stay(count: int) -> None:
    vectors = clusters(count, 600)
    weight, bias = projection(vectors, 512, np.random.default_rng(0))
    assert not bias.any()
    assert weight @ weight.T == pytest.approx(np.eye(512), abs=1e-9)
    made = vectors @ weight.T
    assert made @ made.T == pytest.approx(vectors @ vectors.T, abs=1e-9)


def test_photos_that_are_all_alike_are_no_division_by_nothing() -> None:
    weight, bias = projection(np.ones((ENOUGH, 4)) / 2, 4, np.random.default_rng(0))
    assert np.isfinite(weight).all()
    assert np.isfinite(bias).all()


PHOTOS = torch.randint(0, 256, (9, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def frozen() -> nn.Module:
    entry = zoo.entry("efficientnet_lite0_frozen")
    return zoo.build_model(entry, seed=1)


def test_the_model_that_is_fitted_keeps_its_trunk_and_is_the_same_again(frozen: nn.Module) -> None:
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    assert fit_projection(frozen, PHOTOS, seed=1, batch=8, workers=0, log=SILENT) == len(PHOTOS)
    after = frozen.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"embedding.weight"}, "of few photos there is no mean to take away"
    again = zoo.build_model(zoo.entry("efficientnet_lite0_frozen"), seed=1)
    fit_projection(again, PHOTOS, seed=1, batch=8, workers=0, log=SILENT)
    for name in changed:
        assert torch.equal(again.state_dict()[name], after[name])
    vectors = torch.cat([part for _, part in embed(frozen, PHOTOS, batch=8)])
    assert vectors.shape == (len(PHOTOS), 256)
    assert vectors.norm(dim=1) == pytest.approx(torch.ones(len(PHOTOS)), abs=1e-5)


def test_no_photos_are_refused(frozen: nn.Module) -> None:
    with pytest.raises(ValueError, match="there are no photos to fit the projection to"):
        fit_projection(frozen, torch.utils.data.Subset(PHOTOS, []), seed=1, batch=8, workers=0, log=SILENT)
