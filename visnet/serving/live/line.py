"""What a service must know of the line to take changes of its catalog: where its feed is, and how it cuts photos."""

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from visnet.pipeline import stage
from visnet.sources import feed

BATCH = "api-{at}-{first:09d}.jsonl"  # when its first change came, and its number
OFF = "writes are off: the service was started where no params.toml is"


class Line(BaseModel):
    """A line that reads a feed.

    inbox: the folder of batches, absolute. feed: its parameters, with its photos' place in full. side_px, quality: of
    crops.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inbox: Path
    feed: feed.Params
    side_px: int
    quality: int

    @classmethod
    def of(cls, tables: Mapping[str, Mapping[str, Any]], where: str = "params.toml") -> "Line":
        """Read the parameters of all stages; `ValueError` says in one line why this line takes no changes."""
        source = stage.parse("raw_images", tables.get("raw_images", {}), where)
        crops = stage.parse("crops", tables.get("crops", {}), where)
        params: Any = source
        if params.source != "feed":
            raise ValueError(
                f'writes are off: [raw_images] source is "{params.source}", and only "feed" takes changes in'
            )
        own: feed.Params = params.own
        example = BATCH.format(at="20260105T000000Z", first=1)
        if not fnmatch.fnmatch(example, own.pattern.removeprefix("**/")):
            raise ValueError(
                f"writes are off: [raw_images.feed] pattern {own.pattern!r} does not take batches such as {example}"
            )
        sizes: Any = crops
        inbox = Path(params.metadata).absolute()
        placed = own.model_copy(update={"photos": feed.base(own, inbox)})  # wherever the process works later
        return cls(inbox=inbox, feed=placed, side_px=sizes.side_px, quality=sizes.quality)

    @property
    def photos(self) -> str:
        """The folder or address that relative paths of photos start at."""
        return self.feed.photos
