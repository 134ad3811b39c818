"""Photos with one bright rectangle each, whose box is known: what a detector learns in seconds."""

import numpy as np
import torch

from visnet.localizing.boxed_photos import Boxed
from visnet.localizing.letterbox import Frame

SIDE_PX = 64


class Rectangles:
    """As `BoxedPhotos`: photo i shows a red rectangle on noise."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(5)
        self.side_px, self.made = SIDE_PX, []
        for _ in range(count):
            width, height = rng.integers(20, 44, 2)
            left, top = rng.integers(0, SIDE_PX - width + 1), rng.integers(0, SIDE_PX - height + 1)
            pixels = torch.from_numpy(rng.integers(60, 120, (3, SIDE_PX, SIDE_PX), dtype=np.uint8))
            pixels[:, top : top + height, left : left + width] = torch.tensor([240, 20, 20]).view(3, 1, 1)
            boxes = torch.tensor([[left, top, left + width, top + height]], dtype=torch.float32)
            self.made.append(Boxed(pixels, boxes, Frame(0, 0, SIDE_PX, SIDE_PX, SIDE_PX, SIDE_PX)))
        self.names = self.contents = [f"photo {number}" for number in range(count)]
        self.products = [frozenset([str(number)]) for number in range(count)]
        self.boxes = [
            np.array([[b[0], b[1], b[2] - b[0], b[3] - b[1]]]) for b in (p.boxes[0].tolist() for p in self.made)
        ]

    def empty(self, row: int) -> Boxed:
        """Return noise alone."""
        pixels = np.random.default_rng(row).integers(60, 120, (3, SIDE_PX, SIDE_PX), dtype=np.uint8)
        return Boxed(torch.from_numpy(pixels), torch.zeros(0, 4), self.made[row].frame)

    def __len__(self) -> int:
        return len(self.made)

    def __getitem__(self, row: int) -> Boxed:
        return self.made[row]
