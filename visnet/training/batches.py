"""Batches in which each distinct photo stands once, in an order that any step can be found in again."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from visnet.models.inputs import stack
from visnet.training.augment import draw

Rows = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """Photos [B, 3, S, S] uint8, what is drawn for their augmentation [B, DRAWS], and their labels [B].

    The numbers of `triplets` [T, 3] are rows of these.
    """

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

    @property
    def per_epoch(self) -> int:
        """How many batches an epoch has."""
        return self.plan.batches

    def __getitem__(self, at: tuple[int, int]) -> Batch:
        """Read the photos of batch `number` of `epoch`."""
        epoch, number = at
        rows, triplets = self.plan.rows(epoch, number)
        generator = torch.Generator().manual_seed(step_seed(self.seed, epoch, number))
        photos = stack(self.images, rows.tolist())
        labels = torch.from_numpy(self.labels[rows])
        return Batch(photos, draw(len(rows), generator), torch.from_numpy(triplets), labels)

    def described(self, epoch: int, number: int, most: int = 6) -> str:
        """Name the first photos of a batch, for a message: by the names that the images have, or by their rows."""
        rows, _ = self.plan.rows(epoch, number)
        names: Sequence[object] = getattr(self.images, "names", range(len(self.labels)))
        named = ", ".join(str(names[row]) for row in rows[:most]) + (", …" if len(rows) > most else "")
        return f"the photos {named}"


def step_seed(seed: int, epoch: int, number: int) -> int:
    """Mix a seed for one step: what is random in it is drawn again, and equal, when the step is done again."""
    return int(np.random.SeedSequence([seed, epoch, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))
