"""What a training knows of what is learnt: its batches, the loss of one, and how a validation is measured."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from torch import Tensor, nn

from visnet.pipeline.log import Log

Batch = TypeVar("Batch")
Batch_co = TypeVar("Batch_co", covariant=True)


class Step(NamedTuple):
    """What a network makes of one batch.

    loss: what is minimised, a scalar. size: how many (triplets, photos, boxes) it is the mean of, which is its weight
    in the mean over an epoch. totals: what else is counted of these, each a scalar, by the name of the metric that it
    is once divided by `size`; the same names at every step. photos: how many the network has seen.
    """

    loss: Tensor
    size: int
    totals: Mapping[str, Tensor]
    photos: int


class Monitor(NamedTuple):
    """The metric by which the best epoch is chosen, and a training stopped early."""

    metric: str  # "validation_" and one of the names that `Task.metrics` returns
    more_is_better: bool
    error: str | None = None  # the metric that is its standard error, if there is one

    def gain(self, metrics: Mapping[str, float], over: Mapping[str, float]) -> float:
        """Return by how much some metrics are better than others, below zero where they are worse."""
        gain = metrics[self.metric] - over[self.metric]
        return gain if self.more_is_better else -gain


class TrainingBatches(Protocol[Batch_co]):
    """The batches of all epochs, a map-style dataset; a batch depends on its epoch and number alone.

    So any step can be found again, by whichever process or worker. Indices are (epoch, number).
    """

    @property
    def per_epoch(self) -> int:
        """How many batches an epoch has; the same for all epochs of a training."""

    def __getitem__(self, at: tuple[int, int], /) -> Batch_co:
        """Return batch `number` of `epoch`: tensors in any nesting, which move to the device of the training."""

    def described(self, epoch: int, number: int) -> str:
        """Say what a batch holds, for an error about it."""


class ValidationBatches(Protocol):
    """The batches of a validation, in order, a map-style dataset; without any, the last epoch is the best."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Any:
        """Return a batch: tensors in any nesting."""


class Task(Protocol[Batch]):
    """What is learnt, and from what; `fit` knows nothing else of it.

    A task draws what is random in it from seeds of its own, but for what its network draws in a step (dropout): the
    loop seeds torch's global generators for each.
    """

    @property
    def model(self) -> nn.Module:
        """The network; its weights are what comes of the training."""

    @property
    def loss_module(self) -> nn.Module | None:
        """What the loss itself learns (a proxy for each class), at `proxy_lr_factor` times the learning rate."""

    @property
    def batches(self) -> TrainingBatches[Batch]:
        """The training's batches; another object once `before_epoch` has changed them."""

    @property
    def validation(self) -> ValidationBatches:
        """The validation's batches."""

    @property
    def monitor(self) -> Monitor:
        """The metric to watch."""

    def fingerprint(self) -> Iterable[bytes]:
        """Return all that weights depend on beside the network's own and the options: data, settings, seeds."""

    def before_epoch(self, epoch: int, batch: int, *, rank: int, workers: int, log: Log) -> None:
        """Prepare the batches of an epoch that goes on at `batch` (above 0 where it was killed midway).

        Each of several processes is called; the one of rank 0 writes files.
        """

    def step(self, model: nn.Module, batch: Batch) -> Step:
        """Return the loss of a batch by `model`, which is the network or its compiled form, under autocast."""

    def predict(self, model: nn.Module, batch: Any) -> Any:
        """Return what `metrics` needs of a validation batch, on the CPU; `model` may have averaged weights."""

    def metrics(self, predictions: Sequence[Any]) -> dict[str, float]:
        """Measure a validation, all of whose batches were predicted: finite numbers by the metrics' names."""
