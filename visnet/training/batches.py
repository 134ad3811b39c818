"""Batches in which each distinct photo stands once, in an order that any step can be found in again."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from visnet.models.inputs import loader_options, stack
from visnet.training.augment import draw

Rows = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """Photos [B, 3, S, S] uint8, what is drawn for their augmentation [B, DRAWS], and their labels [B].

    The numbers of `triplets` [T, 3] are rows of these.
    """

    epoch: int
    number: int
    photos: Tensor
    draws: Tensor
    triplets: Tensor
    labels: Tensor


class Plan(Protocol):
    """Which photos and triplets a batch has: by epoch and number alone, whoever asks, and when."""

    batches: int  # of one epoch

    def rows(self, epoch: int, number: int) -> tuple[Rows, Rows]:
        """Return the photos [B] of a batch, each once, and its triplets [T, 3] as places among them."""


class PlannedBatches(Dataset[Batch]):
    """All batches of all epochs, by (epoch, number): a batch depends on these and `seed` only."""

    def __init__(self, images: Dataset[Tensor], labels: Rows, plan: Plan, *, seed: int) -> None:
        self.images = images
        self.labels = labels
        self.plan = plan
        self.seed = seed

    def __getitem__(self, at: tuple[int, int]) -> Batch:
        """Read the photos of batch `number` of `epoch`."""
        epoch, number = at
        rows, triplets = self.plan.rows(epoch, number)
        generator = torch.Generator().manual_seed(step_seed(self.seed, epoch, number))
        photos = stack(self.images, rows.tolist())
        labels = torch.from_numpy(self.labels[rows])
        return Batch(epoch, number, photos, draw(len(rows), generator), torch.from_numpy(triplets), labels)

    def named(self, epoch: int, number: int, most: int = 6) -> str:
        """Name the first photos of a batch, for a message: by the names that the images have, or by their rows."""
        rows, _ = self.plan.rows(epoch, number)
        names: Sequence[object] = getattr(self.images, "names", range(len(self.labels)))
        return ", ".join(str(names[row]) for row in rows[:most]) + (", …" if len(rows) > most else "")


class EpochBatches:
    """What a training loop iterates over, epoch after epoch; the first epoch may begin in its middle.

    Of `ranks` processes, each takes every so many-th batch, and all take equally many.
    """

    def __init__(
        self,
        batches: PlannedBatches,
        *,
        epoch: int,
        number: int,
        workers: int,
        pin_memory: bool,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.batches = batches
        self.epoch = epoch
        self.number = number
        self.rank, self.ranks = rank, ranks
        self._options = loader_options(workers, pin_memory=pin_memory)
        self._loader: DataLoader[Batch] | None = None

    @property
    def per_epoch(self) -> int:
        """The batches of a whole epoch, of all processes together."""
        return max(self.batches.plan.batches // self.ranks, 1) * self.ranks

    def replan(self, plan: Plan) -> None:
        """Follow another plan from the next epoch on; workers that hold the old one end."""
        self.batches.plan = plan
        self._loader = None

    def __len__(self) -> int:
        return (self.per_epoch - self.number) // self.ranks

    def __iter__(self) -> Iterator[Batch]:
        # A generator: Lightning asks for an iterator twice an epoch, and the first must not start the workers.
        if self._loader is None:
            self._loader = DataLoader(self.batches, sampler=_Remaining(self), batch_size=None, **self._options)
        yield from self._loader


class _Remaining(torch.utils.data.Sampler[tuple[int, int]]):
    def __init__(self, epochs: EpochBatches) -> None:
        self._epochs = epochs

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epochs = self._epochs
        numbers = range(epochs.number + epochs.rank, epochs.per_epoch, epochs.ranks)
        return iter([(epochs.epoch, number % epochs.batches.plan.batches) for number in numbers])

    def __len__(self) -> int:
        return len(self._epochs)


def step_seed(seed: int, epoch: int, number: int) -> int:
    """Mix a seed for one step: what is random in it is drawn again, and equal, when the step is done again."""
    return int(np.random.SeedSequence([seed, epoch, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))
