"""Photos that are embedded together have, to the bit, the vectors that they have alone."""

import pytest
import torch
from torch import nn

from visnet import zoo
from visnet.embedding.embed import embed, ready
from visnet.embedding.together import ALONE, embed_together, sizes_alike
from visnet.zoo import build_model

SIDE_PX = 64
pytestmark = pytest.mark.usefixtures("one_thread")


class MeanOfTheBatch(nn.Module):
    """A network whose vectors depend on their company, as no size of batch can hide."""

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        return photos.mean((2, 3)) - photos.mean((0, 2, 3))


def photos(count: int) -> list[torch.Tensor]:
    drawn = torch.randint(0, 256, (count, 3, SIDE_PX, SIDE_PX), generator=torch.Generator().manual_seed(7))
    return list(drawn.to(torch.uint8))


@pytest.mark.parametrize("count", [1, 2, 7, 16, 21])
def test_company_changes_no_bit_in_the_sizes_that_were_found_alike(count: int) -> None:
    built = build_model(zoo.entry("mildnet_small"), seed=3)
    model = ready(built, SIDE_PX, "fp32")
    sizes = sizes_alike(model, SIDE_PX, "fp32")
    assert sizes[-1] == 1
    assert list(sizes) == sorted(sizes, reverse=True)
    squares = photos(count)
    together = embed_together(model, squares, sizes, "fp32")
    assert torch.equal(together, torch.cat([embed_together(model, [one], ALONE, "fp32") for one in squares]))
    plain = embed(built, squares, batch=1, precision="fp32")  # type: ignore[arg-type]
    assert torch.equal(together, torch.cat([vectors for _, vectors in plain])), "as any photo is embedded"


def test_linear_layers_alone_keep_no_photo_waiting_for_itself() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE_PX**2, 32))
    assert sizes_alike(model, SIDE_PX, "fp32") == (16, 8, 4, 2, 1), "each row is summed on its own"


def test_a_network_that_looks_at_its_company_gets_none() -> None:
    assert sizes_alike(MeanOfTheBatch(), SIDE_PX, "fp32") == ALONE
