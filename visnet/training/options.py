"""How a training goes, and what it gives back."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import nn

from visnet.embedding.embed import Precision
from visnet.zoo import Entry, Optimizer, Schedule


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to train; the last four fields say only where and how fast, and may change between a kill and its resume.

    interpolate: whether the trunk's weights end between those it began with and those it has learnt; see
    `visnet.training.interpolation`.

    patience: epochs without a better monitored metric before training stops; 0 is never. precision: "auto" is bf16 on a
    GPU, fp32 on a CPU but for frozen layers (see `visnet.training.frozen_layers`). devices: GPUs (or CPU processes)
    of all hosts that train together, each on every so many-th batch. compile: let torch.compile make one program of
    the network; slow to start. checkpoint_every_s: beside the one at the end of each epoch, where there is one device.
    """

    epochs: int
    optimizer: Optimizer
    schedule: Schedule
    seed: int
    patience: int = 0
    interpolate: bool = False
    precision: Precision = "auto"
    devices: int = 1
    compile: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = 0
    checkpoint_every_s: float = 30.0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("devices", 1), ("seed", 0), ("patience", 0), ("workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, is {getattr(self, name)}")
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision {self.precision!r} is unknown; allowed are 'auto', 'fp32', 'bf16'")

    @classmethod
    def of(cls, entry: Entry, *, seed: int, **others: Any) -> "Options":
        """Take what an entry of the zoo says about training; `others` win over it."""
        own = {name: getattr(entry, name) for name in ("epochs", "optimizer", "schedule")}
        return cls(**{**own, "seed": seed, **others})


@dataclass(frozen=True)
class Fitted:
    """What came of a training; `metrics` are those of the best epoch, whose weights `model` has.

    interpolation: the share of what the trunk has learnt that `model` has, 1 unless `Options.interpolate`; `metrics`
    are measured with that.
    They are `train_loss`, what else the task counts of its training batches as `train_…`, its validation metrics as
    `validation_…`, and `lr`.
    """

    model: nn.Module
    epochs: int
    best_epoch: int
    stopped_early: bool
    resumed_from_epoch: int | None
    metrics: dict[str, float]
    photos: int
    wall_s: float
    interpolation: float
    images_per_s: float
