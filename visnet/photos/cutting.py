"""Photos from their table cut into crops: read in slices of so many bytes, decoded within the budget of memory."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from visnet.photos import codec
from visnet.pipeline.budget import BATCH_BYTES
from visnet.storage.table import Table

BOX = ["left", "top", "width", "height"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Cut:
    """What came of one box: a JPEG, or the reason why there is none."""

    image: bytes | None
    lost: str | None


@dataclass(frozen=True)
class Places:
    """Where in a version of a photos table the photos of some boxes stand, and how long their files are: [N] int64."""

    version: int
    place: np.ndarray
    size: np.ndarray


def cut_all(photos: Path, wanted: pd.DataFrame, side_px: int, quality: int) -> Iterator[tuple[pd.DataFrame, list[Cut]]]:
    """Cut boxes out of the photos of a table; yield the rows of a few photos at a time with what came of each.

    wanted: photo_id and `BOX`, sorted by photo_id; a box without numbers is the whole photo. Each photo is decoded
    once. `ValueError` names a photo that this installation cannot read, `MemoryError` one that memory is lacking for.
    """
    yield from cut_placed(photos, wanted, places(photos, wanted), side_px, quality, threads=os.cpu_count() or 1)


def places(photos: Path, wanted: pd.DataFrame) -> Places:
    """Look the photos of all boxes up in their table."""
    table = Table(photos).opened()
    listed = table.to_table(columns=["photo_id", "bytes"])
    ids = pa.array(wanted["photo_id"].to_numpy(object), pa.string())
    place = pc.index_in(ids, value_set=listed["photo_id"].combine_chunks())
    return Places(table.version, place.to_numpy(), listed["bytes"].take(place).to_numpy())


def cut_placed(
    photos: Path, wanted: pd.DataFrame, found: Places, side_px: int, quality: int, *, threads: int
) -> Iterator[tuple[pd.DataFrame, list[Cut]]]:
    """Do what `cut_all` does for photos whose places are known, in so many threads."""
    table = Table(photos).opened(found.version)
    names = wanted["photo_id"].to_numpy(object)
    first = np.flatnonzero(np.concatenate([np.ones(min(1, len(names)), bool), names[1:] != names[:-1]]))
    photo_ids, place, ends = names[first], found.place[first], [*first[1:], len(names)]
    boxes: list[Box] = list(wanted[BOX].itertuples(index=False, name=None))

    with ThreadPoolExecutor(threads) as pool:
        for start, stop in _slices(found.size[first], BATCH_BYTES):
            data = table.take(place[start:stop].tolist(), columns=["image"])["image"]
            own = [boxes[first[i] : ends[i]] for i in range(start, stop)]
            jobs = zip(photo_ids[start:stop].tolist(), data, own, strict=True)
            made = pool.map(lambda job: _cut(job[0], job[1].as_py(), job[2], side_px, quality), jobs)
            for i, cuts in zip(range(start, stop), made, strict=True):
                yield wanted.iloc[first[i] : ends[i]], cuts
            del data, jobs, made  # before the next ones are read


def _slices(sizes: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """Divide rows into runs whose sizes come to `most` at the utmost, but for a run of a single row."""
    start, held = 0, 0
    for i, size in enumerate(sizes.tolist()):
        if i > start and held + size > most:
            yield start, i
            start, held = i, 0
        held += size
    if len(sizes):
        yield start, len(sizes)


def _cut(photo_id: str, data: bytes, boxes: Sequence[Box], side_px: int, quality: int) -> list[Cut]:
    try:
        with codec.decoded(data, max_pixels=None) as whole:  # raw_images has judged its size
            return [_cut_one(whole, box, side_px, quality) for box in boxes]
    except codec.Unread as error:  # it was read where raw_images ran
        raise ValueError(f"photo {photo_id!r}: {error}") from None
    except codec.Undecodable as error:
        return [Cut(None, str(error))] * len(boxes)
    except MemoryError as error:
        raise MemoryError(f"photo {photo_id!r}: {error or 'out of memory'}") from error


def _cut_one(whole: Image.Image, box: Box, side_px: int, quality: int) -> Cut:
    try:
        picture = codec.crop(whole, None if pd.isna(box[0]) else box)
    except ValueError as error:
        return Cut(None, str(error))
    return Cut(codec.encode(codec.fit(picture, side_px), quality), None)
