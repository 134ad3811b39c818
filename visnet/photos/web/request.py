"""Ask for one photo, once: an address over HTTP, or a file, and why it did not come.

Whoever has the photo gives its `Validators` (RFC 9110, section 8.8); while they hold, the bytes are not sent again.
"""

import asyncio
import datetime
import email.utils
import os
import socket
import ssl
import stat
from collections.abc import Mapping
from typing import NamedTuple

import httpcore
import httpx

from visnet.photos.web import addresses, bodies, locators
from visnet.photos.web.locators import Disk, Missing, Refused
from visnet.photos.web.network import Web
from visnet.photos.web.options import FetchOptions
from visnet.photos.web.proxies import Unusable
from visnet.photos.web.room import Held

REDIRECTS = 5
RETRY_AFTER_MAX_S = 10.0  # a server may ask for more patience than this; it does not get it
MOVED = frozenset({301, 302, 303, 307, 308})
TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})  # every other status but 200 is final


class Validators(NamedTuple):
    """What tells that a photo's bytes are the same: HTTP's ETag and Last-Modified; for a file, its time and size."""

    etag: str = ""
    last_modified: str = ""


NO_VALIDATORS = Validators()


class Fetched(NamedTuple):
    """What came of one question: the photo's bytes, None when those of the validators asked with still stand."""

    data: bytes | None
    validators: Validators


class FoundFile(NamedTuple):
    """A file that may be read: its real path, its size and validators, and whether those are the known ones."""

    path: str
    size_bytes: int
    validators: Validators
    unchanged: bool


class Failure(Exception):
    """One try came to nothing: why, whether another may do better, and whether the host was there at all."""

    def __init__(
        self, reason: str, *, again: bool = False, wait_s: float | None = None, connected: bool = True
    ) -> None:
        super().__init__(reason)
        self.reason, self.again, self.wait_s, self.connected = reason, again, wait_s, connected


async def try_once(
    web: Web, url: httpx.URL, options: FetchOptions, held: Held, known: Validators | None = None
) -> Fetched:
    """Ask an address once, and on condition that it changed since `known`; `Failure` when no photo comes.

    held: room for what comes, which is kept for the caller when a photo comes.
    """
    answered = False
    try:
        async with asyncio.timeout(options.deadline_s) as deadline:
            for _ in range(REDIRECTS + 1):
                response = await web.get(url, _headers(options, known), options.timeout_s)
                try:
                    answered = True
                    headers = {name.decode("latin-1").lower(): value for name, value in response.headers}
                    if response.status not in MOVED or "location" not in headers:
                        return await _brought(response, headers, options, held, deadline, known)
                    url = _joined(url, headers["location"].decode("utf-8", "replace"))
                finally:
                    await response.aclose()
            raise Failure("too many redirects")
    except Refused as refused:
        raise Failure(str(refused)) from refused
    except bodies.BodyTooLarge as error:
        raise Failure(f"too large: over {options.max_mb:g} MB") from error
    except bodies.BodyCut as error:
        raise Failure("incomplete body", again=True) from error
    except (TimeoutError, httpcore.TimeoutException) as error:
        raise Failure("timeout", again=True, connected=not isinstance(error, httpcore.ConnectTimeout)) from error
    except httpcore.ConnectError as error:
        if _caused(error, ssl.SSLError):
            raise Failure("no secure connection") from error
        reason = "unknown host" if _caused(error, socket.gaierror) else "no connection"
        raise Failure(reason, again=True, connected=False) from error
    except httpcore.ProxyError as error:
        raise Failure("refused by the proxy", again=True) from error
    except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
        cut = isinstance(error, httpcore.NetworkError) or any(word in str(error) for word in ("disconnected", "closed"))
        reason = ("incomplete body" if answered else "connection reset") if cut else "malformed answer"
        raise Failure(reason, again=True) from error
    except (Failure, Unusable, MemoryError):
        raise
    except Exception as error:  # whatever a hostile address or answer makes the libraries raise is this photo's lot
        raise Failure(f"no answer: {type(error).__name__}") from error


def _headers(options: FetchOptions, known: Validators | None) -> dict[str, str]:
    headers = {"User-Agent": options.user_agent, "Accept": "image/*", "Accept-Encoding": "identity"}
    asked = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified} if known else {}
    return headers | {name: value for name, value in asked.items() if value and value.isascii()}


def _joined(url: httpx.URL, location: str) -> httpx.URL:
    try:
        return addresses.parsed(str(url.join(location.strip())))
    except (httpx.InvalidURL, ValueError) as error:
        raise Refused("bad address") from error


async def _brought(
    response: httpcore.Response,
    raw_headers: Mapping[str, bytes],
    options: FetchOptions,
    held: Held,
    deadline: asyncio.Timeout,
    known: Validators | None,
) -> Fetched:
    headers = {name: value.decode("latin-1") for name, value in raw_headers.items()}
    validators = Validators(headers.get("etag", ""), headers.get("last-modified", ""))
    if response.status == 304 and known and any(known):  # it may leave out what has not changed
        await response.aread()  # nothing, but then the connection can be used again
        return Fetched(None, Validators(validators.etag or known.etag, validators.last_modified or known.last_modified))
    if response.status != 200:
        wait_s = _retry_after_s(headers.get("retry-after", ""))
        raise Failure(f"http {response.status}", again=response.status in TRY_AGAIN, wait_s=wait_s)
    encoding = headers.get("content-encoding", "")
    length = headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdecimal() and len(length) < 20 else options.max_bytes
    if size > options.max_bytes:
        raise bodies.BodyTooLarge
    await _wait_for_room(held, options.max_bytes if encoding else size, deadline)
    return Fetched(await bodies.read(response.aiter_stream(), encoding, options.max_bytes), validators)


async def _wait_for_room(held: Held, size: int, deadline: asyncio.Timeout) -> None:
    """Wait for room, which is a matter of who takes the photos: the server's time does not run meanwhile."""
    if held.take_now(size):
        return
    clock = asyncio.get_running_loop().time
    left_s = (deadline.when() or 0.0) - clock()
    deadline.reschedule(None)
    await held.take(size)
    deadline.reschedule(clock() + left_s)


def find_file(disk: Disk, locator: str, options: FetchOptions, known: Validators | None = None) -> FoundFile:
    """Look for the file of a locator; `Failure` when it is none that may be read."""
    try:
        path, status = disk.find(locator)
    except Refused as refused:
        raise Failure(str(refused)) from refused
    except Missing as missing:
        raise Failure(str(missing), again=missing.passing) from missing
    if stat.S_ISDIR(status.st_mode):
        raise Failure("is a folder")
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, for ever
        raise Failure("not a file")
    if status.st_size > options.max_bytes:
        raise Failure(f"too large: over {options.max_mb:g} MB")
    validators = Validators(locators.etag(status))
    return FoundFile(path, status.st_size, validators, unchanged=bool(known and known.etag == validators.etag))


def read_file(found: FoundFile) -> bytes:
    """Read a file that was found; `Failure` when that cannot be done."""
    try:
        # As it was found: what has become a link or a pipe since is not followed or waited for.
        with open(os.open(found.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            data = file.read(found.size_bytes + 1)
    except OSError as error:
        missing = locators.missing(error)
        raise Failure(str(missing), again=missing.passing) from error
    if len(data) != found.size_bytes:
        raise Failure("not readable: it is being written to", again=True)
    return data


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
