"""Routes beside the API: the page and its files, and what tells whether the service is well."""

import asyncio
import html
import re
import time
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response

from visnet.errors import Damaged
from visnet.serving.app import state
from visnet.serving.app.api import AGAIN
from visnet.serving.app.problems import busy, log

PAGE = Path(__file__).parents[1] / "page"
CHECKED_S = 1.0  # for how long a check of the network holds
WAIT_S = 10.0
router = APIRouter(include_in_schema=False)
health = APIRouter(tags=["health"])


@router.get("/")
@router.get("/q/{query_id}")
@router.get("/p/{product_id:path}")
async def page(request: Request) -> Response:
    """Return the page, which reads from its address what to show, and from a line of its own where its root is."""
    file, root = PAGE / "index.html", html.escape(quote(request.scope.get("root_path", "").rstrip("/")))
    if not root:
        return FileResponse(file, headers=AGAIN)
    text = re.sub(r'(href|src|content)="/(?=["\w])', rf'\1="{root}/', file.read_text(encoding="utf-8"))
    return HTMLResponse(text, headers=AGAIN)


@health.get("/healthz")
async def healthz() -> Response:
    """Say that the process lives."""
    return JSONResponse({"status": "alive"}, headers={"Cache-Control": "no-store"})


@health.get("/readyz")
async def readyz(request: Request) -> Response:
    """Say that photos can be asked with: a known one has just had its known vector."""
    there = state.of(request)
    async with there.engines.lease() as engine:
        if time.monotonic() > there.checked.get(engine.number, -CHECKED_S) + CHECKED_S:
            try:
                await asyncio.wait_for(engine.check(), WAIT_S)
            except Exception as error:
                log.error("not ready: %s", error)
                why = "is another one" if isinstance(error, Damaged) else f"did not come within {WAIT_S:g} s"
                raise busy(f"a known photo was embedded, and its vector {why}") from None
            there.checked = {engine.number: time.monotonic()}
        told = {"status": "ready", "catalog_version": engine.number}
    return JSONResponse(told, headers={"Cache-Control": "no-store"})


@health.get("/metrics", response_class=PlainTextResponse, responses={200: {"content": {CONTENT_TYPE_LATEST: {}}}})
async def metrics(request: Request) -> Response:
    """Return what the service counts, in Prometheus' text format."""
    text = await state.of(request).reading.run(state.of(request).counted)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
