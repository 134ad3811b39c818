"""From a change that is asked for to one that answers: kept, its photos fetched and embedded, filed for the line."""

import asyncio
import contextlib
import json
import secrets
import sqlite3
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from visnet.errors import Conflict
from visnet.photos import codec
from visnet.serving.app.batches import Together
from visnet.serving.app.engine import Engine
from visnet.serving.app.engines import Engines
from visnet.serving.app.metrics import Metrics
from visnet.serving.app.problems import Refusal, busy, log, unreadable
from visnet.serving.app.settings import Settings
from visnet.serving.app.uploads import Decoders
from visnet.serving.live import filing, photos
from visnet.serving.live.changes import DEAD, VISIBLE, WAITING, Change, ShownCrop, crop_ids, picture_of
from visnet.serving.live.line import Line
from visnet.serving.live.photos import CutPhoto
from visnet.serving.live.ranks import Outranked
from visnet.serving.live.store import Accept, AskedChange, LiveStore, Ready
from visnet.sources.changefeed.records import record
from visnet.sources.rows.values import Bad
from visnet.storage import locks

FETCHING = 8  # changes whose photos are fetched at once
KEEPING = 16  # photos that wait for the disk at once, which takes several in the time of one
MOST_WAITING = 10_000  # changes of one process
TOGETHER = 512  # pieces of work of one commit
ABANDONED_S = 120.0  # after which a change that waits is worked on again


