"""Time training end to end, beside the same loop fed with ready tensors: what reading and augmenting photos cost.

    python benchmarks/training.py [--config mildnet_small] [--photos 1024] [--side 128] [--repeats 3] [--device auto]

Three ways over the same photos, triplets and steps, in turn, several times; the ratio is of medians in this one run:

  end to end   training.fit from a table of encoded crops: decode (once, while they fit into memory), augment, train
  in memory    training.fit from decoded uint8 tensors: augment, train
  bare         no fit: a plain loop over float tensors that were augmented before; what the network itself costs

Where Lance is not installed, encoded photos lie in memory instead of a table.
"""

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.io import ImageReadMode, decode_image, encode_jpeg
from torchvision.transforms.v2 import functional as F

from visnet import training, zoo
from visnet.models.inputs import as_floats, stack
from visnet.training.augment import augment, draw
from visnet.training.plans import ByTriplet
from visnet.training.schedule import optimizer_of

KEPT_PX = 160  # the longer side of a crop in the table, as params.toml has it
EACH = 4  # photos per product


class Ready(Dataset[Tensor]):
    """Decoded photos, uint8 [N, 3, S, S]."""

    def __init__(self, photos: Tensor) -> None:
        self.photos = photos

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, row: int) -> Tensor:
        return self.photos[row]

    def __getitems__(self, rows: Sequence[int]) -> Tensor:
        return self.photos[list(rows)]


class Encoded(Dataset[Tensor]):
    """JPEG photos in memory, decoded by as many threads as torch has and squashed, once, as those of a table are."""

    def __init__(self, photos: list[Tensor], side_px: int) -> None:
        self.photos, self.side_px = photos, side_px
        self.held = torch.zeros(len(photos), dtype=torch.bool)
        self.decoded = torch.empty(len(photos), 3, side_px, side_px, dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, row: int) -> Tensor:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: Sequence[int]) -> Tensor:
        wanted = [row for row in set(rows) if not self.held[row]]
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for row, photo in zip(wanted, pool.map(self._square, wanted), strict=True):
                self.decoded[row] = photo
        self.held[wanted] = True
        return self.decoded[list(rows)]

    def _square(self, row: int) -> Tensor:
        return F.resize(decode_image(self.photos[row], ImageReadMode.RGB), [self.side_px, self.side_px], antialias=True)


