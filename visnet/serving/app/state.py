"""What the routes of one application share."""

import asyncio
import collections
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

from fastapi import FastAPI, Request

from visnet.serving.app.engines import Engines
from visnet.serving.app.line_counts import LineCounts
from visnet.serving.app.metrics import Metrics
from visnet.serving.app.problems import Refusal
from visnet.serving.app.queries import QueryStore
from visnet.serving.app.remote import Remote
from visnet.serving.app.searches import Searches
from visnet.serving.app.settings import Settings
from visnet.serving.app.uploads import Decoders
from visnet.serving.app.writes import Writes
from visnet.serving.batch_of import BatchOf, NewestRecords
from visnet.serving.events import EventStore
from visnet.serving.live.follower import Follower
from visnet.serving.live.store import LiveStore

log = logging.getLogger("visnet.serving")
Store = TypeVar("Store")
RECORDS = 20_000  # of the inbox, the newest, in which a product's batch is looked for
SHOWN_BYTES = 64 << 20  # of pictures as they were shown last


class Pictures:
    """Encoded pictures that were asked for last, by name."""

    def __init__(self, most_bytes: int = SHOWN_BYTES) -> None:
        self._pictures: collections.OrderedDict[str, bytes] = collections.OrderedDict()
        self._bytes, self._most_bytes = 0, most_bytes

    def get(self, name: str) -> bytes | None:
        """Return a picture, None if it is not held."""
        if name in self._pictures:
            self._pictures.move_to_end(name)
        return self._pictures.get(name)

    def put(self, name: str, picture: bytes) -> None:
        """Hold a picture, and let go those that were not asked for longest."""
        if name not in self._pictures:
            self._bytes += len(picture)
            self._pictures[name] = picture
        while self._bytes > self._most_bytes and len(self._pictures) > 1:
            self._bytes -= len(self._pictures.popitem(last=False)[1])


class State:
    """Engines, threads and queries of one process; there from its start to its end."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self.store = _changes(settings)
        self.engines = Engines(settings, metrics, self.store)
        self._decoding = ThreadPoolExecutor(settings.decoding_threads, "decoding")
        self._reading = ThreadPoolExecutor(2, "reading")
        self.decoders, self.reading = Decoders(self._decoding), Decoders(self._reading)
        self._queries = _queries(settings)
        self.events = _events(settings)
        self.remote = Remote(settings.body_bytes, settings.url_hosts) if settings.url_photos else None
        self.searches = Searches(self.decoders, self._queries)
        self.writes = None if self.store is None else Writes(settings, self.store, self.engines, self.decoders, metrics)
        self.shown = Pictures()
        self.batch_of = _batch_of(settings)
        self._line = LineCounts(settings.data, metrics, self.store)
        self.checked: dict[int, float] = {}  # version -> when its network was last seen to work

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the version that is served, and follow it until the block ends."""
        await self.engines.look()
        following = asyncio.create_task(self.engines.follow())
        changing = None if self.store is None else Follower(self.store, self.engines.catch_up)
        if changing is not None:
            changing.start()
        try:
            async with contextlib.nullcontext() if self.writes is None else self.writes.running():
                yield
        finally:
            if changing is not None:
                await asyncio.to_thread(changing.stop)
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
            if self.remote is not None:
                await self.remote.aclose()
            for threads in (self._decoding, self._reading):  # beside the loop, which a thread may wait for
                await asyncio.to_thread(threads.shutdown, wait=True, cancel_futures=True)
            self.engines.close()
            if self._queries is not None:
                self._queries.close()
            if self.store is not None:
                self.store.close()
            if self.events is not None:
                self.events.close()

    def counted(self) -> bytes:
        """Return all metrics, those of the line as they are now."""
        self._line.look()
        return self.metrics.text()

    @property
    def writes_or_refusal(self) -> Writes:
        """What takes changes; refused where nothing does."""
        if self.writes is None:
            off = self.settings.line
            raise Refusal(409, off if isinstance(off, str) else "writes are off: the file of changes cannot be opened")
        return self.writes


def _changes(settings: Settings) -> LiveStore | None:
    """Open the file of changes, None where none can come and none are left."""
    if isinstance(settings.line, str) and not settings.live.exists():
        return None
    return _opened(settings.live, lambda: LiveStore(settings.live), "change is taken")


def _queries(settings: Settings) -> QueryStore | None:
    """Open the file of queries, None if none are to be kept."""
    if not settings.keep_queries:
        return None
    return _opened(settings.queries, lambda: QueryStore(settings.queries, settings.keep_queries), "query is kept")


def _events(settings: Settings) -> EventStore | None:
    """Open the file of events, None if no query is kept that they could be of."""
    if not settings.keep_queries:
        return None
    return _opened(settings.events, lambda: EventStore(settings.events), "event is kept")


def _batch_of(settings: Settings) -> BatchOf:
    """Return what finds a record's batch; nothing is found where it is not known what the line reads."""
    if settings.origin is None:
        return lambda product_id, content: ("", "the service was not told what its line reads")
    return NewestRecords(settings.origin, RECORDS).batch_of


def _opened(path: Path, opening: Callable[[], Store], without: str) -> Store | None:
    """Open a file that searches can do without, None if it cannot be had."""
    try:
        return opening()
    except (sqlite3.Error, OSError) as error:
        log.error("%s: %s; no %s", path, error, without)
        return None


def of(request: Request) -> State:
    """Return the state of the application that a request is to."""
    return cast(State, cast(FastAPI, request.app).state.visnet)
