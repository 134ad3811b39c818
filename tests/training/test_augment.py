"""Augmentation: each amount, beside torchvision's."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from tests.training.toy import SHAPES, SIDE_PX
from visnet import zoo
from visnet.training import augment
from visnet.training.augment import draw


def test_augmentation_does_what_each_amount_says() -> None:
    photos = SHAPES.photos[:20] / 255.0

    def drawn(seed: int = 0, **amounts: object) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return augment(photos, zoo.Augment(**amounts), draw(len(photos), generator))  # type: ignore[arg-type]

    assert torch.equal(drawn(), photos)
    torch.testing.assert_close(drawn(flip=1.0), photos.flip(3))
    torch.testing.assert_close(drawn(flip_vertical=1.0), photos.flip(2))
    some = drawn(flip=0.5)
    kept = [torch.allclose(a, b, atol=1e-5) for a, b in zip(some, photos, strict=True)]
    assert 3 < sum(kept) < 17
    assert all(keep or torch.allclose(a, b.flip(2), atol=1e-5) for keep, a, b in zip(kept, some, photos, strict=True))
    for name in ("crop", "zoom", "brightness", "contrast", "saturation", "rotation_deg", "shear_deg", "erase"):
        amount = 20.0 if name.endswith("deg") else 0.5
        changed = drawn(**{name: amount})
        assert changed.shape == photos.shape
        assert -1e-6 <= float(changed.min()) <= float(changed.max()) <= 1.0 + 1e-6
        assert not torch.equal(changed, photos), name
        assert torch.equal(changed, drawn(**{name: amount})), name
        assert not torch.equal(changed, drawn(seed=1, **{name: amount})), name
    flipped_and_lit = drawn(flip=0.5, brightness=0.2)
    lit = drawn(brightness=0.2)
    for at, keep in enumerate(kept):  # one amount does not shift what another draws
        torch.testing.assert_close(flipped_and_lit[at], lit[at] if keep else lit[at].flip(2))


def test_colours_change_as_torchvision_changes_them() -> None:
    photos = (
        SHAPES.photos[:6] / 255.0 * 0.4 + 0.3
    )  # far from black and white, where clamping once or thrice is the same
    draws = draw(6, torch.Generator().manual_seed(3))
    ours = augment(photos, zoo.Augment(brightness=0.2, contrast=0.3, saturation=0.4), draws)
    for photo, row, mine in zip(photos, (2 * draws - 1).tolist(), ours, strict=True):
        theirs = F.adjust_brightness(photo, 1 + 0.2 * row[9])
        theirs = F.adjust_contrast(theirs, 1 + 0.3 * row[10])
        torch.testing.assert_close(mine, F.adjust_saturation(theirs, 1 + 0.4 * row[11]), atol=2e-4, rtol=0)


def test_geometry_changes_as_torchvision_changes_it() -> None:
    smooth = F.gaussian_blur(SHAPES.photos[:6] / 255.0, [9, 9])
    draws = draw(6, torch.Generator().manual_seed(3))
    middle = (slice(None), slice(8, 24), slice(8, 24))  # outside, the two fill what is missing in other ways
    turned = augment(smooth, zoo.Augment(rotation_deg=30.0), draws)
    sheared = augment(smooth, zoo.Augment(shear_deg=15.0), draws)
    cropped = augment(smooth, zoo.Augment(crop=0.5), draws)
    still = {"translate": [0, 0], "interpolation": F.InterpolationMode.BILINEAR}
    for at, row in enumerate((2 * draws - 1).tolist()):
        theirs = F.rotate(smooth[at], -30 * row[7], interpolation=F.InterpolationMode.BILINEAR)
        near = {"atol": 0.02, "rtol": 0.0}
        turned_here = min(
            float((turned[at][middle] - other[middle]).abs().max())
            for other in (theirs, F.rotate(smooth[at], 30 * row[7], interpolation=F.InterpolationMode.BILINEAR))
        )
        assert turned_here < near["atol"]
        slanted = [
            F.affine(smooth[at], angle=0, scale=1.0, shear=[sign * 15 * row[8], 0], **still) for sign in (-1.0, 1.0)
        ]
        assert min(float((sheared[at][middle] - other[middle]).abs().max()) for other in slanted) < near["atol"]
        kept_px = SIDE_PX * (1 - 0.5 * float(draws[at, 2])) ** 0.5
        left, top = ((SIDE_PX - kept_px) * float(draws[at, column]) for column in (3, 4))
        box = [round(top), round(left), round(kept_px), round(kept_px)]
        whole = F.resized_crop(smooth[at], *box, size=[SIDE_PX, SIDE_PX], antialias=False)
        assert (cropped[at] - whole).abs().mean() < 0.02  # their box ends at whole pixels


def test_what_lies_outside_is_the_edge_drawn_out_or_the_mean_colour() -> None:
    photo = torch.zeros(1, 3, 8, 8)
    photo[:, 0] = 1.0
    photo[:, :, 2:6, 2:6] = 0.0
    draws = torch.full((1, 17), 0.5)
    draws[0, 5:7] = 0.0  # zoomed out by half
    edge = augment(photo, zoo.Augment(zoom=0.5, fill="edge"), draws)
    mean = augment(photo, zoo.Augment(zoom=0.5, fill="mean"), draws)
    assert edge[0, :, 0, 0].tolist() == [1.0, 0.0, 0.0]
    assert mean[0, :, 0, 0].tolist() == pytest.approx([0.75, 0.0, 0.0])
