"""What a training is told, and what it gives back."""

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from visnet.zoo import Batches, Entry, Optimizer, Rounds, Schedule

Monitor = Literal["validation_loss", "validation_triplet_accuracy"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to train; the last four fields say only where and how fast, and may change between a kill and its resume.

    devices: GPUs (or CPU processes) that train together, each on every so many-th batch. compile: let torch.compile
    make one program of the network; slow to start.
    """

    epochs: int
    batches: Batches
    optimizer: Optimizer
    schedule: Schedule
    seed: int
    rounds: Rounds = field(default_factory=Rounds)
    monitor: Monitor = "validation_triplet_accuracy"  # the loss falls to its margin's noise while ranks still improve
    patience: int = 0  # epochs without a better monitored value before training stops; 0 is never
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # "auto" is bf16 on a GPU, fp32 on a CPU
    channels_last: bool = True
    devices: int = 1
    compile: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = 0
    checkpoint_every_s: float = 30.0  # beside the one at the end of each epoch

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("devices", 1), ("seed", 0), ("patience", 0), ("workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, is {getattr(self, name)}")

    @classmethod
    def of(cls, entry: Entry, *, seed: int, **others: Any) -> "Options":
        """Take what an entry of the zoo says about training; `others` win over it."""
        said = {name: getattr(entry, name) for name in ("epochs", "batches", "optimizer", "schedule", "rounds")}
        return cls(**{**said, "seed": seed, **others})


@dataclass(frozen=True)
class Fitted:
    """What came of a training; losses and accuracies are those of the best epoch, whose weights `model` has."""

    model: nn.Module
    epochs: int
    best_epoch: int
    stopped_early: bool
    resumed_from_epoch: int | None
    train_loss: float
    train_triplet_accuracy: float
    validation_loss: float | None
    validation_triplet_accuracy: float | None
    photos: int
    wall_s: float
    images_per_s: float
