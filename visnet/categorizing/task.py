"""Learning the category paths of photos: balanced batches, and a validation that decodes as an answer does."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from visnet.categorizing.network import PathNetwork
from visnet.embedding.crop_dataset import CropImages
from visnet.models.inputs import PhotoBatches, as_floats, stack
from visnet.pipeline.log import Log
from visnet.taxonomy.tree import Taxonomy
from visnet.training.augment import augment, draw
from visnet.training.batches import step_seed
from visnet.training.embedding_task import standard_error
from visnet.training.task import Monitor, Step
from visnet.zoo import Augment

AUGMENT = Augment(
    flip=0.5, crop=0.6, zoom=0.2, rotation_deg=15.0, shear_deg=5.0, brightness=0.2, contrast=0.2, saturation=0.1
)


class PathBatch(NamedTuple):
    """Photos [B, 3, S, S] uint8, what is drawn for their augmentation [B, DRAWS], and their paths [B] int64."""

    photos: Tensor
    draws: Tensor
    paths: Tensor


class Labelled(NamedTuple):
    """Crops, the number of the path of each, [N] int64, and the hashes of their pictures."""

    images: CropImages
    paths: npt.NDArray[np.int64]
    contents: Sequence[str]


def labelled(crops: Path, rows: pd.DataFrame, taxonomy: Taxonomy, split: str, side_px: int) -> Labelled:
    """Read the crops of a split in the order of their ids; rows: crop_id, category, split and content."""
    own = rows[rows["split"] == split].sort_values("crop_id")
    images = CropImages(crops / "crops.lance", own["crop_id"].tolist(), side_px)
    number = {path: at for at, path in enumerate(taxonomy.paths)}
    return Labelled(images, np.array(own["category"].map(number), np.int64), own["content"].tolist())


class PathBatches(Dataset[PathBatch]):
    """As many photos an epoch as there are, in nearly equal batches, some of them more often than others.

    balance: 0 takes every photo once; 1 takes each path as often as any other; between them a path of n photos counts
    as n to the power of one less this.
    """

    def __init__(self, photos: Labelled, *, batch: int, balance: float, seed: int) -> None:
        self.images, self.paths = photos.images, photos.paths
        self.seed = seed
        self.per_epoch = -(-len(self.paths) // batch)
        share = np.bincount(self.paths)[self.paths] ** -float(balance)
        self._bounds = np.cumsum(share / share.sum())
        self._drawn: tuple[int, np.ndarray] | None = None

    def __getitem__(self, at: tuple[int, int]) -> PathBatch:
        """Return batch `number` of `epoch`."""
        epoch, number = at
        rows = self._rows(epoch, number)
        generator = torch.Generator().manual_seed(step_seed(self.seed, epoch, number))
        photos = stack(self.images, rows.tolist())
        return PathBatch(photos, draw(len(rows), generator), torch.from_numpy(self.paths[rows]))

    def described(self, epoch: int, number: int) -> str:
        """Name the photos of a batch."""
        return f"the crops {', '.join(self.images.names[row] for row in self._rows(epoch, number)[:6])}, …"

    def _rows(self, epoch: int, number: int) -> np.ndarray:
        if self._drawn is None or self._drawn[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            count = len(self.paths)
            # Evenly spaced along the shares: a photo comes as often as its share says, or once more.
            rows = np.searchsorted(self._bounds, (np.arange(count) + rng.random()) / count, side="right")
            self._drawn = epoch, rng.permutation(rows.clip(max=count - 1))
        order = self._drawn[1]
        first, last = (len(order) * end // self.per_epoch for end in (number, number + 1))
        return order[first:last]


class PathTask:
    """Train a network on photos of known paths; a validation counts those whose likeliest path is the right one.

    Without a validation the last epoch's weights are those that come of it.
    """

    monitor = Monitor("validation_exact_path", more_is_better=True, error="validation_exact_path_error")

    def __init__(
        self, model: PathNetwork, train: Labelled, validation: Labelled | None, *, batch: int, balance: float, seed: int
    ) -> None:
        measured = Labelled(train.images, train.paths[:0], ()) if validation is None else validation
        self.model: nn.Module = model
        self.loss_module: nn.Module | None = None
        self.batches = PathBatches(train, batch=batch, balance=balance, seed=seed)
        self.validation = PhotoBatches(measured.images, range(len(measured.paths)), 2 * batch)
        self._truth = torch.from_numpy(measured.paths)
        self._settings = (AUGMENT, batch, balance, seed)
        self._data = [(one.contents, one.paths.tolist()) for one in (train, measured)]

    def fingerprint(self) -> Iterator[bytes]:
        """Return the settings, and which photos have which paths."""
        yield repr((self._settings, self._data)).encode()

    def before_epoch(self, epoch: int, batch: int, *, rank: int, workers: int, log: Log) -> None:
        """Do nothing: a batch depends on its epoch and number alone."""

    def step(self, model: nn.Module, batch: PathBatch) -> Step:
        """Return the head's loss of a batch."""
        with torch.autocast(batch.photos.device.type, enabled=False):
            photos = augment(as_floats(batch.photos), AUGMENT, batch.draws)
        photos = photos.contiguous(memory_format=torch.channels_last)
        loss = cast(PathNetwork, model).loss(photos, batch.paths)
        return Step(loss, len(batch.paths), {}, len(batch.paths))

    def predict(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Score every path for some photos."""
        scores: Tensor = model(as_floats(batch[1], channels_last=True))
        return scores.float().cpu()

    def metrics(self, predictions: Sequence[Tensor]) -> dict[str, float]:
        """Measure the share of right paths with its standard error, and the negative log-likelihood of the true one.

        Of what is normalised over all paths: a decoder also spends on words that lead to none.
        """
        scores = torch.cat(list(predictions)).double()
        right = (scores.argmax(1) == self._truth).double()
        return {
            "exact_path": right.mean().item(),
            "exact_path_error": standard_error(right),
            "nll": F.cross_entropy(scores, self._truth).item(),
        }
