"""Learning to find boxes: photos with the boxes of their source, and composites, whose boxes are known."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from visnet.localizing.average_precision import average_precision, mean_average_precision
from visnet.localizing.boxed_photos import Boxed, BoxedPhotos, padded
from visnet.localizing.composites import Cutout, composite, of_others
from visnet.models.detector import Detector
from visnet.models.inputs import as_floats
from visnet.pipeline.log import Log
from visnet.training.augment import augment, draw, moved_boxes
from visnet.training.batches import step_seed
from visnet.training.task import Monitor, Step
from visnet.zoo import Augment

AUGMENT = Augment(flip=0.5, crop=0.4, zoom=0.2, brightness=0.2, contrast=0.2, saturation=0.2)
EMPTY = 0.15  # share of the training photos of which a part is shown that has no box
KEPT_MIN = 0.4  # of a box: one of which a crop has left less is none
_COMPOSITE = 29  # of the seed of a composite


class BoxBatch(NamedTuple):
    """Photos [B, 3, S, S] uint8, what is drawn for their augmentation [B, DRAWS], and their boxes [B, M, 4].

    A photo with fewer boxes than another has rows of NaN.
    """

    photos: Tensor
    draws: Tensor
    boxes: Tensor


class BoxBatches(Dataset[BoxBatch]):
    """Every photo once an epoch, shuffled, in nearly equal batches; with a chance of `composites` as a composite.

    With a chance of `EMPTY`, a part of it without any box is shown instead, where there is one.
    """

    def __init__(
        self, photos: BoxedPhotos, pieces: Sequence[Cutout], *, batch: int, composites: float, seed: int
    ) -> None:
        self.photos, self.pieces = photos, pieces
        self.composites, self.seed = composites, seed
        self.per_epoch = -(-len(photos) // batch)

    def __getitem__(self, at: tuple[int, int]) -> BoxBatch:
        """Return batch `number` of `epoch`."""
        epoch, number = at
        rows = self._rows(epoch, number)
        rng = np.random.default_rng([self.seed, epoch, number, _COMPOSITE])
        made = [self._one(int(row), rng) for row in rows]
        generator = torch.Generator().manual_seed(step_seed(self.seed, epoch, number))
        return BoxBatch(
            torch.stack([one.pixels for one in made]),
            draw(len(rows), generator),
            padded([one.boxes for one in made]),
        )

    def described(self, epoch: int, number: int) -> str:
        """Name the photos of a batch."""
        return f"the photos {', '.join(self.photos.names[row] for row in self._rows(epoch, number)[:6])}, …"

    def _rows(self, epoch: int, number: int) -> np.ndarray:
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.photos))
        first, last = (len(order) * end // self.per_epoch for end in (number, number + 1))
        return order[first:last]

    def _one(self, row: int, rng: np.random.Generator) -> Boxed:
        photo = self.photos[row]
        drawn = rng.random()
        if drawn >= self.composites:
            empty = drawn >= 1.0 - EMPTY
            return (self.photos.empty(row) if empty else None) or photo
        allowed = of_others(self.pieces, self.photos.products[row])
        return composite(photo, self.pieces[rng.choice(allowed)].picture, rng) if allowed else photo


class _Validation(Dataset[tuple[Tensor, Tensor]]):
    """The photos to measure on, unchanged, in batches: uint8 [B, 3, S, S], and their boxes [B, M, 4]."""

    def __init__(self, photos: BoxedPhotos, batch: int) -> None:
        self._photos, self._batch = photos, batch

    def __len__(self) -> int:
        return -(-len(self._photos) // self._batch)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        last = min(len(self._photos), (number + 1) * self._batch)
        some = [self._photos[row] for row in range(number * self._batch, last)]
        return torch.stack([one.pixels for one in some]), padded([one.boxes for one in some])


Found = list[tuple[tuple[Tensor, Tensor], Tensor]]  # (boxes, scores) of a photo, and its true boxes


class LocalizerTask:
    """Train a detector on boxed photos and composites; a validation measures COCO's average precision."""

    monitor = Monitor("validation_ap", more_is_better=True)

    def __init__(
        self,
        model: Detector,
        photos: BoxedPhotos,
        validation: BoxedPhotos,
        pieces: Sequence[Cutout],
        *,
        batch: int,
        composites: float,
        seed: int,
    ) -> None:
        self.model: nn.Module = model
        self.loss_module: nn.Module | None = None
        self.batches = BoxBatches(photos, pieces, batch=batch, composites=composites, seed=seed)
        self.validation = _Validation(validation, batch)
        self._settings = (AUGMENT, EMPTY, KEPT_MIN, batch, composites, seed)
        self._data = [(one.contents, [boxes.tolist() for boxes in one.boxes]) for one in (photos, validation)]

    def fingerprint(self) -> Iterator[bytes]:
        """Return the settings, and what photos, boxes and cutouts say."""
        yield repr((self._settings, self._data)).encode()
        for piece in self.batches.pieces:
            yield piece.picture.tobytes()

    def before_epoch(self, epoch: int, batch: int, *, rank: int, workers: int, log: Log) -> None:
        """Do nothing: all epochs draw from the same photos."""

    def step(self, model: nn.Module, batch: BoxBatch) -> Step:
        """Return the sum of a detector's losses, and the share of it that is the boxes' own."""
        with torch.autocast(batch.photos.device.type, enabled=False):  # a box in bf16 is off by pixels
            photos = augment(as_floats(batch.photos), AUGMENT, batch.draws)
            boxes = moved_boxes(batch.boxes, AUGMENT, batch.draws, photos.shape[-1], KEPT_MIN)
            losses = cast(Detector, model).losses(photos, boxes)
            loss = torch.stack(list(losses.values())).sum()
        count = len(photos)
        return Step(loss, count, {"box_loss": losses["bbox_regression"].detach() * count}, count)

    def predict(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Found:
        """Return what the detector finds in some photos beside their true boxes."""
        photos, boxes = batch
        with torch.autocast(photos.device.type, enabled=False):
            found = model(as_floats(photos))
        truths = [rows[rows[:, 0].isfinite()].cpu() for rows in boxes]
        return [((mine.cpu(), scores.cpu()), truth) for (mine, scores), truth in zip(found, truths, strict=True)]

    def metrics(self, predictions: Sequence[Found]) -> dict[str, float]:
        """Measure AP (the mean over overlaps of 0.5 to 0.95) and AP50."""
        found, truths = zip(*(pair for some in predictions for pair in some), strict=True)
        return {"ap": mean_average_precision(found, truths), "ap50": average_precision(found, truths)}
