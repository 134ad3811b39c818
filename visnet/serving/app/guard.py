"""What stands before every route: names, limits, headers, counts; and a problem document for whatever fails."""

import asyncio
import functools
import re
import secrets
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visnet.serving.app.admission import HEALTH, WORKING, Admission, own_path
from visnet.serving.app.logs import FIELDS, RequestNotes, noted, requests
from visnet.serving.app.metrics import Metrics
from visnet.serving.app.problems import Refusal, busy, document, refusal_of, too_long
from visnet.serving.app.settings import Settings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")  # that are counted by name
CAREFUL = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
        "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()",
}
_ID = re.compile(r"[\w.-]{1,64}")


class Door:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._working = 0
        metrics.allowed.set(settings.concurrency)
        self.admission = Admission(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or say in a problem document why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_s, status, method = time.perf_counter(), 0, scope["method"]
        if method == "HEAD":  # whatever can be got can be asked about
            scope = {**scope, "method": "GET"}
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in CAREFUL.items():
                    headers.setdefault(name, value)
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        with noted(request_id) as notes:
            try:
                await self._answered(scope, receive, answer)
            except Exception as error:
                if status:  # the answer has begun: it can only be cut off
                    raise
                await document(refusal_of(error), request_id)(scope, receive, answer)
            finally:
                route = getattr(scope.get("route"), "path", None) or "other"
                known = method if method in METHODS else "other"
                self._count(route, known, status or 499, time.perf_counter() - begun_s, notes)

    def _count(self, route: str, method: str, status: int, wall_s: float, notes: RequestNotes) -> None:
        """Count an answer, and write a line of it: by its route, as the path or the query may be a person's own."""
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.seconds.labels(route).observe(wall_s)
        told = {"method": method, "route": route, "status": status, "ms": round(wall_s * 1e3, 1)}
        requests.info("answered", extra={FIELDS: {**told, "version": notes.version}})

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if own_path(scope) not in HEALTH:  # what looks after containers asks each by its address
            self._check_host(headers)
        self.admission.check(scope, headers)
        scope["state"]["owe"] = functools.partial(self.admission.owe, scope)
        bounded = self._bounded(headers, receive)
        if not own_path(scope).startswith(WORKING):
            await self._app(scope, bounded, send)
            return
        if self._working >= self._settings.concurrency:
            self._metrics.turned_away.inc()
            raise busy(f"{self._working} searches are under way, as many as are allowed; try again in a moment")
        self._working += 1
        self._metrics.working.inc()
        try:
            await self._app(scope, bounded, send)
        finally:
            self._working -= 1
            self._metrics.working.dec()

    def _check_host(self, headers: Headers) -> None:
        """Answer under no foreign name, so that no page elsewhere can have its name lead here (DNS rebinding)."""
        allowed = self._settings.hosts
        try:
            host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        except ValueError:
            host = ""
        if allowed and host not in allowed:
            raise Refusal(421, "this service does not answer under that name; --allow-host adds one")

    def _bounded(self, headers: Headers, receive: Receive) -> Receive:
        """Refuse a body of more bytes than allowed, or one that takes too long to come."""
        most, read = self._settings.body_bytes, 0
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise too_long(most, unread=True)

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > most:
                    raise too_long(most, unread=True)
            return message

        async def timely() -> Message:
            if read_whole():
                return await receive()
            try:
                return await asyncio.wait_for(counted(), self._settings.body_s)
            except TimeoutError:
                raise Refusal(408, f"the request did not come within {self._settings.body_s:g} s") from None

        whole = False

        def read_whole() -> bool:
            return whole

        async def noted() -> Message:
            nonlocal whole
            message = await timely()
            whole = whole or (message["type"] == "http.request" and not message.get("more_body", False))
            return message

        return noted
