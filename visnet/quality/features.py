"""Features of a photo: averages and peaks of a frozen trunk's maps, and statistics of its pixels."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from visnet.embedding.crop_dataset import square
from visnet.models.folding import folded
from visnet.models.inputs import as_floats
from visnet.models.pretrained import load_pretrained
from visnet.models.timm_networks import tap_widths
from visnet.models.timm_trunk import TimmTrunk
from visnet.quality.statistics import NAMES, statistics

SIDE_PX = 160
AT_ONCE = 8  # always so many go through the network together, so that a photo's features depend on no other
TAPS = (1, 2, 3, 4)  # depths whose maps are looked at beside the last: blurs and marks are seen early
_PEAK = 0.02  # share of a map's cells that its peak is the mean of: one cell says little


class PhotoFeatures:
    """A frozen pretrained trunk, and how photos are shown to it."""

    def __init__(self, network: str, weights: str, where: str) -> None:
        """Load timm's `network` with `weights` ("package" or "none"); `where` opens the error if there are none."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self._model = TimmTrunk(network=network, embedding=0, taps=TAPS)
        load_pretrained(self._model, weights, where)
        self._model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self._model = folded(self._model, SIDE_PX)

    def __call__(self, photos: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Look at RGB photos: float32 [N, D]."""
        found = [np.empty((0, self.width), np.float32)]
        for first in range(0, len(photos), AT_ONCE):
            some = photos[first : first + AT_ONCE]
            squares = torch.stack([square(photo, SIDE_PX) for photo in some])
            seen = self._seen(torch.cat([squares, squares.new_zeros(AT_ONCE - len(some), *squares.shape[1:])]))
            counted = np.stack([statistics(photo) for photo in some])
            found.append(np.concatenate([seen[: len(some)].numpy(), counted], axis=1))
        return np.concatenate(found)

    @property
    def width(self) -> int:
        """How many features there are."""
        early = sum(tap_widths(self._model.trunk, TAPS, self._model.network))
        return 2 * early + int(self._model.trunk.head_hidden_size) + len(NAMES)

    @torch.inference_mode()
    def _seen(self, squares: Tensor) -> Tensor:
        photos = self._model.normalise(as_floats(squares, channels_last=True))
        last, maps = self._model.trunk.forward_intermediates(photos, indices=[tap - 1 for tap in TAPS])
        parts = [self._model.trunk.forward_head(last)]
        for one in maps:
            cells = one.flatten(2)
            peak = cells.topk(max(1, round(cells.shape[2] * _PEAK)), dim=2).values.mean(2)
            parts += [cells.mean(2), peak]
        return torch.cat(parts, dim=1)
