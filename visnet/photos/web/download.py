"""Bring photos here, from the web or the disk, and say of each one that did not come why."""

import asyncio
import collections
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from visnet.photos import codec
from visnet.photos.web import addresses, locators
from visnet.photos.web.addresses import Hosts
from visnet.photos.web.locators import Disk, Refused
from visnet.photos.web.network import Web
from visnet.photos.web.options import FetchOptions
from visnet.photos.web.proxies import Unusable
from visnet.photos.web.request import (
    NO_VALIDATORS,
    Failure,
    Fetched,
    FoundFile,
    Validators,
    find_file,
    read_file,
    try_once,
)
from visnet.photos.web.room import Held, Room
from visnet.pipeline.log import SILENT, Log

TIMEOUT_TRIES = 2  # a timeout is tried again only once, so a host that hangs costs 2 timeouts a photo, not `tries`
READ_AT_ONCE = 1 << 18  # a file of at most so many bytes is read where it was found, without waiting for room
HOST_PATIENCE_S = 60.0  # a host is dead when photos in a row, over so long, came to no connection


@dataclass(frozen=True)
class Answer:
    """What came for one wanted photo: its bytes, or a short reason why it is lost, or that it is `unchanged`.

    Exactly one of the three is set. Unchanged: by the validators that it was asked with. passing: asked again later, a
    lost photo may well come. validators: those of the bytes, as the source gives them.
    """

    photo_id: str
    data: bytes | None
    lost: str | None
    unchanged: bool = False
    passing: bool = False
    validators: Validators = NO_VALIDATORS

    def __post_init__(self) -> None:
        if (self.data is not None) + (self.lost is not None) + self.unchanged != 1:
            raise ValueError(f"an answer has either data or a reason, not both or neither: photo {self.photo_id!r}")


def fetch(
    wanted: Sequence[tuple[str, str]],
    *,
    options: FetchOptions,
    base: str = "",
    known: Mapping[str, Validators] | None = None,
    log: Log = SILENT,
    rng: np.random.Generator | None = None,
) -> Iterator[Answer]:
    """Fetch photos lazily and answer each wanted one exactly once, in any order.

    wanted: (photo_id, locator) pairs; a locator is a web address or the path of a file, and not trusted.
    base: the folder or address of the source, which photos may be read from; others only as `options` allow.
    known: the validators of photos that are here; they are sent only if they changed, else answered as unchanged.
    rng: jitter of the waits between tries; it changes nothing else.
    A photo that decodes is answered with its bytes as they came, any other one with a reason. Abandoning the iterator
    closes the connections and ends the thread behind it. Raises `Unusable` when the environment names a proxy or
    certificates that cannot be used, after all photos are answered that do not need them.
    """
    if not wanted:
        return
    line = _Line(wanted, options, base, known or {}, rng or np.random.default_rng(0))
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
    """The photos still to be asked of one host, so many at once, and whether it is worth asking."""

    def __init__(self, limit: int, patience: int) -> None:
        self.limit, self.patience = limit, patience
        self.waiting: collections.deque[tuple[str, str]] = collections.deque()
        self.active = 0
        self.failures, self.failing_since = 0, 0.0  # photos in a row without a connection

    def note(self, *, connected: bool) -> None:
        if not connected and self.failures == 0:
            self.failing_since = time.monotonic()
        self.failures = 0 if connected else self.failures + 1

    @property
    def dead(self) -> bool:
        return self.failures >= self.patience and time.monotonic() - self.failing_since >= HOST_PATIENCE_S


