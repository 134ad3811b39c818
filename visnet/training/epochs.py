"""Reading a task's batches, epoch after epoch, on from any step, and in any number of processes and workers."""

from collections.abc import Iterator
from typing import Any, Generic, cast

from torch.utils.data import DataLoader, Dataset

from visnet.models.inputs import loader_options
from visnet.training.task import Batch, TrainingBatches


class EpochReader(Generic[Batch]):
    """Reads the batches of an epoch; the workers of a loader live on for the next, while the batches are the same.

    Of `ranks` processes, each takes every so many-th batch, and all take equally many.
    """

    def __init__(self, *, workers: int, pin_memory: bool, rank: int = 0, ranks: int = 1) -> None:
        self.rank, self.ranks = rank, ranks
        self._options = loader_options(workers, pin_memory=pin_memory)
        self._places: list[tuple[int, int]] = []  # the loader's sampler: of the epoch that is read
        self._loader: DataLoader[Batch] | None = None

    def length(self, batches: TrainingBatches[Any]) -> int:
        """Count the batches of a whole epoch, of all processes together."""
        return max(batches.per_epoch // self.ranks, 1) * self.ranks

    def read(self, batches: TrainingBatches[Batch], epoch: int, first: int = 0) -> Iterator[tuple[int, Batch]]:
        """Yield this process's batches of an epoch from number `first` on, each with its number."""
        dataset = cast(Dataset[Batch], batches)
        if self._loader is None or self._loader.dataset is not dataset:
            self._loader = None  # the workers that hold the old batches end first
            self._loader = DataLoader(dataset, sampler=self._places, batch_size=None, **self._options)
        numbers = [n % batches.per_epoch for n in range(first + self.rank, self.length(batches), self.ranks)]
        self._places[:] = [(epoch, number) for number in numbers]
        yield from zip(numbers, self._loader, strict=True)