class Writes:
    """The changes that one process works on; one process of several files those of all."""

    def __init__(
        self, settings: Settings, store: LiveStore, engines: Engines, decoders: Decoders, metrics: Metrics
    ) -> None:
        self._settings, self._store, self._engines, self._decoders = settings, store, engines, decoders
        self._dead = metrics.dead
        self._committing, self._fetching = ThreadPoolExecutor(1, "changes"), ThreadPoolExecutor(FETCHING, "fetching")
        self._keeping = ThreadPoolExecutor(KEEPING, "keeping")
        self._commits: Together[Accept | Ready, Any] = Together(store.write, self._committing, TOGETHER)
        self._answering = ThreadPoolExecutor(1, "answering")
        self._shows: Together[None, None] = Together(self._catch_up, self._answering, TOGETHER)
        self._work: dict[int, asyncio.Task[None]] = {}

    @property
    def line(self) -> Line:
        """Where changes go; refused when they go nowhere."""
        if isinstance(self._settings.line, str):
            raise Refusal(409, self._settings.line)
        return self._settings.line

    async def keep(self, data: bytes, name: str) -> CutPhoto:
        """Keep an uploaded photo where the feed's photos are; refused with 409, 413 or 415."""
        if "://" in self.line.photos:
            where = "[raw_images.feed] photos is an address, where nothing can be put"
            raise Refusal(409, f"{where}: put the photo there, and name its path or address in the record")
        try:
            cut = await self._decoders.run(photos.uploaded, data, self.line)
        except codec.Undecodable as error:
            raise unreadable(name, error) from None
        await asyncio.get_running_loop().run_in_executor(self._keeping, photos.keep, data, cut.name, self.line)
        return cut

    async def accept(
        self, asked: Sequence[AskedChange], cut: Sequence[CutPhoto] = (), *, alone: bool = False
    ) -> list[Change]:
        """Keep changes, and begin to work on them; refused where there is no line, or a lone change is none."""
        line = self.line
        if len(self._work) + len(asked) > MOST_WAITING:
            raise busy(f"{len(self._work)} changes wait for their photos, as many as are allowed")
        limits = line.feed.limits()
        batch = f"b_{secrets.token_hex(8)}"
        made = await self._commits.ask(Accept(batch, asked, limits, alone))
        if isinstance(made, Outranked):
            raise Refusal(409, str(made))
        if isinstance(made, Bad):
            raise Refusal(422, str(made))
        self._dead.inc(sum(change.state == DEAD for change in made))
        for change in made:
            self._begin(change, cut)
        if any(change.state == VISIBLE for change in made):
            await self._shown()
        return list(made)

    async def batch(self, batch: str) -> list[Change]:
        """Return the changes of a batch; refused when it is not known."""
        found = await self._decoders.run(self._store.batch, batch)
        if not found:
            raise Refusal(404, f"batch {batch[:80]!r} is not known, or was taken in a while ago")
        await self._shown()
        return found

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """File changes, and work on those that another process left, until the block ends."""
        filing_all = asyncio.create_task(self._file())
        try:
            yield
        finally:
            for task in (filing_all, *self._work.values()):
                task.cancel()
            await asyncio.gather(filing_all, *self._work.values(), return_exceptions=True)
            for threads in (self._keeping, self._fetching, self._committing, self._answering):
                await asyncio.to_thread(threads.shutdown, wait=True, cancel_futures=True)

    def _begin(self, change: Change, cut: Sequence[CutPhoto] = ()) -> None:
        if change.state == WAITING and change.number not in self._work:
            task = asyncio.create_task(self._bring(change, cut))
            self._work[change.number] = task
            task.add_done_callback(lambda _: self._work.pop(change.number, None))

    async def _bring(self, change: Change, cut: Sequence[CutPhoto]) -> None:
        """Fetch and embed the photos of a change, and have it answer; what fails here is tried again after a start."""
        try:
            names = record(json.loads(change.record)).photos
            known = {photo.name: photo for photo in cut}
            loop = asyncio.get_running_loop()
            lost: dict[str, str] = {}
            if missing := [name for name in names if name not in known]:
                came, lost = await loop.run_in_executor(self._fetching, photos.fetch, missing, self.line)
                known |= {photo.name: photo for photo in came}
            ids = dict(zip(names, crop_ids(change.product_id, names), strict=True))
            there = [(ids[name], known[name].jpeg) for name in names if name in known]
            if not there:
                why = "; ".join(f"{name[:200]}: {reason}" for name, reason in list(lost.items())[:3])
                await self._commits.ask(Ready(change.number, (), "", f"no photo is left of it: {why}"))
                self._dead.inc()
                return
            async with self._engines.lease() as engine:
                vectors = await asyncio.gather(*(self._vector(engine, *one) for one in there))
                shown = [ShownCrop(crop, jpeg, vector) for (crop, jpeg), vector in zip(there, vectors, strict=True)]
                await self._commits.ask(Ready(change.number, shown, engine.model))
            await self._shown()
        except Exception as error:
            log.error("change %d waits on: %s", change.number, error)

    async def _shown(self) -> None:
        """Have what is visible answer here before it is said to be."""
        await self._shows.ask(None)

    def _catch_up(self, waiting: Sequence[None]) -> Sequence[None]:
        self._engines.catch_up()
        return waiting

    async def _vector(self, engine: Engine, crop_id: str, jpeg: bytes) -> torch.Tensor:
        """Return the vector of a crop; one that a change or the version has already is not made again."""
        known, square = await self._decoders.run(self._known, engine, crop_id, jpeg)
        return await engine.embed([square]) if known is None else known

    def _known(self, engine: Engine, crop_id: str, jpeg: bytes) -> tuple[torch.Tensor | None, torch.Tensor]:
        known = self._store.vector(picture_of(jpeg), engine.model)
        known = engine.current.stands(crop_id, jpeg) if known is None else known
        return known, engine.square(photos.opened(jpeg), None) if known is None else torch.zeros(0)

    async def _file(self) -> None:
        """Do what one process does for all, as soon as no other does it."""
        with contextlib.ExitStack() as held:
            leads, seen = False, None
            while True:
                try:
                    if not leads:
                        held.enter_context(locks.held(self._store.path))
                        leads = True
                        self._adopt(0.0)
                    seen = await asyncio.to_thread(self._file_once, seen)
                    self._adopt(ABANDONED_S)
                except Conflict:
                    pass
                except (OSError, ValueError, sqlite3.Error) as error:
                    log.error("changes could not be filed: %s", error)
                await asyncio.sleep(self._settings.file_s)

    def _file_once(self, seen: int | None) -> int | None:
        """File what waits; return the version whose changes are taken in, which may not be the one of now any more."""
        if not isinstance(self._settings.line, str) and not filing.is_read(self._settings.data):
            filing.file(self._store, self._settings.line)
        now = self._engines.now
        if now is not None and now.number != seen:
            filing.take_in(self._store, now.ranks, now.number)
        filing.forget(self._store)
        return seen if now is None else now.number

    def _adopt(self, older_s: float) -> None:
        """Work on what was begun so long ago and not ended, by a process that was killed, or in vain."""
        if not isinstance(self._settings.line, str):
            for change in self._store.waiting(older_s)[: MOST_WAITING - len(self._work)]:
                self._begin(change)
