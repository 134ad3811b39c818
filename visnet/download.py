"""Bring photos here, from the web or the disk, and say of each one that did not come why."""

import asyncio
import collections
import contextlib
import datetime
import email.utils
import os
import queue
import socket
import ssl
import stat
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from pydantic import Field

from visnet import images
from visnet.log import SILENT, Log
from visnet.stage import Frozen

REDIRECTS = 5
TIMEOUT_TRIES = 2  # a timeout is tried again only once, so a host that hangs costs 2 timeouts a photo, not `tries`
RETRY_AFTER_MAX_S = 10.0  # a server may ask for more patience than this; it does not get it
HOST_FAILURES, HOST_PATIENCE_S = 16, 60.0  # so many photos in a row, over so long, without a connection: it is dead
TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})  # every other status but 200 is final


class Options(Frozen):
    """How to ask for photos. At most `concurrency` photos are under way, at most `per_host` of them at one host."""

    concurrency: int = Field(default=32, ge=1, le=1024)
    per_host: int = Field(default=8, ge=1)
    timeout_s: float = Field(default=5.0, gt=0)  # to connect, and for each wait for bytes
    deadline_s: float = Field(
        default=20.0, gt=0
    )  # for one whole request, redirects and body too: cuts a server that dribbles
    tries: int = Field(default=4, ge=1)
    backoff_s: float = Field(default=0.25, ge=0)  # before the second try; doubles with each further one, with jitter
    max_mb: float = Field(default=32.0, gt=0)
    max_pixels: int = Field(default=images.MAX_PIXELS, ge=1)
    user_agent: str = "visnet/0.1"


@dataclass(frozen=True)
class Answer:
    """What came for one wanted photo: its bytes, or a short reason why it is lost. Exactly one of the two is set."""

    photo_id: str
    data: bytes | None
    lost: str | None

    def __post_init__(self) -> None:
        if (self.data is None) == (self.lost is None):
            raise ValueError(f"an answer has either data or a reason, not both or neither: photo {self.photo_id!r}")


def fetch(
    wanted: Sequence[tuple[str, str]],
    *,
    options: Options,
    log: Log = SILENT,
    rng: np.random.Generator | None = None,
) -> Iterator[Answer]:
    """Fetch photos lazily and answer each wanted one exactly once, in any order.

    wanted: (photo_id, locator) pairs; a locator is an http(s) address or the path of a file.
    rng: jitter of the waits between tries; it changes nothing else.
    A photo that decodes is answered with its bytes as they came, any other one with a reason. Abandoning the iterator
    closes the connections and ends the thread behind it.
    """
    if not wanted:
        return
    line = _Line(wanted, options, rng or np.random.default_rng(0))
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


