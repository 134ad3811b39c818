"""Embed the photos of a dataset with a trained model."""

from collections.abc import Iterator, Sized
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from visnet.log import SILENT, Log
from visnet.models.inputs import as_floats, photo_loader

Device = Literal["auto", "cpu", "cuda"]


def embed(
    model: nn.Module,
    images: Dataset[Tensor],
    *,
    batch: int,
    device: Device = "auto",
    log: Log = SILENT,
    workers: int = 0,
    cpu_bf16: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (rows [B] int64, embeddings [B, D] float32, both on the CPU) for every photo of `images`, in order.

    `images` gives uint8 RGB [3, S, S] and has a length. The model runs in eval mode, in bfloat16 on a GPU (on a CPU
    only with `cpu_bf16`), always on `batch` photos. It stays on the device, where the next call finds it, and otherwise
    is as before once the iterator ends or is closed. `ValueError` for a batch below 1.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, is {batch}")
    place = chosen_device(device)
    before = {module: module.training for module in model.modules()}
    half = place.type == "cuda" or cpu_bf16
    rows = range(len(cast(Sized, images)))
    loader = photo_loader(images, rows, batch=batch, workers=workers, pin_memory=place.type == "cuda")
    model.to(place).eval()
    try:
        with log.progress("embedding", len(rows), unit="photo") as progress:
            for numbers, photos in loader:
                # A library sums in another order for another batch size: a short batch is filled up, so that a photo's
                # vector is the same to the bit in whatever company it comes.
                whole = torch.cat([photos, photos.new_zeros((batch - len(photos), *photos.shape[1:]))])
                with torch.inference_mode(), torch.autocast(place.type, torch.bfloat16, enabled=half):
                    embeddings = model(as_floats(whole.to(place, non_blocking=True), channels_last=True))
                    embeddings = embeddings[: len(photos)].float().cpu()
                # Out of inference mode, and a copy: an inference tensor could not be trained upon, or written to.
                yield numbers, embeddings.clone()
                progress.advance(len(numbers))
    finally:
        for module, training in before.items():
            module.training = training


def chosen_device(device: Device) -> torch.device:
    """Return the device of that name; "auto" is a CUDA GPU where there is one. `ValueError` if it is not there."""
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device {device!r} is unknown; allowed are 'auto', 'cpu', 'cuda'")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda': this machine has no usable CUDA GPU; allowed are 'auto' and 'cpu'")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
