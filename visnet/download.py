"""Bring photos here, from the web or the disk, and say of each one that did not come why."""

import asyncio
import collections
import contextlib
import os
import queue
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import numpy as np

from visnet import images
from visnet.log import SILENT, Log
from visnet.request import NO_MARK, Brought, Failure, Mark, Options, read_file, try_once

TIMEOUT_TRIES = 2  # a timeout is tried again only once, so a host that hangs costs 2 timeouts a photo, not `tries`
HOST_FAILURES, HOST_PATIENCE_S = 16, 60.0  # so many photos in a row, over so long, without a connection: it is dead


@dataclass(frozen=True)
class Answer:
    """What came for one wanted photo: its bytes, or a short reason why it is lost, or that it is `unchanged`.

    Exactly one of the three is set. Unchanged: what it was at the mark it was asked with. passing: asked again later, a
    lost photo may well come. mark: how the source marks the bytes.
    """

    photo_id: str
    data: bytes | None
    lost: str | None
    unchanged: bool = False
    passing: bool = False
    mark: Mark = NO_MARK

    def __post_init__(self) -> None:
        if (self.data is not None) + (self.lost is not None) + self.unchanged != 1:
            raise ValueError(f"an answer has either data or a reason, not both or neither: photo {self.photo_id!r}")


def fetch(
    wanted: Sequence[tuple[str, str]],
    *,
    options: Options,
    known: Mapping[str, Mark] | None = None,
    log: Log = SILENT,
    rng: np.random.Generator | None = None,
) -> Iterator[Answer]:
    """Fetch photos lazily and answer each wanted one exactly once, in any order.

    wanted: (photo_id, locator) pairs; a locator is an http(s) address or the path of a file.
    known: the marks of photos that are here; those are sent only if they changed, and answered as unchanged if not.
    rng: jitter of the waits between tries; it changes nothing else.
    A photo that decodes is answered with its bytes as they came, any other one with a reason. Abandoning the iterator
    closes the connections and ends the thread behind it.
    """
    if not wanted:
        return
    line = _Line(wanted, options, known or {}, rng or np.random.default_rng(0))
    lost = 0
    try:
        with log.progress("photos", len(wanted), unit="photo") as bar:
            for _ in wanted:
                answer = line.take()
                lost += answer.lost is not None
                bar.advance(1, lost=lost)
                yield answer
    finally:
        line.stop()


class _Host:
    """The photos still to be asked of one host, and whether it is worth asking."""

    def __init__(self) -> None:
        self.waiting: collections.deque[tuple[str, str]] = collections.deque()
        self.active = 0
        self.failures, self.failing_since = 0, 0.0  # photos in a row without a connection

    def note(self, *, connected: bool) -> None:
        if not connected and self.failures == 0:
            self.failing_since = time.monotonic()
        self.failures = 0 if connected else self.failures + 1

    @property
    def dead(self) -> bool:
        return self.failures >= HOST_FAILURES and time.monotonic() - self.failing_since >= HOST_PATIENCE_S


