"""Something small to train: products that are shapes in a colour, a tiny network, and a log that remembers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from visnet import zoo
from visnet.training import EmbeddingTask, Fitted, Options, TripletSet, fit
from visnet.zoo import weights

SIDE_PX = 32
PRODUCTS, PHOTOS_EACH = 24, 4


class Shapes(torch.utils.data.Dataset[Tensor]):
    """Products are a shape in a colour; their photos differ in place, size, background and noise."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        y, x = np.mgrid[:SIDE_PX, :SIDE_PX] / SIDE_PX - 0.5
        photos = []
        for product in range(PRODUCTS):
            colour = rng.integers(0, 256, 3)
            for _ in range(PHOTOS_EACH):
                u, v = x - rng.uniform(-0.1, 0.1), y - rng.uniform(-0.1, 0.1)
                size = rng.uniform(0.25, 0.4)
                inside = (np.maximum(abs(u), abs(v)) < size, u * u + v * v < size**2, abs(u) + abs(v) < size)[
                    product % 3
                ]
                photo = np.where(inside[:, :, None], colour, rng.integers(0, 256, 3))
                noisy = (photo + rng.normal(0, 10, photo.shape)).clip(0, 255).astype(np.uint8)
                photos.append(torch.from_numpy(noisy.transpose(2, 0, 1).copy()))
        self.photos = torch.stack(photos)
        self.labels = np.repeat(np.arange(PRODUCTS), PHOTOS_EACH)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, row: int) -> Tensor:
        return self.photos[row]

    def triplets(self, count: int, products: range) -> np.ndarray:
        rng = np.random.default_rng(len(products))
        rows = []
        for _ in range(count):
            one, other = rng.choice(products, 2, replace=False)
            q, p = rng.choice(PHOTOS_EACH, 2, replace=False) + PHOTOS_EACH * one
            rows.append((q, p, rng.integers(PHOTOS_EACH) + PHOTOS_EACH * other))
        return np.array(rows)


class Tiny(nn.Module):
    """A network small enough for a test, with what makes resuming hard: batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(128, 16),
        )  # fmt: skip

    def forward(self, photos: Tensor) -> Tensor:
        return nn.functional.normalize(self.body(photos), dim=1)


class Diary:
    """A log that remembers, and may do something at a step."""

    def __init__(self, at_step: int = -1, act: object = None) -> None:
        self.said: list[str] = []
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.total: int | None = None
        self.done = 0
        self.at_step, self.act = at_step, act

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def progress(self, what: str, total: int | None, *, done: int = 0, unit: str = "it") -> "Iterator[Diary]":
        if what != "training":  # a round embeds and searches, with bars of its own
            yield Diary()
            return
        self.total, self.done = total, done
        yield self

    def advance(self, n: int = 1, **shown: float | str) -> None:
        self.done += n
        if self.done == self.at_step:
            self.act()  # type: ignore[operator]

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        self.rows.append((step, dict(values)))

    def picture(self, image: object, name: str = "") -> None:
        raise AssertionError("training draws nothing")


SHAPES = Shapes()
TRAIN, VALIDATION = SHAPES.triplets(150, range(16)), SHAPES.triplets(60, range(16, 24))
LOSS = zoo.Loss(name="sq_hinge", parameters={"margin": 0.2, "negatives": "batch"})
ADAM = zoo.Optimizer(name="adamw", lr=3e-3, weight_decay=1e-4)
AUGMENT = zoo.Augment(flip=0.5, crop=0.2, brightness=0.1)


def options(**others: object) -> Options:
    said: dict[str, object] = {
        "epochs": 3,
        "optimizer": ADAM,
        "schedule": zoo.Schedule(name="cosine", warmup_epochs=0.5),
        "seed": 7,
        "device": "cpu",
        "checkpoint_every_s": 0.0,  # after every step
    }
    return Options(**{**said, **others})  # type: ignore[arg-type]


# Every manner of training must go on after a kill as if nothing had been.
MANNERS: dict[str, dict[str, object]] = {
    "plain": {},
    "averaged weights, two batches a step": {
        "optimizer": zoo.Optimizer(name="adamw", lr=3e-3, weight_decay=1e-4, ema_decay=0.9, accumulate=2)
    },
    "rounds of mined negatives": {"rounds": zoo.Rounds(every_epochs=1, first=2, last=6, share=0.5)},
    "products, and a loss that learns": {
        "batches": zoo.Batches(products=4, photos=2),
        "loss": zoo.Loss(name="proxy_anchor"),
    },
}


OF_TASK = ("batches", "loss", "augment", "rounds", "monitor")  # the others are options of the loop


def task(folder: Path, model: nn.Module, data: TripletSet, **others: object) -> EmbeddingTask:
    parts = {"batches": zoo.Batches(triplets=16), "loss": LOSS, "augment": AUGMENT, "rounds": zoo.Rounds()}
    return EmbeddingTask(model, data, seed=7, rounds_dir=folder, **{**parts, **others})  # type: ignore[arg-type]


def train(
    folder: Path,
    log: Diary | None = None,
    model: nn.Module | None = None,
    data: TripletSet | None = None,
    **others: object,
) -> Fitted:
    torch.set_num_threads(1)  # sums of another number of threads are other sums
    if model is None:
        torch.manual_seed(0)
        model = Tiny()
    data = data or TripletSet(SHAPES, TRAIN, VALIDATION, SHAPES.labels)
    learnt = task(folder, model, data, **{name: value for name, value in others.items() if name in OF_TASK})
    torch.seed()  # whatever was drawn before: a training has a seed of its own
    chosen = options(**{name: value for name, value in others.items() if name not in OF_TASK})
    return fit(learnt, chosen, folder, log or Diary())


def digest(fitted: Fitted) -> str:
    return weights.digest(fitted.model.state_dict())
