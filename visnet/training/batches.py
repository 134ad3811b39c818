"""Batches of triplets in which each distinct photo stands once, in an order that any step can be found in again."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from visnet.models.inputs import loader_options, stack
from visnet.training.augment import augment
from visnet.zoo import Augment

Rows = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """Triplets [T, 3] and the photos they share: their numbers are rows of `photos` [B, 3, S, S] and `labels` [B]."""

    epoch: int
    number: int
    photos: Tensor
    triplets: Tensor
    labels: Tensor


class TripletBatches(Dataset[Batch]):
    """All batches of all epochs, by (epoch, number): a batch depends on these and `seed` only, not on who asks when."""

    def __init__(
        self,
        images: Dataset[Tensor],
        triplets: Rows,
        labels: Rows,
        *,
        batch_triplets: int,
        seed: int,
        amounts: Augment,
    ) -> None:
        self.images = images
        self.triplets = triplets
        self.labels = labels
        self.batch_triplets = batch_triplets
        self.seed = seed
        self.amounts = amounts
        self.batches = -(-len(triplets) // batch_triplets)
        self._order: tuple[int, Rows] = (-1, np.empty(0, np.int64))

    def __getitem__(self, at: tuple[int, int]) -> Batch:
        """Read, and change at random, the photos of batch `number` of `epoch`."""
        epoch, number = at
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.triplets))
        # Nearly equal batches: a last batch of one triplet would upset batch norm.
        first, last = (len(self.triplets) * end // self.batches for end in (number, number + 1))
        photos, triplets = np.unique(self.triplets[self._order[1][first:last]], return_inverse=True)
        generator = torch.Generator().manual_seed(step_seed(self.seed, epoch, number))
        changed = augment(stack(self.images, photos.tolist()), self.amounts, generator)
        rows = torch.from_numpy(triplets.reshape(-1, 3).astype(np.int64))
        return Batch(epoch, number, changed, rows, torch.from_numpy(self.labels[photos]))


class EpochBatches:
    """What a training loop iterates over, epoch after epoch; the first epoch may begin in its middle."""

    def __init__(self, batches: TripletBatches, *, epoch: int, number: int, workers: int, pin_memory: bool) -> None:
        self.epoch = epoch
        self.number = number
        self._batches = batches
        self._loader = DataLoader(
            batches, sampler=_Remaining(self), batch_size=None, **loader_options(workers, pin_memory=pin_memory)
        )

    def __len__(self) -> int:
        return self._batches.batches - self.number

    def __iter__(self) -> Iterator[Batch]:
        # A generator: Lightning asks for an iterator twice an epoch, and the first must not start the workers.
        yield from self._loader


class _Remaining(torch.utils.data.Sampler[tuple[int, int]]):
    def __init__(self, epochs: EpochBatches) -> None:
        self._epochs = epochs

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epochs = self._epochs
        numbers = range(epochs.number, epochs.number + len(epochs))
        return iter([(epochs.epoch, number) for number in numbers])

    def __len__(self) -> int:
        return len(self._epochs)


def step_seed(seed: int, epoch: int, number: int) -> int:
    """Mix a seed for one step: what is random in it is drawn again, and equal, when the step is done again."""
    return int(np.random.SeedSequence([seed, epoch, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))
