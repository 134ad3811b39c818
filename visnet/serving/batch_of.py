"""Which batch of the inbox a record came in: by a look through all of them, or by an index of the newest records."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from visnet.pipeline import stage as stages
from visnet.sources.changefeed.batches import Reading
from visnet.sources.changefeed.state import listed, stamp

LOOK_AGAIN_S = 5.0  # for which what the inbox holds is taken for what it held
NO_FEED = "of a feed that is no longer the source"
GONE = "in no batch that the inbox still has"

Key = tuple[str, str]  # product_id, content
BatchOf = Callable[[str, str], tuple[str, str]]  # product_id, content -> the newest batch and "", or "" and why none


class Origin(BaseModel):
    """Where a line's records come from.

    source: the kind of source. metadata: what it reads. pattern: of a feed's batches, None where there is no feed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    metadata: str
    pattern: str | None = None

    @classmethod
    def of(cls, tables: Mapping[str, Mapping[str, Any]], where: str = "params.toml") -> "Origin":
        """Read the parameters of all stages; `ValueError` for those that [raw_images] does not take."""
        params: Any = stages.parse("raw_images", tables.get("raw_images", {}), where)
        pattern = params.own.pattern if params.source == "feed" else None
        return cls(source=params.source, metadata=params.metadata, pattern=pattern)

    def batches(self) -> dict[str, Path]:
        """Return name -> path of the batches that are there, the newest first; none without a feed."""
        found = {} if self.pattern is None else listed(Path(self.metadata), self.pattern)
        return dict(sorted(found.items(), reverse=True))

    def batch_of(self, product_id: str, content: str) -> tuple[str, str]:
        """Look through the inbox for the newest batch that has a record, word for word."""
        if self.pattern is None:
            return "", NO_FEED
        for name, path in self.batches().items():
            for record in Reading(path):
                if (record.product_id, record.content) == (product_id, content):
                    return name, ""
        return "", GONE


class NewestRecords:
    """An index of the newest records of an inbox, brought up to date when that has changed; from any thread."""

    def __init__(self, origin: Origin, most: int) -> None:
        """Index up to `most` records, those of the newest batches first."""
        self._origin, self._most = origin, most
        self._read: dict[str, list[Key]] = {}  # name and stamp of a batch -> its records, one more than are indexed
        self._index: dict[Key, str] = {}
        self._whole, self._looked_s = True, float("-inf")
        self._looking = threading.Lock()

    def batch_of(self, product_id: str, content: str) -> tuple[str, str]:
        """Return the newest batch that has a record, as `Origin.batch_of`, if it is among those that are indexed."""
        if self._origin.pattern is None:
            return "", NO_FEED
        with self._looking:
            if time.monotonic() > self._looked_s + LOOK_AGAIN_S:
                with contextlib.suppress(FileNotFoundError):  # a batch has just gone: the next look is without it
                    self._look()
                self._looked_s = time.monotonic()
            found = self._index.get((product_id, content), "")
            lost = GONE if self._whole else f"not among the newest {self._most:,} records of the inbox"
        return found, "" if found else lost

    def _look(self) -> None:
        read: dict[str, list[Key]] = {}
        index: dict[Key, str] = {}
        left, whole = self._most, True
        for name, path in self._origin.batches().items():
            mark = f"{name} {stamp(path)}"
            keys = self._read.get(mark)
            if keys is None:
                records = itertools.islice(Reading(path), self._most + 1)
                keys = [(record.product_id, record.content) for record in records]
            read[mark] = keys
            for key in keys[:left]:
                index.setdefault(key, name)
            whole, left = len(keys) <= left, left - len(keys)
            if not whole:
                break
        self._read, self._index, self._whole = read, index, whole
