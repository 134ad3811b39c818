"""Basic image similarity scorers: descriptors whose Euclidean distance says how unlike two photos are in one respect.

After Visnet's three (features of a pretrained network, a colour histogram of the foreground, a network for patterns);
the patterns' network is replaced by oriented band energies, which need no labelled patterns.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import pi
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from visnet.embedding import colour_histogram
from visnet.models.inputs import as_floats, stack
from visnet.pipeline.log import SILENT, Log
from visnet.sampling.crops import Crops

FREQUENCIES = (6.0, 10.0, 16.0, 26.0, 42.0)  # cycles per picture; what is slower is shading and shape
ORIENTATIONS = 8
BANDWIDTH = 0.35  # of log frequency, standard deviation: neighbouring bands overlap
SPREAD = pi / ORIENTATIONS * 0.8  # of angle, standard deviation
FAINT = 8.0  # L* units of contrast (standard deviation) at which a pattern counts half


def colour(photos: Tensor) -> Tensor:
    """Describe the colours of each photo's foreground, uint8 RGB [B, 3, S, S]: float32 [B, D].

    Square roots of shares of CIELAB bins, so squared distances are twice the Hellinger distance squared. What counts as
    foreground is `histogram.foreground`'s guess. `ValueError` for other photos.
    """
    _check(photos)
    images = photos.cpu().permute(0, 2, 3, 1).numpy()
    made = np.empty(
        (len(images), colour_histogram.BINS[0] * colour_histogram.BINS[1] * colour_histogram.BINS[2]), dtype=np.float32
    )
    for row, image in enumerate(images):
        made[row] = colour_histogram.colour_histogram(image, colour_histogram.foreground(image))
    return torch.from_numpy(made)


def pattern(photos: Tensor) -> Tensor:
    """Describe the pattern of each photo's foreground, uint8 RGB [B, 3, S, S], without its colours: float32 [B, D].

    Energies of the lightness in bands of frequency and orientation (log-Gabor filters), as square roots of shares: the
    direction says which pattern. The length says how much of one there is, from 0 (plain) to 1, and saturates, so that
    a pattern in two near shades is like the same pattern in black and white. `ValueError` for other photos.
    """
    _check(photos)
    images = photos.cpu().permute(0, 2, 3, 1).numpy()
    windowed = np.empty(images.shape[:3], dtype=np.float32)
    for row, image in enumerate(images):
        weight = colour_histogram.foreground(image)
        lightness = colour_histogram.lightness(image)
        # Weighed mean off: a plain fabric is 0 whatever the weight's shape, and has no energy anywhere.
        contrast = lightness - (lightness * weight).sum() / weight.sum()
        windowed[row] = contrast * weight / np.sqrt((weight**2).sum())
    power = torch.fft.rfft2(torch.from_numpy(windowed), norm="ortho").abs().square().flatten(1)
    energy = power @ _bands(photos.shape[2])  # variance of L* in each band, by Parseval's theorem
    total = energy.sum(1, keepdim=True)
    return (energy / total.clamp_min(1e-9)).sqrt() * (total / (total + FAINT**2))


@torch.no_grad()
def deep(photos: Tensor, network: nn.Module) -> Tensor:
    """Describe each photo, uint8 RGB [B, 3, S, S], by a network's features at length 1: float32 [B, D], on the CPU.

    network: takes floats in 0 … 1 [B, 3, S, S] on its parameters' device, gives [B, D]; it runs in eval mode and is as
    before afterwards. `ValueError` for other photos, or other features.
    """
    _check(photos)
    before = {module: module.training for module in network.modules()}
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    network.eval()
    try:
        features = network(as_floats(photos.to(device)))
    finally:
        for module, training in before.items():
            module.training = training
    if features.ndim != 2 or len(features) != len(photos):
        raise ValueError(f"the network gives {list(features.shape)} for {len(photos)} photos; needed is [B, D]")
    return F.normalize(features.float(), dim=1).cpu()


SCORERS: dict[str, Callable[..., Tensor]] = {"deep": deep, "colour": colour, "pattern": pattern}


def describe(
    images: Dataset[Tensor],
    count: int,
    names: Sequence[str],
    *,
    network: nn.Module | None = None,
    batch: int = 64,
    log: Log = SILENT,
) -> dict[str, Tensor]:
    """Describe the first `count` photos of a dataset of uint8 [3, S, S] by each named scorer: name -> [N, D] float32.

    Each photo is read once. `ValueError` for a scorer that does not exist, and for "deep" without a network.
    """
    for name in names:
        if name not in SCORERS:
            raise ValueError(f"no scorer is called {name!r}; allowed are {', '.join(SCORERS)}")
        if name == "deep" and network is None:
            raise ValueError("scorer 'deep' needs a network; give one, or leave the scorer out")
    if batch < 1:
        raise ValueError(f"batch must be at least 1, is {batch}")
    made: dict[str, list[Tensor]] = {name: [] for name in names}
    with log.progress("similarity scorers", count, unit="crop") as progress:
        for start in range(0, count, batch):
            photos = stack(images, range(start, min(start + batch, count)))
            for name, parts in made.items():
                extra: dict[str, Any] = {"network": network} if name == "deep" else {}
                parts.append(SCORERS[name](photos, **extra))
            progress.advance(len(photos))
    return {name: torch.cat(parts) if parts else torch.empty(0, 1) for name, parts in made.items()}


def check_descriptors(crops: Crops, descriptors: Mapping[str, Tensor]) -> None:
    """Raise `ValueError` unless there is a scorer, and every one has a row [D] per crop."""
    if not descriptors:
        raise ValueError("there are no descriptors; needed are those of at least one scorer")
    for name, vectors in descriptors.items():
        if vectors.ndim != 2 or len(vectors) != len(crops):
            raise ValueError(f"descriptors {name!r} are {list(vectors.shape)}; needed is [{len(crops)}, D]")


@lru_cache(maxsize=4)
def _bands(side_px: int) -> Tensor:
    """Return the share of each frequency's power that belongs to each band, float32 [S * (S // 2 + 1), D].

    Every frequency of the half plane stands for itself and its mirror, but those of the first column.
    """
    down = np.fft.fftfreq(side_px)[:, None] * side_px
    across = np.fft.rfftfreq(side_px)[None, :] * side_px
    radius, angle = np.hypot(down, across), np.arctan2(down, across)
    twice = np.where((across == 0) | (across == side_px / 2), 1.0, 2.0)
    bands = []
    for frequency in FREQUENCIES:
        ring = np.exp(-0.5 * (np.log(np.maximum(radius, 1e-9) / frequency) / BANDWIDTH) ** 2)
        for number in range(ORIENTATIONS):
            apart = (angle - number * pi / ORIENTATIONS + pi / 2) % pi - pi / 2  # a wave has no front and back
            bands.append((ring * np.exp(-0.5 * (apart / SPREAD) ** 2) * twice).ravel())
    return torch.from_numpy(np.stack(bands, axis=1).astype(np.float32))


def _check(photos: Tensor) -> None:
    if photos.dtype != torch.uint8 or photos.ndim != 4 or photos.shape[1] != 3 or photos.shape[2] != photos.shape[3]:
        found = f"{str(photos.dtype).removeprefix('torch.')} {list(photos.shape)}"
        raise ValueError(f"photos are {found}; needed is uint8 [B, 3, S, S]")