def photos_of(count: int) -> list[Tensor]:
    """Make JPEG photos with the detail of a photo, not of noise: a few smooth colours under a texture."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(count):
        coarse = torch.rand(1, 3, 6, 6, generator=generator)
        smooth = torch.nn.functional.interpolate(coarse, (KEPT_PX, KEPT_PX), mode="bicubic").clamp(0, 1)[0]
        texture = torch.rand(1, KEPT_PX, KEPT_PX, generator=generator) * 0.15
        made.append(encode_jpeg(((smooth + texture).clamp(0, 1) * 255).to(torch.uint8), quality=90))
    return made


def table_of(photos: list[Tensor], folder: Path, side_px: int) -> Dataset[Tensor]:
    """Put the photos into a Lance table, as the stage `crops` does, or leave them where Lance is not installed."""
    try:
        import lance
        import pyarrow as pa

        from visnet.embedding.crop_dataset import CropImages
    except ModuleNotFoundError:
        return Encoded(photos, side_px)
    ids = [f"{row:06d}" for row in range(len(photos))]
    rows = pa.table({"crop_id": ids, "image": pa.array([photo.numpy().tobytes() for photo in photos], pa.binary())})
    lance.write_dataset(rows, str(folder / "crops.lance"))
    return CropImages(folder / "crops.lance", ids, side_px)


def fitted(entry: zoo.Entry, images: Dataset[Tensor], triplets: np.ndarray, labels: np.ndarray, device: str) -> float:
    """Train and return photos per second of the steps after the first epoch, whose decoding is timed apart."""
    ends: list[tuple[float, int]] = []

    class Clock:
        def say(self, text: str) -> None:
            pass

        def progress(self, *_: object, **__: object) -> "Clock":
            return self

        def __enter__(self) -> "Clock":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def advance(self, n: int = 1, **shown: float | str) -> None:
            ends.append((time.perf_counter(), n))

        def curve(self, step: int, values: object) -> None:
            pass

    with tempfile.TemporaryDirectory() as folder:
        data = training.TripletSet(images, triplets, np.empty((0, 3), np.int64), labels)
        model = zoo.build_model(entry, seed=1)
        task = training.EmbeddingTask.of(entry, model, data, seed=1, rounds_dir=Path(folder))
        options = training.Options.of(entry, seed=1, device=device, checkpoint_every_s=1e9)
        training.fit(task, options, Path(folder), Clock())  # type: ignore[arg-type]
    per_epoch = len(ends) // entry.epochs
    plan = ByTriplet(triplets, per_batch=entry.batches.triplets, seed=1)
    seen = sum(len(plan.rows(epoch, number)[0]) for epoch in range(1, entry.epochs) for number in range(1, per_epoch))
    took_s = 0.0
    for epoch in range(1, entry.epochs):  # from the first step's end to the last's: no validation, no checkpoint
        took_s += ends[(epoch + 1) * per_epoch - 1][0] - ends[epoch * per_epoch][0]
    return seen / took_s


def bare(entry: zoo.Entry, photos: Tensor, triplets: np.ndarray, labels: np.ndarray, device: str) -> float:
    """Train by a plain loop over tensors that are ready on their device; return photos per second."""
    place = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    model = zoo.build_model(entry, seed=1).to(place, memory_format=torch.channels_last).train()
    loss = entry.loss.function(int(labels.max()) + 1, int(model.dimensions))  # type: ignore[arg-type]
    learnt = loss.to(place) if isinstance(loss, torch.nn.Module) else None
    optimizer = optimizer_of(model, entry.optimizer, learnt)
    plan = ByTriplet(triplets, per_batch=entry.batches.triplets, seed=1)
    ready = []
    for number in range(plan.batches):
        rows, places = plan.rows(0, number)
        generator = torch.Generator().manual_seed(number)
        floats = augment(as_floats(photos[rows]), entry.augment, draw(len(rows), generator))
        floats = floats.to(place, memory_format=torch.channels_last)
        ready.append((floats, torch.from_numpy(places).to(place), torch.from_numpy(labels[rows]).to(place)))
    seen, took_s = 0, 0.0
    for epoch in range(entry.epochs):
        if place.type == "cuda":
            torch.cuda.synchronize()
        begun = time.perf_counter()
        for floats, places, of in ready:
            with torch.autocast(place.type, torch.bfloat16, enabled=place.type == "cuda"):
                embeddings = model(floats)
            optimizer.zero_grad()
            loss(embeddings.float(), places, of).mean().backward()
            optimizer.step()
        if place.type == "cuda":
            torch.cuda.synchronize()
        if epoch:  # the first one warms up
            took_s += time.perf_counter() - begun
            seen += sum(len(floats) for floats, _, _ in ready)
    return seen / took_s


def main() -> None:
    """Print photos per second of the three ways, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="mildnet_small")
    parser.add_argument("--photos", type=int, default=1024)
    parser.add_argument("--side", type=int, help="pixels; the entry's own where left out")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--triplets", type=int, default=0, help="per batch; the entry's own where left out")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    options = parser.parse_args()
    entry = zoo.entry(options.config)
    per_batch = options.triplets or entry.batches.triplets or 32
    entry = dataclasses.replace(
        entry, weights="none", epochs=options.epochs, side_px=options.side or entry.side_px,
        batches=zoo.Batches(triplets=per_batch), rounds=zoo.Rounds(),
    )  # fmt: skip
    encoded = photos_of(options.photos)
    labels = np.arange(options.photos) // EACH
    rng = np.random.default_rng(0)
    q = rng.permutation(options.photos)[: options.photos // 2]
    p = labels[q] * EACH + (q + 1) % EACH
    n = (q + EACH * rng.integers(1, options.photos // EACH, len(q))) % options.photos
    triplets = np.stack([q, p, n], 1)
    with tempfile.TemporaryDirectory() as folder:
        images = table_of(encoded, Path(folder), entry.side_px)
        ready = Ready(stack(images, range(options.photos)))
        ways = {
            "end to end": lambda: fitted(entry, images, triplets, labels, options.device),
            "in memory": lambda: fitted(entry, ready, triplets, labels, options.device),
            "bare": lambda: bare(entry, ready.photos, triplets, labels, options.device),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(options.repeats):
            for name, way in ways.items():
                rates[name].append(way())
                print(f"  turn {turn + 1}: {name:<10} {rates[name][-1]:8.1f} photos/s", file=sys.stderr, flush=True)
    middle = {name: statistics.median(values) for name, values in rates.items()}
    device = torch.cuda.get_device_name() if options.device != "cpu" and torch.cuda.is_available() else "CPU"
    print(
        f"{entry.name} at {entry.side_px} px, {per_batch} triplets a batch, {device}, {torch.get_num_threads()} threads"
    )
    for name, value in middle.items():
        spread = (max(rates[name]) - min(rates[name])) / value
        print(f"{name:<11}{value:9.1f} photos/s  (spread {spread:.0%})")
    print(f"end to end / in memory {middle['end to end'] / middle['in memory']:.3f}")
    print(f"end to end / bare      {middle['end to end'] / middle['bare']:.3f}")


if __name__ == "__main__":
    main()
