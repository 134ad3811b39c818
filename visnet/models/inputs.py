"""What every network here takes: photos as floats in 0..1, RGB; and how such a batch is read from a dataset."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def stack(images: Dataset[Tensor], rows: Sequence[int]) -> Tensor:
    """Read `rows` of a dataset of uint8 photos [3, S, S] as one uint8 tensor [B, 3, S, S].

    A dataset with `__getitems__` (one read for many rows) is asked once, and may answer with one tensor.
    `ValueError` for a photo that is not uint8, not RGB or not of the others' size.
    """
    rows = [int(row) for row in rows]
    read_many = getattr(images, "__getitems__", None)
    photos = read_many(rows) if read_many is not None else [images[row] for row in rows]
    if isinstance(photos, Tensor) and (photos.dtype, photos.ndim, *photos.shape[:2]) == (torch.uint8, 4, len(rows), 3):
        return photos
    for row, photo in zip(rows, photos, strict=True):
        if photo.dtype != torch.uint8 or photo.ndim != 3 or photo.shape[0] != 3 or photo.shape != photos[0].shape:
            found = f"{str(photo.dtype).removeprefix('torch.')} {list(photo.shape)}"
            wanted = list(photos[0].shape) if photos[0].ndim == 3 and photos[0].shape[0] == 3 else "[3, S, S]"
            raise ValueError(
                f"photo {row} of the dataset is {found}; must be uint8 {wanted}, as every photo of a batch"
            )
    return torch.stack(tuple(photos))


def as_floats(photos: Tensor, *, channels_last: bool = False) -> Tensor:
    """Turn uint8 photos [B, 3, S, S] into float32 in 0..1, on the device they are on."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return photos.to(dtype=torch.float32, memory_format=layout).div_(255.0)


def constant(values: Sequence[float], beside: Tensor) -> Tensor:
    """Return numbers as a tensor of another's type and device, [N]; a copy from the host would wait for a GPU."""
    return torch.stack([beside.new_full((), value) for value in values])


def photo_loader(
    images: Dataset[Tensor], rows: Sequence[int], *, batch: int, workers: int = 0, pin_memory: bool = False
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Read `rows` of a dataset, in order and to the last, as (rows [B] int64, uint8 photos [B, 3, S, S])."""
    options = loader_options(workers, pin_memory=pin_memory)
    return DataLoader(PhotoBatches(images, rows, batch), batch_size=None, shuffle=False, **options)


def loader_options(workers: int, *, pin_memory: bool) -> dict[str, Any]:
    """Return the options of a `DataLoader` whose workers are not forked: Lance and CUDA do not survive a fork."""
    if workers == 0:
        return {"num_workers": 0, "pin_memory": pin_memory}
    return {
        "num_workers": workers,
        "pin_memory": pin_memory,
        "multiprocessing_context": "forkserver",
        "persistent_workers": True,
    }


class PhotoBatches(Dataset[tuple[Tensor, Tensor]]):
    """The batches of `rows` of a dataset, themselves a dataset: a loader sends a worker a number, and gets a batch."""

    def __init__(self, images: Dataset[Tensor], rows: Sequence[int], batch: int) -> None:
        self._images = images
        self._chunks = [list(rows[first : first + batch]) for first in range(0, len(rows), batch)]

    def __len__(self) -> int:
        return len(self._chunks)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Return (rows [B] int64, uint8 photos [B, 3, S, S])."""
        rows = self._chunks[number]
        return torch.tensor(rows, dtype=torch.int64), stack(self._images, rows)


class Normalise(nn.Module):
    """Shift and scale RGB in 0..1, first stretched to 0..`full`, by a mean and a standard deviation per channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, full: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))
        self.full = full

    def forward(self, photos: Tensor) -> Tensor:
        """Return `(photos * full - mean) / std`, [B, 3, S, S]."""
        return ((photos if self.full == 1.0 else photos * self.full) - self.mean) / self.std
