"""The page's server: triplets and photos out, marks in; every mark is in the file before it is answered."""

import json
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from visnet.pipeline import os_faults
from visnet.review.shown import Shown
from visnet.sampling import exclusions
from visnet.storage.fingerprints import fingerprint

HERE = Path(__file__).parent
FILES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
LOOPBACK = ["127.0.0.1", "localhost"]
CAREFUL = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}
BODY_BYTES = 16_384  # a mark is far smaller
MARK = '{"what": "photo" | "positive" | "negative", "a": crop id, "b": crop id or "", "on": true | false}'


def app(shown: Shown, path: Path, host: str) -> Starlette:
    """Return the server's application; marks go to `path`. Bound to loopback, it answers under no other name."""
    markable = shown.markable()
    about = {
        "split": shown.split,
        "total": shown.total,
        "triplets": shown.triplets,
        "crops": shown.crops,
        "claims": shown.claims(),
        "file": str(path),
        "place": fingerprint(str(path.resolve())),  # keeps apart what the browser remembers of two projects
    }

    # All are coroutines of one thread and do not wait between reading the file and writing it: no mark is lost.
    async def page(request: Request) -> Response:
        return FileResponse(HERE / FILES[request.url.path], headers=CAREFUL)

    async def triplets(request: Request) -> Response:
        return JSONResponse(about)

    async def photo(request: Request) -> Response:
        crop = request.query_params.get("crop", "")
        if crop not in shown.photos:
            return PlainTextResponse("no such crop on this page", 404)
        return Response(shown.photos[crop], media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"})

    async def marks(request: Request) -> Response:
        try:
            return _answer(exclusions.read(path))
        except ValueError as error:
            return PlainTextResponse(str(error), 409)

    async def mark(request: Request) -> Response:
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers["host"]:
            return PlainTextResponse("marks are taken from this page only", 403)
        if request.headers.get("content-type") != "application/json":
            return PlainTextResponse("a mark is application/json", 415)
        try:
            row, on = await _asked(request)
        except _TooLarge:
            return PlainTextResponse(f"a mark has at most {BODY_BYTES} bytes", 413, {"Connection": "close"})
        if row is None:
            return PlainTextResponse(f"a mark is {MARK}", 400)
        if row not in markable or not isinstance(on, bool):
            return PlainTextResponse("no such mark on this page", 400)
        try:
            before = exclusions.read(path)
            after = exclusions.Exclusions(before.rows | {row} if on else before.rows - {row})
            if after != before:
                exclusions.write(path, after)
        except OSError as error:
            return PlainTextResponse(os_faults.explained(error) or str(error), 409)
        except ValueError as error:
            return PlainTextResponse(str(error), 409)
        return _answer(after)

    return Starlette(
        routes=[
            *(Route(address, page) for address in FILES),
            Route("/triplets", triplets),
            Route("/photo", photo),
            Route("/marks", marks),
            Route("/marks", mark, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK if host in LOOPBACK else ["*"])],
    )


class _TooLarge(Exception):
    """More was sent than a mark can be."""


async def _asked(request: Request) -> tuple[exclusions.Row | None, object]:
    """Read a mark: its row, None where it is none, and whether it is on."""
    try:
        asked = json.loads(await _body(request))
        cells = [asked[name] for name in ("what", "a", "b")]
        return exclusions.row(*cells) if all(isinstance(part, str) for part in cells) else None, asked["on"]
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


def _answer(found: exclusions.Exclusions) -> Response:
    return JSONResponse(sorted(found.rows), headers={"Cache-Control": "no-store"})
