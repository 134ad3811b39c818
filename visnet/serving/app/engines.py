"""The engine that answers, and its successor: a newer version takes over whole, and no request is dropped."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pyarrow as pa

from visnet.pipeline.budget import return_what_was_freed
from visnet.serving import versions
from visnet.serving.app.engine import Engine
from visnet.serving.app.logs import notes
from visnet.serving.app.metrics import Metrics
from visnet.serving.app.problems import NOTHING_SERVED, busy
from visnet.serving.app.settings import Settings
from visnet.serving.catalog import open_current
from visnet.serving.live.store import LiveStore
from visnet.serving.pace import paced

log = logging.getLogger("visnet.serving")
AGAIN_S = 30.0  # after which a version that could not be opened is tried again
SHARE = 0.2  # of the time that opening a version may take of a processor, beside requests


class _Leased:
    """An engine, and how many requests are at work with it."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.requests, self.retired = engine, 0, False


class Engines:
    """Has one engine answer at a time; what is published is looked at again and again."""

    def __init__(self, settings: Settings, metrics: Metrics, store: LiveStore | None = None) -> None:
        self._settings, self._metrics, self._store = settings, metrics, store
        self._network, self._search, self._opening = (
            ThreadPoolExecutor(1, name) for name in ("network", "search", "opening")
        )
        self._now: _Leased | None = None
        self._coming: Engine | None = None
        self._failed: tuple[int | None, float] = (None, 0.0)
        self._counting = threading.Lock()

    @property
    def number(self) -> int | None:
        """The version that answers, None before the first."""
        return None if self._now is None else self._now.engine.number

    @property
    def now(self) -> Engine | None:
        """The engine that answers."""
        return None if self._now is None else self._now.engine

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[Engine]:
        """Lend the engine of now until the block ends, whatever is published meanwhile; refused while there is none."""
        leased = self._now
        if leased is None:
            raise busy(NOTHING_SERVED)
        leased.requests += 1
        if (of := notes()) is not None:
            of.version = leased.engine.number
        try:
            yield leased.engine
        finally:
            leased.requests -= 1
            self._close_if_idle(leased)

    def catch_up(self) -> None:
        """Take changes in that became visible; the engine that comes is never behind the one of now."""
        for engine in (self._coming, self.now):
            if engine is not None:
                engine.overlay.catch_up()
        self._count()

    async def follow(self) -> None:
        """Look for another version as long as this is not cancelled, and have it answer once it is ready."""
        while True:
            await self.look()
            await asyncio.sleep(self._settings.watch_s)

    async def look(self) -> None:
        """Open the version that is served, if it is another one; what fails is logged, and the one of now stays."""
        try:
            wanted = versions.current(self._settings.data / "publish")
        except OSError as error:
            log.error("what is served cannot be told: %s", error)
            return
        failed, when_s = self._failed
        if wanted in (None, self.number) or (wanted == failed and time.monotonic() < when_s + AGAIN_S):
            return
        try:
            loop = asyncio.get_running_loop()
            made = await loop.run_in_executor(self._opening, self._open)
            self._coming = made  # is told of changes from now on, before the one of now is
            await loop.run_in_executor(self._opening, made.overlay.catch_up)
        except Exception as error:  # whatever is wrong with a new version, the old one goes on
            self._failed = wanted, time.monotonic()
            self._metrics.switches.labels("failed").inc()
            log.error("version %s cannot answer, %s does: %s", wanted, self.number or "none", error)
            return
        before, self._now, self._coming = self._now, _Leased(made), None
        self._count()
        self._metrics.switches.labels("done").inc()
        log.info("version %d answers", made.number)
        if before is not None:
            before.retired = True
            self._close_if_idle(before)
        held = [before]
        del before, made
        await loop.run_in_executor(self._opening, _let_go, held)

    def close(self) -> None:
        """Let all go; requests have ended."""
        for thread in (self._opening, self._network, self._search):
            thread.shutdown(wait=True, cancel_futures=True)
        if self._now is not None:
            self._now.engine.close()
            self._now = None

    def _open(self) -> Engine:
        version = open_current(self._settings.data)
        try:
            now = self.now
            with contextlib.nullcontext() if now is None else paced(SHARE):
                made = Engine(version, self._network, self._search, self._metrics, self._store, now)
                made.warm(now.sizes if now is not None and now.model == made.model else None)
        except BaseException:
            version.close()
            raise
        return made

    def _count(self) -> None:
        """Set the metrics of the engine of now, one thread at a time: what is set last is of the one that answers."""
        with self._counting:
            now = self.now
            if now is not None:
                self._metrics.version.set(now.number)
                self._metrics.published.set(datetime.fromisoformat(now.lineage.published).timestamp())
                self._metrics.changed.set(len(now.overlay.products))

    @staticmethod
    def _close_if_idle(leased: _Leased) -> None:
        if leased.retired and not leased.requests:
            leased.engine.close()


def _let_go(held: list[_Leased | None]) -> None:
    """Free what was read to open a version, and what the one before it had, where the loop does not wait for it."""
    held.clear()
    pa.default_memory_pool().release_unused()
    return_what_was_freed()