class _Failure(Exception):
    """One try came to nothing: why, whether another may do better, and whether the host was there at all."""

    def __init__(
        self, reason: str, *, again: bool = False, wait_s: float | None = None, connected: bool = True
    ) -> None:
        super().__init__(reason)
        self.reason, self.again, self.wait_s, self.connected = reason, again, wait_s, connected


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

    def __init__(self, wanted: Sequence[tuple[str, str]], options: Options, rng: np.random.Generator) -> None:
        self.options, self.rng = options, rng
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
        client = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=self.options.concurrency),
            timeout=self.options.timeout_s,
            headers={"User-Agent": self.options.user_agent, "Accept": "image/*", "Accept-Encoding": "identity"},
        )
        self.work = asyncio.create_task(self._work(client))
        async with client:
            with contextlib.suppress(asyncio.CancelledError):  # only the work is ever cancelled, so all gets closed
                await self.work

    async def _work(self, client: httpx.AsyncClient) -> None:
        turn = collections.deque(self.hosts)  # the hosts that have photos waiting and are below their limit
        freed = asyncio.Event()

        async def one(name: str, photo_id: str, locator: str) -> None:
            host = self.hosts[name]
            self.answers.put(await self._answer(client, host, photo_id, locator))
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

    async def _answer(self, client: httpx.AsyncClient, host: _Host, photo_id: str, locator: str) -> Answer:
        try:
            if "://" in locator:
                data = await self._ask(client, host, locator)
            else:
                data = await asyncio.to_thread(_read, locator, self.options)
            async with self.decoding:
                await asyncio.to_thread(images.decode, data, max_pixels=self.options.max_pixels)
        except _Failure as failure:
            return Answer(photo_id, None, failure.reason)
        except images.Undecodable as error:
            return Answer(photo_id, None, f"undecodable: {error}")
        return Answer(photo_id, data, None)

    async def _ask(self, client: httpx.AsyncClient, host: _Host, url: str) -> bytes:
        tried = timeouts = 0
        while True:
            if host.dead:
                raise _Failure("host unreachable")
            try:
                data = await _try(client, url, self.options)
            except _Failure as failure:
                tried += 1
                timeouts += failure.reason == "timeout"
                if not failure.again or tried >= self.options.tries or timeouts >= TIMEOUT_TRIES:
                    host.note(connected=failure.connected)
                    raise
                jittered_s = self.options.backoff_s * 2 ** (tried - 1) * self.rng.uniform(0.5, 1.5)
                await asyncio.sleep(jittered_s if failure.wait_s is None else failure.wait_s)
            else:
                host.note(connected=True)
                return data


async def _try(client: httpx.AsyncClient, url: str, options: Options) -> bytes:
    answered = False
    try:
        async with asyncio.timeout(options.deadline_s):
            request = client.build_request("GET", url)
            for _ in range(REDIRECTS + 1):  # by hand, because httpx would read a redirect's body, however long
                response = await client.send(request, stream=True)
                try:
                    answered = True
                    if response.next_request is None:
                        return await _body(response, options)
                    request = response.next_request
                finally:
                    await response.aclose()
            raise _Failure("too many redirects")
    except (TimeoutError, httpx.TimeoutException) as error:
        raise _Failure("timeout", again=True, connected=not isinstance(error, httpx.ConnectTimeout)) from error
    except httpx.ConnectError as error:
        if _caused(error, ssl.SSLError):
            raise _Failure("no secure connection") from error
        reason = "unknown host" if _caused(error, socket.gaierror) else "no connection"
        raise _Failure(reason, again=True, connected=False) from error
    except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
        raise _Failure("incomplete body" if answered else "connection reset", again=True) from error
    except httpx.DecodingError as error:
        raise _Failure("undecodable: broken content encoding") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise _Failure("bad address") from error


async def _body(response: httpx.Response, options: Options) -> bytes:
    status = response.status_code
    if status != 200:
        wait_s = _retry_after_s(response.headers.get("Retry-After", ""))
        raise _Failure(f"http {status}", again=status in TRY_AGAIN, wait_s=wait_s)
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > options.max_mb * 1e6:  # counted, since what the header says of the length may be a lie
            raise _Failure(f"too large: over {options.max_mb:g} MB")
    return bytes(body)


def _read(path: str, options: Options) -> bytes:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, for ever
            raise _Failure("not a file")
        if status.st_size > options.max_mb * 1e6:
            raise _Failure(f"too large: over {options.max_mb:g} MB")
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _Failure("no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise _Failure("not readable") from error


def _host(locator: str) -> str:
    """Return the host (with port) that a limit is counted for, "" for this machine's disk."""
    if "://" not in locator:
        return ""
    try:
        return urllib.parse.urlsplit(locator).netloc.lower() or "?"
    except ValueError:
        return "?"


def _retry_after_s(text: str) -> float | None:
    """Read a Retry-After header: seconds, or an HTTP date; None when it says nothing usable."""
    try:
        if text.strip().isdecimal():
            wait_s = float(text)
        else:
            then = email.utils.parsedate_to_datetime(text)
            wait_s = (then - datetime.datetime.now(then.tzinfo)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(wait_s, 0.0), RETRY_AFTER_MAX_S)


def _caused(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False
