"""The small network that was published as a filter of zoomed photos, beside which the head is measured.

Three valid 3x3 convolutions of 32, 32 and 64 channels on a square of 150 px, each halved, then 64 units and one
(vumaasha/Atlas, zoomed vs. normal). Its normalisation is measured on the photos that it learns from.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from visnet.embedding.crop_dataset import square
from visnet.models.inputs import Normalise, as_floats
from visnet.pipeline.log import Log
from visnet.training.augment import augment, draw
from visnet.training.batches import step_seed
from visnet.training.task import Monitor, Step
from visnet.zoo import Augment

SIDE_PX, PARAMETERS = 150, 1_212_513
AUGMENT = Augment(flip=0.5, rotation_deg=10.0, fill="edge")  # and no shift, which would cut products as zooming does
AT_ONCE = 16


class ZoomFilter(nn.Module):
    """Tell close-ups from photos of whole products: RGB floats in 0..1, [B, 3, 150, 150], to logits [B]."""

    def __init__(self, mean: Sequence[float] = (0.5,) * 3, std: Sequence[float] = (0.25,) * 3) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        layers: list[nn.Module] = []
        for before, after in ((3, 32), (32, 32), (32, 64)):
            layers += [nn.Conv2d(before, after, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Flatten(), nn.Linear(18_496, 64), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(64, 1)
        )

    def forward(self, photos: Tensor) -> Tensor:
        """Return logits of being a close-up, [B] float32."""
        found: Tensor = self.dense(self.features(self.normalise(photos)))
        return found[:, 0]

    @torch.inference_mode()
    def scores(self, squares: Tensor) -> NDArray[np.float32]:
        """Return how probable a close-up is, float32 [N], of squares uint8 [N, 3, 150, 150], so many at once always."""
        found = [np.empty(0, np.float32)]
        for some in torch.split(squares, AT_ONCE):
            rest = some.new_zeros(AT_ONCE - len(some), *some.shape[1:])
            found.append(torch.sigmoid(self(as_floats(torch.cat([some, rest]))))[: len(some)].numpy())
        return np.concatenate(found)


def squares(pictures: Sequence[Image.Image]) -> Tensor:
    """Squash pictures as the filter takes them, uint8 [N, 3, 150, 150]."""
    return (
        torch.stack([square(one, SIDE_PX) for one in pictures])
        if pictures
        else torch.zeros(0, 3, SIDE_PX, SIDE_PX).byte()
    )


class _Batches(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Every photo once an epoch, shuffled, in nearly equal batches."""

    def __init__(self, photos: Tensor, zoomed: Tensor, batch: int, seed: int) -> None:
        self.photos, self.zoomed, self.seed = photos, zoomed, seed
        self.per_epoch = -(-len(photos) // batch)

    def __getitem__(self, at: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return batch `number` of `epoch`: photos uint8 [B, 3, S, S], draws [B, DRAWS], whether each is zoomed [B]."""
        rows = self._rows(*at)
        generator = torch.Generator().manual_seed(step_seed(self.seed, *at))
        return self.photos[rows], draw(len(rows), generator), self.zoomed[rows]

    def described(self, epoch: int, number: int) -> str:
        """Name the photos of a batch."""
        return f"the photos {', '.join(str(row) for row in self._rows(epoch, number)[:6].tolist())}, …"

    def _rows(self, epoch: int, number: int) -> Tensor:
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.photos))
        first, last = (len(order) * end // self.per_epoch for end in (number, number + 1))
        return torch.from_numpy(order[first:last])


class _Validation(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, photos: Tensor, zoomed: Tensor, batch: int) -> None:
        self._parts = list(zip(torch.split(photos, batch), torch.split(zoomed, batch), strict=True))

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        return self._parts[number]


class ZoomTask:
    """Train the filter by binary cross-entropy; a validation measures its balanced accuracy."""

    monitor = Monitor("validation_accuracy", more_is_better=True)
    loss_module: nn.Module | None = None

    def __init__(
        self, train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor], *, batch: int, seed: int
    ) -> None:
        """Take photos, uint8 [N, 3, S, S], and whether each is zoomed, bool [N]."""
        seen = as_floats(train[0])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model: nn.Module = ZoomFilter(seen.mean((0, 2, 3)).tolist(), (seen.std((0, 2, 3)) + 1e-3).tolist())
        self.batches = _Batches(*train, batch, seed)
        self.validation = _Validation(*validation, batch)
        self._data = (*train, *validation)

    def fingerprint(self) -> Iterator[bytes]:
        """Return the augmentation, the batches' seed and size, and all photos."""
        yield repr((AUGMENT, self.batches.seed, self.batches.per_epoch)).encode()
        for one in self._data:
            yield one.numpy().tobytes()

    def before_epoch(self, epoch: int, batch: int, *, rank: int, workers: int, log: Log) -> None:
        """Do nothing: all epochs draw from the same photos."""

    def step(self, model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Step:
        """Return the loss of a batch."""
        photos, draws, zoomed = batch
        logits = model(augment(as_floats(photos), AUGMENT, draws))
        return Step(F.binary_cross_entropy_with_logits(logits, zoomed.float()), len(photos), {}, len(photos))

    def predict(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the logits of some photos, and whether each is zoomed."""
        photos, zoomed = batch
        return model(as_floats(photos)).cpu(), zoomed.cpu()

    def metrics(self, predictions: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Measure the mean of the shares of close-ups and of others that are told right."""
        logits, zoomed = (torch.cat(parts) for parts in zip(*predictions, strict=True))
        right = (logits > 0) == zoomed
        return {"accuracy": float((right[zoomed].float().mean() + right[~zoomed].float().mean()) / 2)}
