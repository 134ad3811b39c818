"""Time embedding beside the bare network: what reading photos and bringing vectors back cost.

    python benchmarks/embedding.py [--models visnet resnet18 ...] [--photos 4096] [--batch 256] [--device auto]

Two ways over the same photos and weights, in turn, several times; the ratio is of medians in this one run:

  embed   visnet.embedding.embed from decoded uint8 photos in memory to float32 vectors on the CPU
  bare    the network in eval mode over one batch that is on the device, its output left there
"""

import argparse
import dataclasses
import statistics
import time

import torch
from torch import Tensor
from torch.utils.data import Dataset

from visnet import zoo
from visnet.embedding import embed
from visnet.models.inputs import as_floats

MODELS = ("mildnet_small_hinge", "mildnet_mobilenet", "resnet18", "visnet", "vit_s_16")


class Photos(Dataset[Tensor]):
    """Decoded photos, uint8 [N, 3, S, S], of few different ones."""

    def __init__(self, count: int, side_px: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.count, self.few = count, torch.randint(0, 256, (256, 3, side_px, side_px), generator=generator).byte()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> Tensor:
        return self.few[row % len(self.few)]

    def __getitems__(self, rows: list[int]) -> Tensor:
        return self.few[[row % len(self.few) for row in rows]]


def embedded_s(model: torch.nn.Module, photos: Photos, batch: int, device: embed.Device) -> float:
    """Seconds that embedding every photo takes."""
    begun = time.perf_counter()
    for _ in embed.embed(model, photos, batch=batch, device=device):
        pass
    return time.perf_counter() - begun


def bare_s(model: torch.nn.Module, photos: Photos, batch: int, device: embed.Device) -> float:
    """Seconds that the network alone takes for as many batches."""
    place = embed.chosen_device(device)
    half = embed.chosen_precision("auto", place, model) == "bf16"
    whole = as_floats(photos.few.repeat(-(-batch // 256), 1, 1, 1)[:batch].to(place), channels_last=True)
    model = model.to(place).eval()
    with torch.autocast(place.type, torch.bfloat16, enabled=half), torch.inference_mode():
        running = embed.ready(model, whole.shape[-1], "bf16" if half else "fp32", place)
        running(whole)
        settle(place)
        begun = time.perf_counter()
        for _ in range(-(-len(photos) // batch)):
            running(whole)
        settle(place)
    return time.perf_counter() - begun


def settle(place: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if place.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Print photos per second of both ways, and their ratio, for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--photos", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    options = parser.parse_args()
    for name in options.models:
        entry = dataclasses.replace(zoo.entry(name), weights="none")
        try:
            model = zoo.build_model(entry, seed=1)
        except (ImportError, ValueError) as missing:
            print(f"{name}: {missing}", flush=True)
            continue
        photos = Photos(options.photos, entry.side_px)
        embedded_s(model, Photos(options.batch, entry.side_px), options.batch, options.device)  # warm
        turns = [
            (
                embedded_s(model, photos, options.batch, options.device),
                bare_s(model, photos, options.batch, options.device),
            )
            for _ in range(options.repeats)
        ]
        embedding, bare = (statistics.median(times) for times in zip(*turns, strict=True))
        rates = f"embed {options.photos / embedding:9.1f} photos/s, bare {options.photos / bare:9.1f}"
        print(
            f"{name} at {entry.side_px} px, {options.batch} a batch: {rates}, {bare / embedding:.2f} of it", flush=True
        )


if __name__ == "__main__":
    main()
