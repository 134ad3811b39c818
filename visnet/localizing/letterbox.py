"""A whole photo in a square, its aspect kept, and the way of boxes there and back."""

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from visnet.photos.cutting import Box

_MARGIN = (127, 127, 127)  # what EfficientNet-Lite sees as 0


class Frame(NamedTuple):
    """Where a photo of `width_px` × `height_px` lies in its square: at `left`, `top`, in `width` × `height` of it."""

    left: int
    top: int
    width: int
    height: int
    width_px: int
    height_px: int

    def into(self, boxes: np.ndarray) -> Tensor:
        """Turn boxes of the photo, [M, 4] left, top, width, height in its pixels, into the square's, float32 [M, 4].

        These are left, top, right, bottom; what lies outside of the photo is cut off.
        """
        given = torch.from_numpy(np.array(boxes, np.float64).reshape(-1, 4))
        corners = torch.cat([given[:, :2], given[:, :2] + given[:, 2:]], 1)
        sides = torch.tensor([self.width_px, self.height_px] * 2, dtype=torch.float64)
        scale = torch.tensor([self.width, self.height] * 2, dtype=torch.float64) / sides
        inside = torch.minimum(corners.clamp_min(0.0), sides)
        return (inside * scale + torch.tensor([self.left, self.top] * 2)).float()

    def back(self, box: Tensor) -> Box:
        """Turn a box of the square, [4], into one of the photo; what lies in the margins is cut off."""
        sides = torch.tensor([self.width_px, self.height_px] * 2, dtype=torch.float64)
        scale = torch.tensor([self.width, self.height] * 2, dtype=torch.float64) / sides
        corners = torch.minimum(
            ((box.double() - torch.tensor([self.left, self.top] * 2)) / scale).clamp_min(0.0), sides
        )
        left, top, right, bottom = corners.tolist()
        return left, top, right - left, bottom - top

    @property
    def whole(self) -> Tensor:
        """The photo itself as a box of the square, [4]."""
        return torch.tensor([self.left, self.top, self.left + self.width, self.top + self.height], dtype=torch.float32)


def letterboxed(picture: Image.Image, side_px: int) -> tuple[Tensor, Frame]:
    """Resize an RGB picture so that its longer side is `side_px`, in the middle of a grey square, uint8 [3, S, S]."""
    scale = side_px / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    frame = Frame((side_px - width) // 2, (side_px - height) // 2, width, height, *picture.size)
    square = Image.new("RGB", (side_px, side_px), _MARGIN)
    square.paste(picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0), (frame.left, frame.top))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous(), frame
