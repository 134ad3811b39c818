"""A trained localizer: the boxes of the products in a photo, none where it is unsure."""

import copy
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from visnet.errors import Damaged, NotFound
from visnet.localizing.average_precision import overlaps
from visnet.localizing.files import SETTINGS, TENSORS
from visnet.localizing.letterbox import Frame, letterboxed
from visnet.models.detector import Detector
from visnet.models.folding import folded
from visnet.models.inputs import as_floats
from visnet.models.state import digest, load_exactly, read_state
from visnet.photos.cutting import Box
from visnet.storage import atomic

NEVER = 2.0  # above every score: the whole photo is always better


@dataclass(frozen=True)
class Proposal:
    """The box of a product: left, top, width, height in pixels of the upright photo; its score in 0..1."""

    box: Box
    score: float


class Localizer:
    """Proposes the boxes of products in a photo; one with a score below `unsure_below` is no proposal."""

    def __init__(self, model: Detector, settings: Mapping[str, str | int], unsure_below: float) -> None:
        """Take a detector and what it was built with: network, side_px, frozen_blocks and width."""
        self.model, self.settings, self.unsure_below = model.eval(), settings, unsure_below
        self._proposing = self.model
        self.side_px = int(settings["side_px"])

    @classmethod
    def load(cls, folder: Path) -> "Localizer":
        """Read what `save` wrote; one-line `ValueError` names the file and what is wrong."""
        where = folder / SETTINGS
        if not where.is_file():
            raise NotFound(
                f"{where}: no such file; `enabled = true` in localizer.toml and `dvc repro localizer` make it"
            )
        try:
            settings = tomllib.loads(where.read_text(encoding="utf-8"))
            unsure_below = float(settings.pop("unsure_below"))
            model = Detector(**settings)
        except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise Damaged(f"{where}: not what a localizer was built with ({error})") from None
        try:
            load_exactly(model, read_state(folder / TENSORS))
        except ValueError as error:
            raise ValueError(f"{folder / TENSORS}: {error}") from None
        made = cls(model, settings, unsure_below)
        made._proposing = copy.deepcopy(model)
        made._proposing.fcos.backbone = folded(model.fcos.backbone, made.side_px)
        return made

    def save(self, folder: Path) -> str:
        """Write the tensors, and the settings last of all; return the tensors' digest."""
        state = {name: value.detach().cpu().contiguous() for name, value in self.model.state_dict().items()}
        with atomic.writing(folder / TENSORS) as building:
            safetensors.torch.save_file(state, building)
        settings = {**self.settings, "unsure_below": self.unsure_below}
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        atomic.put_text(folder / SETTINGS, text)
        return digest(state)

    def propose(self, photos: Sequence[Image.Image], batch: int = 1) -> list[list[Proposal]]:
        """Return for each upright RGB photo the boxes of products, ten at most, the surest first; none: take it whole.

        No two boxes of a photo overlap by more than half of what they cover together.

        The detector always runs on `batch` photos, so that a photo's box is the same in whatever company it comes.
        """
        proposals: list[list[Proposal]] = []
        for first in range(0, len(photos), batch):
            squares = [letterboxed(photo, self.side_px) for photo in photos[first : first + batch]]
            found = self.found(torch.stack([pixels for pixels, _ in squares]), batch)
            proposals += [self._sure(one, frame) for one, (_, frame) in zip(found, squares, strict=True)]
        return proposals

    def found(self, squares: Tensor, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield for each of the squares, uint8 [N, 3, S, S], its boxes [M, 4] and their scores [M], best first."""
        for some in torch.split(squares, batch):
            whole = torch.cat([some, some.new_zeros((batch - len(some), *some.shape[1:]))])
            with torch.inference_mode():
                found = self._proposing(as_floats(whole))[: len(some)]
            yield from ((boxes.clone(), scores.clone()) for boxes, scores in found)

    def _sure(self, found: tuple[Tensor, Tensor], frame: Frame) -> list[Proposal]:
        sure = [
            Proposal(frame.back(box), score)
            for box, score in zip(found[0], found[1].tolist(), strict=True)
            if score >= self.unsure_below
        ]
        return [one for one in sure if min(one.box[2:]) >= 1.0]


def unsure_below(scores: Sequence[float], gains: Sequence[float]) -> float:
    """Choose the score below which a proposal is not used: that with which most is gained by all that are.

    scores: of the best box of each photo; gains: how much more of the truth it overlaps than the whole photo does, or
    less. Halfway to the next lower score; `NEVER` where nothing is gained.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    falling = np.asarray(scores, float)[order]
    sums = np.cumsum(np.asarray(gains, float)[order])
    sums[:-1][falling[:-1] == falling[1:]] = -np.inf  # equal scores are used together
    if not len(sums) or sums.max() <= 0:
        return NEVER
    best = int(sums.argmax())
    lower = falling[best + 1] if best + 1 < len(falling) else 0.0
    return round(float(falling[best] + lower) / 2, 6)


def gain(best: Tensor, truths: Tensor, whole: Tensor) -> float:
    """Return how much more a box [4] overlaps the nearest of a photo's true boxes [M, 4] than the whole photo does.

    Where nothing is to be found, M = 0, the whole photo is right, and any box is wrong.
    """
    if not len(truths):
        return -1.0
    mine, all_of_it = overlaps(torch.stack([best, whole]), truths).amax(1).tolist()
    return float(mine - all_of_it)
