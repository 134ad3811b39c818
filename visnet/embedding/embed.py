"""Embed the photos of a dataset with a trained model."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sized
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from visnet.models.folding import folded
from visnet.models.inputs import as_floats, photo_loader
from visnet.models.onnx_network import is_light, on_onnxruntime
from visnet.pipeline.budget import keep_what_is_freed
from visnet.pipeline.log import SILENT, Log

Device = Literal["auto", "cpu", "cuda"]
Computed = Literal["fp32", "bf16"]
Precision = Literal["auto", "fp32", "bf16"]

_AHEAD = {"cpu": 0, "cuda": 1}  # batches that are computed before one is yielded


def embed(
    model: nn.Module,
    images: Dataset[Tensor],
    *,
    batch: int,
    device: Device = "auto",
    log: Log = SILENT,
    workers: int = 0,
    precision: Precision = "auto",
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (rows [B] int64, embeddings [B, D] float32, both on the CPU) for every photo of `images`, in order.

    `images` gives uint8 RGB [3, S, S] and has a length. The model runs in eval mode, always on `batch` photos, and in
    fp32 as `ready` makes it. It stays on the device, where the next call finds it, and otherwise is as before once the
    iterator ends or is closed. A GPU computes the next batch while one is yielded.
    precision: see `chosen_precision`. `ValueError` for a batch below 1.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, is {batch}")
    place = chosen_device(device)
    if place.type == "cpu":
        keep_what_is_freed()
    before = {module: module.training for module in model.modules()}
    half = chosen_precision(precision, place, model) == "bf16"
    rows = range(len(cast(Sized, images)))
    loader = photo_loader(images, rows, batch=batch, workers=workers, pin_memory=place.type == "cuda")
    model.to(place).eval()
    running: nn.Module | None = None
    waiting: deque[tuple[Tensor, Callable[[], Tensor]]] = deque()
    try:
        with log.progress("embedding", len(rows), unit="photo") as progress:
            for numbers, photos in loader:
                # A library sums in another order for another batch size: a short batch is filled up, so that a photo's
                # vector is the same to the bit in whatever company it comes.
                whole = photos
                if len(photos) < batch:
                    whole = torch.cat([photos, photos.new_zeros((batch - len(photos), *photos.shape[1:]))])
                autocast = torch.autocast(place.type, torch.bfloat16) if half else _whole_fp32()
                with autocast:
                    running = running or ready(model, whole.shape[-1], "bf16" if half else "fp32", place)
                    with torch.inference_mode():
                        embeddings = running(as_floats(whole.to(place, non_blocking=True), channels_last=True))
                        waiting.append((numbers, _brought(embeddings[: len(photos)].float())))
                while len(waiting) > _AHEAD[place.type]:
                    first, arrived = waiting.popleft()
                    yield first, arrived()
                    progress.advance(len(first))
            for first, arrived in waiting:
                yield first, arrived()
                progress.advance(len(first))
    finally:
        for module, training in before.items():
            module.training = training


def _brought(embeddings: Tensor) -> Callable[[], Tensor]:
    """Have vectors copied to the CPU; the function returned waits for them, and for nothing that was begun later.

    It copies them once more, out of inference mode: an inference tensor could not be trained upon, or written to.
    """
    if not embeddings.is_cuda:
        return embeddings.clone
    held = torch.empty(embeddings.shape, pin_memory=True)
    held.copy_(embeddings, non_blocking=True)
    there = torch.cuda.Event()  # type: ignore[no-untyped-call]
    there.record()

    def arrived() -> Tensor:
        there.synchronize()
        return held.clone()

    return arrived


def ready(model: nn.Module, side_px: int, precision: Computed, place: torch.device | None = None) -> nn.Module:
    """Return what answers as the model does for photos of a side on a device, in less time; perhaps itself.

    In fp32 its batch norms are folded, and on a CPU ONNX Runtime runs it. In bf16 neither: rounded once more, folded
    weights are further from the model's than its own. place: by default what `chosen_device` says of "auto".
    """
    if precision == "bf16":
        return model
    made = folded(model, side_px)
    return on_onnxruntime(made, side_px) if (place or chosen_device("auto")).type == "cpu" else made


def chosen_device(device: Device) -> torch.device:
    """Return the device of that name; "auto" is a CUDA GPU where there is one. `ValueError` if it is not there."""
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device {device!r} is unknown; allowed are 'auto', 'cpu', 'cuda'")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda': this machine has no usable CUDA GPU; allowed are 'auto' and 'cpu'")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def chosen_precision(precision: Precision, place: torch.device, model: nn.Module) -> Computed:
    """Return the precision of that name; "auto" is bf16 where the device computes this model much faster in it.

    That is a GPU, and a CPU with AMX unless the model `is_light`. With AVX-512 BF16 alone, casting and sorting weights
    at every call takes what the products save. `ValueError` for another name.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise ValueError(f"precision {precision!r} is unknown; allowed are 'auto', 'fp32', 'bf16'")
    if precision != "auto":
        return precision
    if place.type == "cuda":
        return "bf16"
    return "bf16" if torch.cpu._is_amx_tile_supported() and not is_light(model) else "fp32"


@contextlib.contextmanager
def _whole_fp32() -> Iterator[None]:
    """Keep a GPU from rounding to TF32, so that fp32 is the same model there as on a CPU."""
    settings: list[Any] = [torch.backends.cudnn.conv, torch.backends.cuda.matmul]  # type: ignore[attr-defined]
    before = [setting.fp32_precision for setting in settings]
    try:
        for setting in settings:
            setting.fp32_precision = "ieee"
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value
