"""Norms and pools, against the formulas of their sources."""

import pytest
import torch
from torch import nn

from tests.models.drawn import random
from visnet.models.norms import GeneralisedMeanPool, LocalNorm, saturating_norm
from visnet.models.shallow import ShallowPaths


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
