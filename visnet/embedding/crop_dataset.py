"""Crops read from their table as tensors, by number."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import Dataset

from visnet.errors import NotFound
from visnet.storage.table import Table

CACHE_BYTES = 512 << 20  # of one process: the whole stage stays below 1.5 GB with torch and a network
DECODED_AT_ONCE = 64  # crops that are read together
PREPARING = 1  # raise when `square` (or `as_floats`) gives other numbers: vectors of before are then by another model


def square(picture: Image.Image, side_px: int) -> torch.Tensor:
    """Squash a picture to a square, uint8 [3, S, S]: bilinear, with antialiasing."""
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    return F.interpolate(pixels[None], (side_px, side_px), mode="bilinear", antialias=True)[0]


class CropImages(Dataset[torch.Tensor]):
    """Map row i to crop `crop_ids[i]` as uint8 [3, S, S], squashed to a square; kept in memory while that is cheap.

    keep: whether crops are asked for more than once. Left out, they are kept if all of them fit into `CACHE_BYTES`.

    Opened anew in every process that it is sent to, since Lance must not be forked; always the version that it found,
    whose rows it has numbered: an experiment of hours does not keep the line from going on.
    """

    def __init__(self, path: Path, crop_ids: Sequence[str], side_px: int, *, keep: bool = True) -> None:
        self.path, self.side_px, self.names = path, side_px, crop_ids
        wanted, table = pa.array(crop_ids, pa.string()), Table(path).opened()
        self.version = table.version
        found = pc.index_in(wanted, value_set=table.to_table(columns=["crop_id"])["crop_id"].combine_chunks())
        if found.null_count:
            first = wanted.filter(found.is_null())[0].as_py()
            raise NotFound(f"{path}: {found.null_count} crops asked for are not there, the first is {first!r}")
        self.positions: list[int] = found.to_pylist()
        self._table: Any = None
        self._cache: torch.Tensor | None = None
        self._held = torch.zeros(0, dtype=torch.bool)
        if keep and len(crop_ids) * 3 * side_px**2 <= CACHE_BYTES:
            self._held = torch.zeros(len(crop_ids), dtype=torch.bool)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_table": None, "_cache": None, "_held": torch.zeros_like(self._held)}

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> torch.Tensor:
        rows = torch.as_tensor(indices)
        if not len(self._held):
            return self._decoded(rows.tolist())
        if self._cache is None:
            self._cache = torch.empty(len(self), 3, self.side_px, self.side_px, dtype=torch.uint8)
        wanted = torch.unique(rows[~self._held[rows]])
        if len(wanted):
            self._cache[wanted] = self._decoded(wanted.tolist())
            self._held[wanted] = True
        return self._cache[rows]

    def _decoded(self, indices: list[int]) -> torch.Tensor:
        # By as many threads as the network has, which waits for the pictures.
        self._table = self._table or Table(self.path).opened(self.version)
        pictures = torch.empty(len(indices), 3, self.side_px, self.side_px, dtype=torch.uint8)
        places = iter(pictures.numpy())  # torch would wake its threads for a copy of this size
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for start in range(0, len(indices), DECODED_AT_ONCE):
                some = indices[start : start + DECODED_AT_ONCE]
                taken = self._table.take([self.positions[i] for i in some], columns=["image"])["image"]
                squares = pool.map(self._square, some, taken.to_pylist())
                for picture, place in zip(squares, places, strict=False):  # in this order: none of the places is lost
                    place[...] = picture.numpy()
        return pictures

    def _square(self, index: int, data: bytes | None) -> torch.Tensor:
        try:
            return square(Image.open(io.BytesIO(data or b"")), self.side_px)
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{self.path}: crop {self.names[index]!r} does not decode: {error}") from error