class _Line:
    """An event loop in a thread of its own: requests stay under way while the caller works on what came."""

    def __init__(
        self,
        wanted: Sequence[tuple[str, str]],
        options: Options,
        known: Mapping[str, Mark],
        rng: np.random.Generator,
    ) -> None:
        self.options, self.known, self.rng = options, known, rng
        self.hosts: dict[str, _Host] = collections.defaultdict(_Host)
        for photo_id, locator in wanted:
            self.hosts[_host(locator)].waiting.append((photo_id, locator))
        self.answers: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()
        # Answers not yet taken count as under way: a slow caller slows the line instead of filling the memory.
        self.room = asyncio.Semaphore(options.concurrency)
        self.decoding = asyncio.Semaphore(os.cpu_count() or 1)
        self.pool = ThreadPoolExecutor(options.concurrency, "visnet-download")
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(self.pool)
        self.client: httpx.AsyncClient | None = None
        self.main = self.loop.create_task(self._main())  # first in the loop's queue, before anything it is told
        self.thread = threading.Thread(target=self._run, name="visnet-download", daemon=True)
        self.thread.start()

    def take(self) -> Answer:
        answer = self.answers.get()
        if isinstance(answer, BaseException):
            raise answer
        self._tell(self.room.release)
        return answer

    def stop(self) -> None:
        self._tell(lambda: self.work.cancel())
        self.thread.join()
        # Not waited for: nothing can cut short the look-up of a dead host's name. Idle threads end at once.
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _tell(self, what: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: all is answered
            self.loop.call_soon_threadsafe(what)

    def _run(self) -> None:
        try:
            self.loop.run_until_complete(self.main)
        except BaseException as error:  # a bug of ours: the caller, who waits for an answer, gets it
            self.answers.put(error)
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    async def _main(self) -> None:
        self.work = asyncio.create_task(self._work())
        try:
            with contextlib.suppress(asyncio.CancelledError):  # only the work is ever cancelled, so all gets closed
                await self.work
        finally:
            if self.client:
                await self.client.aclose()

    def _opened(self) -> httpx.AsyncClient:
        """Open the client for the first address only: it reads the machine's certificates, which takes its time."""
        self.client = self.client or httpx.AsyncClient(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=self.options.concurrency),
            timeout=self.options.timeout_s,
            headers={"User-Agent": self.options.user_agent, "Accept": "image/*", "Accept-Encoding": "identity"},
        )
        return self.client

    async def _work(self) -> None:
        turn = collections.deque(self.hosts)  # the hosts that have photos waiting and are below their limit
        freed = asyncio.Event()

        async def one(name: str, photo_id: str, locator: str) -> None:
            host = self.hosts[name]
            try:
                self.answers.put(await self._answer(host, photo_id, locator))
            except MemoryError as error:  # not the photo's fault: whoever waits for answers gets it, and stops
                error.add_note(f"photo {photo_id!r}")
                self.answers.put(error)
                return
            if host.waiting and host.active == self._limit(name):
                turn.append(name)
                freed.set()
            host.active -= 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(sum(len(host.waiting) for host in self.hosts.values())):
                await self.room.acquire()
                while not turn:
                    freed.clear()
                    await freed.wait()
                name = turn.popleft()
                host = self.hosts[name]
                host.active += 1
                tasks.create_task(one(name, *host.waiting.popleft()))
                if host.waiting and host.active < self._limit(name):
                    turn.append(name)

    def _limit(self, name: str) -> int:
        return self.options.per_host if name else self.options.concurrency

    async def _answer(self, host: _Host, photo_id: str, locator: str) -> Answer:
        known = self.known.get(photo_id)
        try:
            if "://" in locator:
                data, mark = await self._ask(host, locator, known)
            else:
                data, mark = await asyncio.to_thread(read_file, locator, self.options, known)
            if data is None:
                return Answer(photo_id, None, None, unchanged=True, mark=mark)
            async with self.decoding:
                await asyncio.to_thread(images.check, data, max_pixels=self.options.max_pixels)
        except Failure as failure:
            return Answer(photo_id, None, failure.reason, passing=failure.again)
        except images.Undecodable as error:
            return Answer(photo_id, None, f"undecodable: {error}")
        return Answer(photo_id, data, None, mark=mark)

    async def _ask(self, host: _Host, url: str, known: Mark | None) -> Brought:
        tried = timeouts = 0
        while True:
            if host.dead:
                raise Failure("host unreachable", again=True)
            try:
                brought = await try_once(self._opened(), url, self.options, known)
            except Failure as failure:
                tried += 1
                timeouts += failure.reason == "timeout"
                if not failure.again or tried >= self.options.tries or timeouts >= TIMEOUT_TRIES:
                    host.note(connected=failure.connected)
                    raise
                jittered_s = self.options.backoff_s * 2 ** (tried - 1) * self.rng.uniform(0.5, 1.5)
                await asyncio.sleep(jittered_s if failure.wait_s is None else failure.wait_s)
            else:
                host.note(connected=True)
                return brought


def _host(locator: str) -> str:
    """Return the host (with port) that a limit is counted for, "" for this machine's disk."""
    if "://" not in locator:
        return ""
    try:
        return urllib.parse.urlsplit(locator).netloc.lower() or "?"
    except ValueError:
        return "?"
