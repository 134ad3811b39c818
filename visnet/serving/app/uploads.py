"""Decoders as they come: bytes to what a network takes, in threads beside the event's loop."""

import asyncio
import io
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

import torch
from PIL import Image

from visnet.photos import codec, jpeg
from visnet.photos.cutting import Box
from visnet.serving.app.engine import Engine
from visnet.serving.app.problems import Refusal, unreadable
from visnet.serving.app.queries import KeptBox

LONG_SIDE_PX = 1024  # of a photo that is kept
KEPT_QUALITY, SHOWN_QUALITY = 90, 85
AS_IT_CAME = 0.5  # bytes a pixel up to which a photo is kept so; encoded anew it has 0.1 to 0.4
WAIT_S = 60.0
Corners = tuple[float, float, float, float]  # left, top, right, bottom
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A photo's used boxes as the network takes them, each uint8 [3, S, S]; its size and boxes; and as it is kept.

    jpeg: None if it is not.
    """

    squares: list[torch.Tensor]
    width: int
    height: int
    boxes: list[KeptBox]
    jpeg: bytes | None


@dataclass(frozen=True)
class Wanted:
    """What is to be done with a photo: cut the boxes out that are given, in their own text or in its pixels; keep it.

    width: of the photo before it was shrunk, where it was: boxes are in its pixels. every: where no box is given, all
    that the localizer is sure of are used, not the best one alone. to_tell: what is cut out is for the model of
    categories, not for the search.
    """

    boxes: Sequence[str | Corners] = ()
    keep: bool = False
    width: int | None = None
    every: bool = False
    to_tell: bool = False


class Decoders:
    """Decodes in a pool of threads: pixels are counted before they are decoded, and memory has one budget for all."""

    def __init__(self, threads: Executor) -> None:
        self.threads = threads

    async def run(self, work: Callable[..., Made], *given: object) -> Made:
        """Do a piece of work in a thread of the pool."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work, *given)

    async def prepare(self, photos: Sequence[bytes], engine: Engine, first: Wanted, others: Wanted) -> list[Prepared]:
        """Prepare photos for an engine; one that cannot be used is refused by its number, with 413, 415 or 422."""
        loop, names = asyncio.get_running_loop(), [f"photo {at + 1}" for at in range(len(photos))]
        names = ["photo"] if len(photos) == 1 else names
        wanted = [first, *[others] * len(photos)][: len(photos)]
        work = [
            self.run(_prepared, data, name, one, engine, loop)
            for data, name, one in zip(photos, names, wanted, strict=True)
        ]
        return await asyncio.gather(*work)


def _prepared(data: bytes, name: str, wanted: Wanted, engine: Engine, loop: asyncio.AbstractEventLoop) -> Prepared:
    """Work on one photo while its pixels are held within the budget of all threads."""
    try:
        with codec.decoded(data) as picture:
            width = wanted.width or picture.width
            scale = picture.width / width
            height = round(picture.height / scale)
            boxes = _boxes(picture, wanted, (width, height), engine, loop)
            cuts = [None if box.kind == "whole" else _cut(box.box, scale) for box in boxes if box.used]
            kept = _kept(data, picture) if wanted.keep else None
            square = engine.square_to_tell if wanted.to_tell else engine.square
            return Prepared([square(picture, cut) for cut in cuts], width, height, boxes, kept)
    except codec.Undecodable as error:
        raise unreadable(name, error) from None


def _boxes(
    picture: Image.Image, wanted: Wanted, size: tuple[int, int], engine: Engine, loop: asyncio.AbstractEventLoop
) -> list[KeptBox]:
    """Return the boxes of a photo: those that are used, in their order, and others that are there to be chosen."""
    whole = 0.0, 0.0, float(size[0]), float(size[1])
    if wanted.boxes:
        given = [parsed_box(box, *size) if isinstance(box, str) else box for box in wanted.boxes]
        return [*(KeptBox(box, None, "given", True) for box in given), KeptBox(whole, None, "whole", False)]
    found = asyncio.run_coroutine_threadsafe(engine.propose(picture), loop).result(WAIT_S) if engine.localizer else []
    boxes = []
    for at, one in enumerate(found):
        left, top, width, height = (side * size[0] / picture.width for side in one.box)
        boxes.append(KeptBox((left, top, left + width, top + height), one.score, "proposed", at == 0 or wanted.every))
    return [*boxes, KeptBox(whole, None, "whole", not boxes)]


def _kept(data: bytes, picture: Image.Image) -> bytes:
    """Return a photo for its permalink: a small JPEG as it came but for its metadata, any other one encoded anew.

    So the pixels of later searches are those of the first. A large one is averaged by whole pixels first, in an eighth
    of the time.
    """
    if max(picture.size) <= LONG_SIDE_PX and len(data) <= AS_IT_CAME * picture.width * picture.height:
        same = jpeg.pixels_alone(data)
        if same is not None:
            return same
    whole = max(picture.size) // LONG_SIDE_PX
    smaller = picture.reduce(whole) if whole > 1 else picture
    return codec.encode(codec.fit(smaller, LONG_SIDE_PX), KEPT_QUALITY)


def shrunk(data: bytes, side_px: int) -> bytes:
    """Return a stored JPEG, with no side longer than `side_px`."""
    with Image.open(io.BytesIO(data)) as stored:
        if max(stored.size) <= side_px:
            return data
    return codec.encode(codec.fit(codec.decode(data, max_pixels=None), side_px), SHOWN_QUALITY)


def parsed_box(text: str, width: int, height: int) -> Corners:
    """Read `left,top,right,bottom` in pixels of a photo, cut off at its edges; refused if it is none of it."""
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError:
        left = top = right = bottom = math.nan
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise Refusal(400, f"box: {text[:60]!r}; wanted are four numbers: left,top,right,bottom")
    box = max(0.0, left), max(0.0, top), min(float(width), right), min(float(height), bottom)
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        allowed = f"left < right and top < bottom, 1 px of the photo ({width} x {height} px) at least"
        raise Refusal(422, f"box: {text[:60]}; allowed is {allowed}")
    return box


def _cut(box: Corners, scale: float) -> Box:
    """Turn corners into left, top, width, height of a picture that is smaller by `scale`."""
    left, top, right, bottom = (side * scale for side in box)
    return left, top, right - left, bottom - top
