"""The table at an address: brought here whole, or not at all."""

import contextlib
import re
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import httpx

from visnet.errors import TooLarge
from visnet.sources.rows import files

TIMEOUT_S = 30.0
BYTES_MAX = 2 << 30
PAGE = "a page, and no table; give the address of the file itself"
KINDS = {  # the ending of a name, by what the server says it sends
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/vnd.apache.parquet": ".parquet",
}


def is_address(target: str) -> bool:
    """Tell whether what was named is an address, and no path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", target) is not None


def shown(url: str) -> str:
    """Return an address without its query, which may hold what is nobody's business."""
    return url.partition("?")[0]


def folder_of(url: str) -> str:
    """Return the address of the folder that a file's address is in, without its query."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, parts.path.rpartition("/")[0], "", ""))


@contextlib.contextmanager
def brought(url: str) -> Iterator[Path]:
    """Lend the table of an address as a file; `ValueError` says in a line why there is none.

    The file is gone afterwards: whoever finds it good moves it. What is wrong with it is said of the address.
    """
    with tempfile.TemporaryDirectory(prefix="visnet-init-") as scratch, _response(url) as response:
        file = Path(scratch) / _name(url, response)
        length = 0
        with file.open("wb") as out:
            for piece in _pieces(url, response):
                length += len(piece)
                if length > BYTES_MAX:
                    raise TooLarge(f"{shown(url)}: over {BYTES_MAX >> 20} MiB; bring it here in parts")
                out.write(piece)
        with file.open("rb") as head:
            if head.read(512).lstrip()[:1] == b"<":
                raise ValueError(f"{shown(url)}: {PAGE}")
        try:
            yield file
        except ValueError as error:
            raise type(error)(str(error).replace(str(file), shown(url))) from None


def check(url: str) -> None:
    """Ask for the head of what is at an address; `ValueError` when it does not answer well."""
    with _response(url):
        pass


@contextlib.contextmanager
def _response(url: str) -> Iterator[httpx.Response]:
    try:
        if httpx.URL(url).userinfo:
            raise ValueError("a user and password in an address would be written down; bring the table here yourself")
        with httpx.stream("GET", url, timeout=TIMEOUT_S, follow_redirects=True) as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError(
                    f"{shown(url)}: answers http {response.status_code}; give the address of a table's file"
                )
            if "html" in response.headers.get("content-type", ""):
                raise ValueError(f"{shown(url)}: {PAGE}")
            yield response
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _refusal(url, error) from None


def _pieces(url: str, response: httpx.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_bytes()
    except httpx.HTTPError as error:
        raise _refusal(url, error) from None


def _refusal(url: str, error: Exception) -> ValueError:
    why = re.sub(r"\[Errno -?\d+\] ", "", " ".join(str(error).split()))  # a number would be taken for the disk's
    return ValueError(f"{shown(url)}: cannot be brought: {why or type(error).__name__}")


def _name(url: str, response: httpx.Response) -> str:
    """Return the name of the file, which says by its ending how it is read."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2]))
    name = name.lstrip(".") or "table"
    if name.lower().endswith(files.SUFFIXES):
        return name
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in KINDS:
        raise ValueError(
            f"{shown(url)}: a table is wanted, one of {', '.join(files.SUFFIXES)}; it is {kind or 'unnamed'}"
        )
    return name + KINDS[kind]
