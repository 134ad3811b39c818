"""What one model of the zoo is: records, each a table of its TOML."""

import functools
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Literal, cast

from visnet.losses import LOSSES, PER_TRIPLET, LossFunction
from visnet.pipeline.bounds import BATCH_MAX, EPOCHS_MAX, LR_MAX, RANKS_MAX, SIDES_PX


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

    def function(self, labels: int, dimensions: int) -> LossFunction:
        """Return the loss with its parameters set, for so many labels and embeddings of so many dimensions."""
        chosen = LOSSES[self.name]
        if inspect.isclass(chosen):  # it learns a proxy for each label
            make = cast(Callable[..., LossFunction], chosen)
            return make(labels, dimensions, **self.parameters)
        return cast(LossFunction, functools.partial(chosen, **self.parameters))

    def on_given_triplets(self) -> "Loss | None":
        """Return the same loss on each triplet's own negative alone; None where it has no such form."""
        if self.name not in PER_TRIPLET:
            return None
        if "negatives" not in self.parameters:
            return self
        return replace(self, parameters={**self.parameters, "negatives": "given"})


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How weights move. Weight decay is for weights of two and more dimensions; never for biases and norms.

    `momentum` is SGD's; AdamW takes it as its first beta, and RMSprop has none at 0. `trunk_lr_factor`: for the trunk,
    which pretrained weights fill, beside what begins anew. `proxy_lr_factor`: for the weights that a loss itself
    learns. `clip_norm`, `clip_value`: the longest that the gradient may be, and each of its numbers; 0 is no
    bound. `accumulate`: batches whose gradients are averaged before a step. `ema_decay`: above 0, the model is the
    running mean of its weights, one step weighing 1 − this.
    """

    name: Literal["sgd", "adamw", "rmsprop"]
    lr: float
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    bias_lr_factor: float = 1.0
    trunk_lr_factor: float = 1.0
    proxy_lr_factor: float = 10.0
    clip_norm: float = 0.0
    clip_value: float = 0.0
    accumulate: int = 1
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        _between("lr", self.lr, 0.0, LR_MAX, open_below=True)
        _between("momentum", self.momentum, 0.0, 1.0)
        _between("weight_decay", self.weight_decay, 0.0, 1e6)
        _between("bias_lr_factor", self.bias_lr_factor, 0.0, 1e6)
        _between("trunk_lr_factor", self.trunk_lr_factor, 0.0, 1e6)
        _between("proxy_lr_factor", self.proxy_lr_factor, 0.0, 1e6)
        _between("clip_norm", self.clip_norm, 0.0, 1e9)
        _between("clip_value", self.clip_value, 0.0, 1e9)
        _between("ema_decay", self.ema_decay, 0.0, 0.99999)
        _between("accumulate", self.accumulate, 1, BATCH_MAX)
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
        _between("warmup_epochs", self.warmup_epochs, 0.0, EPOCHS_MAX)
        _between("step_epochs", self.step_epochs, 0, EPOCHS_MAX)
        _between("factor", self.factor, 0.0, 1.0)
        if (self.name == "step") != (self.step_epochs > 0):
            raise ValueError(f"step_epochs is for name = 'step' and must be at least 1 there, is {self.step_epochs}")


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What may happen to each photo of a training batch; every amount at zero is off.

    `flip`, `flip_vertical`: chance of a mirror image. `crop`: up to this share of the area is cut off, the rest
    resized back. `zoom`: a factor from 1 − v to 1 + v, drawn for each axis. `rotation_deg`, `shear_deg`: up to so far
    either way. `fill`: what stands where the photo ends, its mean colour or its edge, drawn out. `brightness`,
    `contrast`, `saturation`: a factor from 1 − v to 1 + v. `erase`: chance that a box of up to a third of the area is
    made grey.
    """

    flip: float = 0.0
    flip_vertical: float = 0.0
    crop: float = 0.0
    zoom: float = 0.0
    rotation_deg: float = 0.0
    shear_deg: float = 0.0
    fill: Literal["mean", "edge"] = "mean"
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        for name in ("flip", "flip_vertical", "brightness", "contrast", "saturation", "erase"):
            _between(name, getattr(self, name), 0.0, 1.0)
        for name in ("crop", "zoom"):
            _between(name, getattr(self, name), 0.0, 0.9)
        _between("rotation_deg", self.rotation_deg, 0.0, 180.0)
        _between("shear_deg", self.shear_deg, 0.0, 45.0)


@dataclass(frozen=True, kw_only=True)
class Batches:
    """What a batch is: so many `triplets`, or so many `products` with as many `photos` each, never both.

    A batch of products makes its own triplets: every ordered pair of a product's photos, each with a photo of another
    product; of a product with street and shop photos it takes both sides.
    """

    triplets: int = 0
    products: int = 0
    photos: int = 0

    def __post_init__(self) -> None:
        for name in ("triplets", "products", "photos"):
            _between(name, getattr(self, name), 0, BATCH_MAX)
        by_product = (self.products, self.photos)
        if (self.triplets > 0) == any(by_product) or (any(by_product) and min(by_product) < 2):
            raise ValueError(
                "needs triplets of at least 1, or products and photos of at least 2 each; "
                f"has triplets = {self.triplets}, products = {self.products}, photos = {self.photos}"
            )


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """Hard negatives, mined anew every `every_epochs`; off while that is 0.

    With the chance `share`, a triplet's negative is drawn from a band of the nearest other products, `first` to `last`
    (1 is the nearest, which is often no negative at all).
    """

    every_epochs: int = 0
    first: int = 4
    last: int = 50
    share: float = 0.5

    def __post_init__(self) -> None:
        _between("share", self.share, 0.0, 1.0)
        _between("every_epochs", self.every_epochs, 0, EPOCHS_MAX)
        _between("last", self.last, 1, RANKS_MAX)
        _between("first", self.first, 1, self.last)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model and how it is trained; `departs` says where it differs from its `source`, and why."""

    name: str
    source: str
    departs: tuple[str, ...]
    side_px: int
    weights: str
    epochs: int
    architecture: Architecture
    loss: Loss
    batches: Batches
    optimizer: Optimizer
    schedule: Schedule = field(default_factory=Schedule)
    augment: Augment = field(default_factory=Augment)
    rounds: Rounds = field(default_factory=Rounds)

    def __post_init__(self) -> None:
        if self.rounds.every_epochs and not self.batches.triplets:
            raise ValueError("[rounds] mines the negatives of triplets; [batches] must say how many triplets")
        _between("side_px", self.side_px, *SIDES_PX)
        _between("epochs", self.epochs, 1, EPOCHS_MAX)

    def toml(self) -> str:
        """Write the entry as the TOML that `visnet.zoo.parse` reads back to an equal entry."""
        lines, tables = [], []
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, Architecture | Loss):
                head = {"kind": value.kind} if isinstance(value, Architecture) else {"name": value.name}
                tables.append((part.name, {**head, **value.parameters}))
            elif isinstance(value, Batches | Optimizer | Schedule | Augment | Rounds):
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