class _Line:
    """An event loop in a thread of its own: requests stay under way while the caller works on what came."""

    def __init__(
        self,
        wanted: Sequence[tuple[str, str]],
        options: FetchOptions,
        base: str,
        known: Mapping[str, Validators],
        rng: np.random.Generator,
    ) -> None:
        self.options, self.base, self.known, self.rng = options, base, known, rng
        self.disk = Disk(base, options.allow_paths)
        self.web = Web(Hosts(options.allow_hosts, base), keep=options.concurrency)
        self.unusable: Unusable | None = None
        self.hosts: dict[str, _Host] = {}
        for photo_id, locator in wanted:
            name = locators.host(locator)
            if name not in self.hosts:
                self.hosts[name] = _Host(options.limit(name), options.patience(name))
            self.hosts[name].waiting.append((photo_id, locator))
        self.answers: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()
        # Answers not yet taken count as under way: a slow caller slows the line instead of filling the memory.
        self.places = asyncio.Semaphore(options.concurrency)
        self.room = Room(int(max(options.held_mb, options.max_mb) * 1e6))
        self.decoding = asyncio.Semaphore(options.decoders)
        self.pool = ThreadPoolExecutor(options.concurrency, "visnet-download")
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(self.pool)
        self.main = self.loop.create_task(self._main())  # first in the loop's queue, before anything it is told
        self.thread = threading.Thread(target=self._run, name="visnet-download", daemon=True)
        self.thread.start()

    def take(self) -> Answer:
        answer = self.answers.get()
        if isinstance(answer, BaseException):
            raise answer
        self._tell(lambda: self._taken(answer))
        return answer

    def _taken(self, answer: Answer) -> None:
        self.places.release()
        self.room.give(len(answer.data or b""))

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
        except BaseExceptionGroup as group:  # a fault of ours: the caller, who waits for an answer, gets it
            self.answers.put(MemoryError("no memory for a photo") if group.subgroup(MemoryError) else group)
        except BaseException as error:
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
            await self.web.aclose()

    async def _work(self) -> None:
        turn = collections.deque(self.hosts)  # the hosts that have photos waiting and are below their limit
        freed = asyncio.Event()

        async def one(name: str, photo_id: str, locator: str) -> None:
            host = self.hosts[name]
            try:
                self.answers.put(await self._answer(host, photo_id, locator))
            except Unusable as error:
                self.unusable = error
                self.places.release()
            except MemoryError as error:  # not the photo's fault: whoever waits for answers gets it, and stops
                error.add_note(f"photo {photo_id!r}")
                self.answers.put(error)
                return
            if host.waiting and host.active == host.limit:
                turn.append(name)
                freed.set()
            host.active -= 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(sum(len(host.waiting) for host in self.hosts.values())):
                await self.places.acquire()
                while not turn:
                    freed.clear()
                    await freed.wait()
                name = turn.popleft()
                host = self.hosts[name]
                host.active += 1
                tasks.create_task(one(name, *host.waiting.popleft()))
                if host.waiting and host.active < host.limit:
                    turn.append(name)
        if self.unusable:  # at the end: what needs no proxy has come, and is kept
            self.answers.put(self.unusable)

    async def _answer(self, host: _Host, photo_id: str, locator: str) -> Answer:
        known = self.known.get(photo_id)
        held = Held(self.room)
        answer = Answer(photo_id, None, "not asked")
        try:
            url = locators.address(locator)
            fetched = await (self._read(locator, held, known) if url is None else self._ask(host, url, held, known))
            if fetched.data is None:
                answer = Answer(photo_id, None, None, unchanged=True, validators=fetched.validators)
            else:
                async with self.decoding:
                    await asyncio.to_thread(codec.check, fetched.data, max_pixels=self.options.max_pixels)
                answer = Answer(photo_id, fetched.data, None, validators=fetched.validators)
        except Refused as refused:
            answer = Answer(photo_id, None, str(refused))
        except Failure as failure:
            answer = Answer(photo_id, None, failure.reason, passing=failure.again)
        except codec.Undecodable as error:
            answer = Answer(photo_id, None, f"undecodable: {error}")
        finally:
            held.keep(len(answer.data or b""))
        return answer

    async def _read(self, locator: str, held: Held, known: Validators | None) -> Fetched:
        found, data = await asyncio.to_thread(self._found, locator, known)
        if found.unchanged:
            return Fetched(None, found.validators)
        await held.take(found.size_bytes)
        return Fetched(await asyncio.to_thread(read_file, found) if data is None else data, found.validators)

    def _found(self, locator: str, known: Validators | None) -> tuple[FoundFile, bytes | None]:
        found = find_file(self.disk, locator, self.options, known)
        small = not found.unchanged and found.size_bytes <= READ_AT_ONCE
        return found, read_file(found) if small else None

    async def _ask(self, host: _Host, text: str, held: Held, known: Validators | None) -> Fetched:
        if locators.climbs(text, self.base):
            raise Refused(locators.OUTSIDE)
        url = addresses.parsed(text)
        tried = timeouts = 0
        while True:
            if host.dead:
                raise Failure("host unreachable", again=True)
            try:
                fetched = await try_once(self.web, url, self.options, held, known)
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
                return fetched
