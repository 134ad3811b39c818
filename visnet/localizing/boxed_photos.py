"""Photos of the table whose boxes a source has told, as squares, by number."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from visnet.localizing.columns import COLUMNS
from visnet.localizing.empty_parts import empty_part
from visnet.localizing.letterbox import Frame, letterboxed
from visnet.photos import codec
from visnet.photos.cutting import BOX
from visnet.storage.table import Table

CACHE_BYTES = 512 << 20  # of one process; as much again for the parts that are empty


class Boxed(NamedTuple):
    """A photo as uint8 [3, S, S], its boxes there, float32 [M, 4] (left, top, right, bottom), and where it lies."""

    pixels: Tensor
    boxes: Tensor
    frame: Frame


def boxed_street(crops: Path) -> pd.DataFrame:
    """Read the street crops that have a box, by photo: `COLUMNS`."""
    where = "side = 'street' AND lost IS NULL AND width > 0 AND height > 0"
    return Table(crops / "crops.lance").read(COLUMNS, where).to_pandas().sort_values(["photo_id", "crop_id"])


class BoxedPhotos(Dataset[Boxed]):
    """Map i to photo `names[i]` with all of its boxes; kept in memory while that is cheap.

    photos: the table of photos. rows: `photo_id`, `product_id` and `BOX`, in pixels of the upright photo. Opened anew
    in every process that it is sent to, since Lance must not be forked, and always the version that it found.
    """

    def __init__(self, photos: Path, rows: pd.DataFrame, side_px: int) -> None:
        self.path, self.side_px = photos, side_px
        groups = rows.groupby("photo_id", sort=True)
        self.names: Sequence[str] = list(groups.groups)
        self.boxes = [own[BOX].to_numpy(float) for _, own in groups]
        self.products = [frozenset(own["product_id"]) for _, own in groups]
        table = Table(photos).opened()
        self.version = table.version
        listed = table.to_table(columns=["photo_id", "content"])
        at = pc.index_in(pa.array(self.names, pa.string()), value_set=listed["photo_id"].combine_chunks())
        self.positions: list[int] = at.to_pylist()
        self.contents: list[str] = listed["content"].take(at).to_pylist()
        self._table: Any = None
        self._kept: dict[int, Boxed] = {}
        self._empty: dict[int, Boxed | None] = {}
        self._keep = len(self.names) * 3 * side_px**2 <= CACHE_BYTES

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_table": None, "_kept": {}, "_empty": {}}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Boxed:
        found = self._kept.get(index)
        if found is None:
            pixels, frame = letterboxed(self.picture(index), self.side_px)
            boxes = frame.into(self.boxes[index])
            boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 1.0)  # of a large photo, a box may be less
            found = Boxed(pixels, boxes, frame)
            if self._keep:
                self._kept[index] = found
        return found

    def empty(self, index: int) -> Boxed | None:
        """Return a part of the photo in which there is none of its boxes, as a square; None where it has none."""
        if index in self._empty:
            return self._empty[index]
        part = empty_part(self.picture(index), self.boxes[index])
        found = None
        if part is not None:
            pixels, frame = letterboxed(part, self.side_px)
            found = Boxed(pixels, torch.zeros(0, 4), frame)
        if self._keep:
            self._empty[index] = found
        return found

    def picture(self, index: int) -> Image.Image:
        """Decode the photo itself, upright RGB."""
        self._table = self._table or Table(self.path).opened(self.version)
        data = self._table.take([self.positions[index]], columns=["image"])["image"][0].as_py()
        return codec.decode(data, max_pixels=None)  # raw_images has judged its size


def padded(boxes: Sequence[Tensor]) -> Tensor:
    """Stack the boxes of several photos, [B, M, 4], with rows of NaN where a photo has fewer than another."""
    most = max(1, *(len(rows) for rows in boxes))
    whole = torch.full((len(boxes), most, 4), float("nan"))
    for at, rows in enumerate(boxes):
        whole[at, : len(rows)] = rows
    return whole
