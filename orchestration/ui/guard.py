"""Who may speak with Dagster's and MLflow's servers: pages of their own, under names that we know, with the password.

Neither server knows its visitors. A page of any website can have a browser send requests to 127.0.0.1: as a form or a
picture, which the browser sends without asking, or under a name of its own that it lets point here (DNS rebinding).
"""

import argparse
import base64
import hmac
import ipaddress
import json
import os
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

PASSWORD = "VISNET_UI_PASSWORD"
SAFE = ("GET", "HEAD", "OPTIONS")
# What a form, or a script of a foreign page, can send without the browser's asking the server first.
UNASKED = ("", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


def options(**words: str | None) -> argparse.ArgumentParser:
    """Return the options of a server behind the guard."""
    parser = argparse.ArgumentParser(**words)  # type: ignore[arg-type]
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--allow-host", action="append", default=[], help="name under which browsers may come")
    return parser


def guard(args: argparse.Namespace) -> Middleware:
    """Return the guard that the options ask for, with the password in the environment, if any."""
    return Middleware(Guard, hosts=args.allow_host, password=os.environ.get(PASSWORD, ""))


class Guard:
    """Let through to `app` what our own pages and programs ask; answer all else with one line on why not."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = (), password: str = "") -> None:
        self._app, self._hosts, self._password = app, {host.lower() for host in hosts}, password

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or one opening of a websocket."""
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None  # else: its start and stop
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
        else:
            status, why = refusal
            headers = [(b"content-type", b"application/json")]
            headers += [(b"www-authenticate", b'Basic realm="visnet", charset="UTF-8"')] * (status == 401)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps({"error": why}).encode()})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._known(hosts[0]):
            return 403, f"Host {', '.join(hosts)!r} is none of ours; allow it by --allow-host NAME"
        if any(urlsplit(origin).netloc.lower() != hosts[0].lower() for origin in origins):
            return 403, f"Origin {', '.join(origins)!r} is not the page of this server"
        if self._password and not self._may(headers.get("authorization", "")):
            return 401, f"the password in {PASSWORD} is asked for, with any name"
        if scope["type"] == "websocket":
            return None
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] not in SAFE and kind in UNASKED:
            return 400, f"Content-Type {kind!r} is what any page may send; send application/json"
        if scope["path"].rstrip("/").endswith("/graphql") and scope["method"] in SAFE and scope["query_string"]:
            return 400, "GraphQL is asked by POST, with Content-Type application/json"
        return None

    def _known(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name == "localhost" or name in self._hosts:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def _may(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        try:
            _, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except ValueError:
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(password.encode(), self._password.encode())
