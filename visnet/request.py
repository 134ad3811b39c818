"""Ask for one photo, once: an address over HTTP, or a file, and why it did not come.

Whoever has the photo says how it was marked when it came (`Mark`); while the mark holds, the bytes are not sent again.
"""

import asyncio
import datetime
import email.utils
import os
import socket
import ssl
import stat
from pathlib import Path
from typing import NamedTuple

import httpx
from pydantic import Field

from visnet import images
from visnet.stage import Frozen

REDIRECTS = 5
RETRY_AFTER_MAX_S = 10.0  # a server may ask for more patience than this; it does not get it
TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})  # every other status but 200 is final


class Options(Frozen):
    """How to ask for photos. At most `concurrency` photos are under way, at most `per_host` of them at one host."""

    concurrency: int = Field(default=32, ge=1, le=1024)
    per_host: int = Field(default=8, ge=1, le=1024)
    timeout_s: float = Field(default=5.0, gt=0, le=600)  # to connect, and for each wait for bytes
    deadline_s: float = Field(
        default=20.0, gt=0, le=3600
    )  # for one whole request, redirects and body too: cuts a server that dribbles
    tries: int = Field(default=4, ge=1, le=20)
    backoff_s: float = Field(
        default=0.25, ge=0, le=60
    )  # before the second try; doubles with each further one, with jitter
    max_mb: float = Field(default=32.0, gt=0, le=1024)
    max_pixels: int = Field(default=images.MAX_PIXELS, ge=1, le=images.MAX_PIXELS)
    user_agent: str = "visnet/0.1"


class Mark(NamedTuple):
    """How a source marks a photo's bytes: HTTP's ETag and Last-Modified, or a file's time and size as the ETag."""

    etag: str = ""
    last_modified: str = ""


NO_MARK = Mark()


class Brought(NamedTuple):
    """What came of one question: the photo's bytes, None when those of the mark asked with still stand."""

    data: bytes | None
    mark: Mark


class Failure(Exception):
    """One try came to nothing: why, whether another may do better, and whether the host was there at all."""

    def __init__(
        self, reason: str, *, again: bool = False, wait_s: float | None = None, connected: bool = True
    ) -> None:
        super().__init__(reason)
        self.reason, self.again, self.wait_s, self.connected = reason, again, wait_s, connected


async def try_once(client: httpx.AsyncClient, url: str, options: Options, known: Mark | None = None) -> Brought:
    """Ask an address once, and on condition that it changed since `known`; `Failure` when no photo comes."""
    answered = False
    try:
        async with asyncio.timeout(options.deadline_s):
            request = client.build_request("GET", url, headers=_condition(known))
            for _ in range(REDIRECTS + 1):  # by hand, because httpx would read a redirect's body, however long
                response = await client.send(request, stream=True)
                try:
                    answered = True
                    if response.next_request is None:
                        return await _brought(response, options, known)
                    request = response.next_request
                finally:
                    await response.aclose()
            raise Failure("too many redirects")
    except (TimeoutError, httpx.TimeoutException) as error:
        raise Failure("timeout", again=True, connected=not isinstance(error, httpx.ConnectTimeout)) from error
    except httpx.ConnectError as error:
        if _caused(error, ssl.SSLError):
            raise Failure("no secure connection") from error
        reason = "unknown host" if _caused(error, socket.gaierror) else "no connection"
        raise Failure(reason, again=True, connected=False) from error
    except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
        raise Failure("incomplete body" if answered else "connection reset", again=True) from error
    except httpx.DecodingError as error:
        raise Failure("undecodable: broken content encoding") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise Failure("bad address") from error


def _condition(known: Mark | None) -> dict[str, str]:
    asked = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified} if known else {}
    return {name: value for name, value in asked.items() if value}


async def _brought(response: httpx.Response, options: Options, known: Mark | None) -> Brought:
    status = response.status_code
    mark = Mark(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))
    if status == 304 and known and any(known):  # it may leave out what has not changed
        return Brought(None, Mark(mark.etag or known.etag, mark.last_modified or known.last_modified))
    if status != 200:
        wait_s = _retry_after_s(response.headers.get("Retry-After", ""))
        raise Failure(f"http {status}", again=status in TRY_AGAIN, wait_s=wait_s)
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > options.max_mb * 1e6:  # counted, since what the header says of the length may be a lie
            raise Failure(f"too large: over {options.max_mb:g} MB")
    return Brought(bytes(body), mark)


def read_file(path: str, options: Options, known: Mark | None = None) -> Brought:
    """Read a file, if its time or size differ from `known`; `Failure` when no photo comes."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, for ever
            raise Failure("not a file")
        if status.st_size > options.max_mb * 1e6:
            raise Failure(f"too large: over {options.max_mb:g} MB")
        mark = Mark(f"{status.st_mtime_ns}-{status.st_size}")
        return Brought(None if known and known.etag == mark.etag else Path(path).read_bytes(), mark)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Failure("no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise Failure("not readable", again=isinstance(error, OSError)) from error


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
