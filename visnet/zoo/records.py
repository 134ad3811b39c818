"""What one model of the zoo is: records, each a table of its TOML."""

import functools
import json
from dataclasses import dataclass, field, fields, replace
from typing import Literal, cast

from visnet.losses import LOSSES
from visnet.losses import Loss as LossFunction


def _between(name: str, value: float, low: float, high: float, *, open_below: bool = False) -> None:
    if not low <= value <= high or (open_below and value == low):
        raise ValueError(
            f"{name} must be {'above' if open_below else 'at least'} {low:g} and at most {high:g}, is {value:g}"
        )


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A class of `visnet.models.ARCHITECTURES` and its parameters."""

    kind: str
    parameters: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A function of `visnet.losses.LOSSES` and its parameters."""

    name: str
    parameters: dict[str, object] = field(default_factory=dict)

    def function(self) -> LossFunction:
        """Return the loss with its parameters set."""
        return cast(LossFunction, functools.partial(LOSSES[self.name], **self.parameters))

    def on_given_triplets(self) -> "Loss":
        """Return the same loss on each triplet's own negative: it does not depend on who shares a batch."""
        if "negatives" not in self.parameters:
            return self
        return replace(self, parameters={**self.parameters, "negatives": "given"})


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How weights move. Weight decay is for weights of two and more dimensions; never for biases and norms."""

    name: Literal["sgd", "adamw"]
    lr: float
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    bias_lr_factor: float = 1.0
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        _between("lr", self.lr, 0.0, 1e6, open_below=True)
        _between("momentum", self.momentum, 0.0, 1.0)
        _between("weight_decay", self.weight_decay, 0.0, 1e6)
        _between("bias_lr_factor", self.bias_lr_factor, 0.0, 1e6)
        _between("clip_norm", self.clip_norm, 0.0, 1e9)
        if self.nesterov and (self.name != "sgd" or self.momentum == 0):
            raise ValueError("nesterov needs name = 'sgd' and momentum above 0")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the learning rate goes: level, down a half cosine to zero, or times `factor` every `step_epochs`."""

    name: Literal["constant", "cosine", "step"] = "constant"
    warmup_epochs: float = 0.0
    step_epochs: int = 0
    factor: float = 0.1

    def __post_init__(self) -> None:
        _between("warmup_epochs", self.warmup_epochs, 0.0, 1e6)
        _between("factor", self.factor, 0.0, 1.0)
        if (self.name == "step") != (self.step_epochs > 0):
            raise ValueError(f"step_epochs is for name = 'step' and must be at least 1 there, is {self.step_epochs}")


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What may happen to each photo of a training batch; every amount at zero is off.

    `flip`: chance of a mirror image. `crop`: up to this share of the area is cut off, the rest resized back.
    `brightness`, `contrast`, `saturation`: a factor from 1 − v to 1 + v. `rotation_deg`: up to so far either way.
    """

    flip: float = 0.0
    crop: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    rotation_deg: float = 0.0

    def __post_init__(self) -> None:
        for name in ("flip", "crop", "brightness", "contrast", "saturation"):
            _between(name, getattr(self, name), 0.0, 0.9 if name == "crop" else 1.0)
        _between("rotation_deg", self.rotation_deg, 0.0, 180.0)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model and how it is trained; `departs` says where it differs from its `source`, and why."""

    name: str
    source: str
    departs: tuple[str, ...]
    side_px: int
    weights: str
    batch_triplets: int
    epochs: int
    architecture: Architecture
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule = field(default_factory=Schedule)
    augment: Augment = field(default_factory=Augment)

    def __post_init__(self) -> None:
        for name, least in (("side_px", 64), ("batch_triplets", 1), ("epochs", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, is {getattr(self, name)}")

    def toml(self) -> str:
        """Write the entry as the TOML that `visnet.zoo.parse` reads back to an equal entry."""
        lines, tables = [], []
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, Architecture | Loss):
                head = {"kind": value.kind} if isinstance(value, Architecture) else {"name": value.name}
                tables.append((part.name, {**head, **value.parameters}))
            elif isinstance(value, Optimizer | Schedule | Augment):
                tables.append((part.name, {key.name: getattr(value, key.name) for key in fields(value)}))
            else:
                lines.append(f"{part.name} = {_literal(value)}")
        for name, table in tables:
            lines += ["", f"[{name}]", *(f"{key} = {_literal(value)}" for key, value in table.items())]
        return "\n".join(lines) + "\n"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    raise TypeError(f"no TOML for {value!r}")
