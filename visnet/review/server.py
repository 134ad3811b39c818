"""A page's server: what is judged and its photos out, marks in; every mark is in the file before it is answered."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from visnet.pipeline import os_faults
from visnet.storage.decisions import Decisions
from visnet.storage.fingerprints import fingerprint

HERE = Path(__file__).parent
LOOPBACK = ["127.0.0.1", "localhost"]
CAREFUL = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}
BODY_BYTES = 16_384  # a mark is far smaller

Row = tuple[str, ...]  # what is marked, and the keys of what it is of


@dataclass(frozen=True)
class Judged:
    """What a page shows, and where its marks go.

    name: of the page's script, and of the address of `about`, what it says of all that is judged. page: the file that
    the script fills. photos: crop id ->
    encoded picture. row: checks a mark (what, a, b); markable: those that the page can make. kept: reads the file of
    marks, whose every row it returns. keep: puts a mark into it or takes it out, and returns the rows then. Both raise
    `ValueError` for a file that cannot be read; `OSError` where it cannot be written.
    """

    name: str
    page: str
    about: Mapping[str, Any]
    photos: Mapping[str, bytes]
    file: Path
    words: tuple[str, ...]
    row: Callable[[str, str, str], Row]
    markable: Collection[Row]
    kept: Callable[[], Iterable[Row]]
    keep: Callable[[Row, bool], Iterable[Row]]


def keeping(
    path: Path, read: Callable[[Path], Decisions], write: Callable[[Path, Decisions], None]
) -> Callable[[Row, bool], Iterable[Row]]:
    """Return what puts a decision into the file at `path`, or takes it out, and returns the rows then."""

    def keep(row: Row, on: bool) -> frozenset[Row]:
        before = read(path)
        after = before.put(row, on)
        if after != before:
            write(path, after)
        return after.rows

    return keep


def app(judged: Judged, host: str) -> Starlette:
    """Return the server's application. Bound to loopback, it answers under no other name."""
    beside = ("page.css", "judging.js", "deciding.js")
    files = {"/": judged.page, "/main.js": f"{judged.name}.js", **{f"/{name}": name for name in beside}}
    # `place` keeps apart what the browser remembers of two projects.
    about = {**judged.about, "file": str(judged.file), "place": fingerprint(str(judged.file.resolve()))}
    mark_is = f'{{"what": {" | ".join(map(json.dumps, judged.words))}, "a": …, "b": …, "on": true | false}}'

    # All are coroutines of one thread and do not wait between reading the file and writing it: no mark is lost.
    async def page(request: Request) -> Response:
        return FileResponse(HERE / files[request.url.path], headers=CAREFUL)

    async def everything(request: Request) -> Response:
        return JSONResponse(about)

    async def photo(request: Request) -> Response:
        crop = request.query_params.get("crop", "")
        if crop not in judged.photos:
            return PlainTextResponse("no such crop on this page", 404)
        kept_s = {"Cache-Control": "private, max-age=300"}
        return Response(judged.photos[crop], media_type="image/jpeg", headers=kept_s)

    async def marks(request: Request) -> Response:
        try:
            return _answer(judged.kept())
        except ValueError as error:
            return PlainTextResponse(str(error), 409)

    async def mark(request: Request) -> Response:
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers["host"]:
            return PlainTextResponse("marks are taken from this page only", 403)
        if request.headers.get("content-type") != "application/json":
            return PlainTextResponse("a mark is application/json", 415)
        try:
            row, on = await _asked(request, judged.row)
        except _TooLarge:
            return PlainTextResponse(f"a mark has at most {BODY_BYTES} bytes", 413, {"Connection": "close"})
        if row is None:
            return PlainTextResponse(f"a mark is {mark_is}", 400)
        if row not in judged.markable or not isinstance(on, bool):
            return PlainTextResponse("no such mark on this page", 400)
        try:
            return _answer(judged.keep(row, on))
        except OSError as error:
            return PlainTextResponse(os_faults.explained(error) or str(error), 409)
        except ValueError as error:
            return PlainTextResponse(str(error), 409)

    return Starlette(
        routes=[
            *(Route(address, page) for address in files),
            Route(f"/{judged.name}", everything),
            Route("/photo", photo),
            Route("/marks", marks),
            Route("/marks", mark, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK if host in LOOPBACK else ["*"])],
    )


class _TooLarge(Exception):
    """More was sent than a mark can be."""


async def _asked(request: Request, row: Callable[[str, str, str], Row]) -> tuple[Row | None, object]:
    """Read a mark: its row, None where it is none, and whether it is on."""
    try:
        asked = json.loads(await _body(request))
        what, a, b = (asked[name] for name in ("what", "a", "b"))
        return row(what, a, b) if all(isinstance(part, str) for part in (what, a, b)) else None, asked["on"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, None


async def _body(request: Request) -> bytes:
    """Read what was sent, and nothing beyond `BODY_BYTES`."""
    if int(request.headers.get("content-length", "0") or 0) > BODY_BYTES:
        raise _TooLarge
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES:
            raise _TooLarge
    return bytes(body)


def _answer(rows: Iterable[Row]) -> Response:
    return JSONResponse(sorted(rows), headers={"Cache-Control": "no-store"})
