"""Photos that are embedded together have, to the bit, the vectors that they have alone."""

import pytest
import torch
from torch import nn

from visnet import zoo
from visnet.embedding.embed import Computed, embed, ready
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


class OtherSums(nn.Conv2d):
    """A layer that sums a batch in another order: one of 768 values is rounded otherwise, of one photo in eight."""

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        found = super().forward(photos)
        if len(photos) > 1:
            bits = found.contiguous().view(torch.int16)
            bits[(photos[:, 0, 0, 0] * 255).round() % 8 == 0, 3, 2, 5] ^= 1
            return bits.view(torch.bfloat16)
        return found


def test_other_sums_are_seen_that_rounding_hides_from_most_vectors() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(OtherSums(3, 12, 8, stride=8), nn.AdaptiveMaxPool2d(1), nn.Flatten()).eval()
    squares = photos(16)
    alone = embed_together(model, squares, ALONE, "bf16")
    assert torch.equal(embed_together(model, squares, (16,), "bf16"), alone), "by vectors alone nothing would be seen"
    assert sizes_alike(model, SIDE_PX, "bf16") == ALONE
    plain = nn.Sequential(nn.Conv2d(3, 12, 8, stride=8), nn.AdaptiveMaxPool2d(1), nn.Flatten()).eval()
    assert sizes_alike(plain, SIDE_PX, "fp32")[0] == 16


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("count", [1, 2, 7, 16, 21])
def test_company_changes_no_bit_in_the_sizes_that_were_found_alike(count: int, precision: Computed) -> None:
    built = build_model(zoo.entry("mildnet_small"), seed=3)
    model = ready(built, SIDE_PX, precision)
    sizes = sizes_alike(model, SIDE_PX, precision)
    assert sizes[-1] == 1
    assert list(sizes) == sorted(sizes, reverse=True)
    squares = photos(count)
    together = embed_together(model, squares, sizes, precision)
    assert torch.equal(together, torch.cat([embed_together(model, [one], ALONE, precision) for one in squares]))
    plain = embed(built, squares, batch=1, precision=precision)  # type: ignore[arg-type]
    assert torch.equal(together, torch.cat([vectors for _, vectors in plain])), "as any photo is embedded"


def test_linear_layers_alone_keep_no_photo_waiting_for_itself() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE_PX**2, 32))
    assert sizes_alike(model, SIDE_PX, "fp32") == (16, 8, 4, 2, 1), "each row is summed on its own"


def test_a_network_that_looks_at_its_company_gets_none() -> None:
    assert sizes_alike(MeanOfTheBatch(), SIDE_PX, "fp32") == ALONE
