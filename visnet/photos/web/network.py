"""Connections to the hosts that may be asked for photos, directly or through the environment's proxies.

An address in a table or a feed is written by others: it must not lead to what only this machine can reach. So every
address that a name stands for is judged when a connection is made, redirects too, and the connection goes to just the
one that was judged: a name that stands for another one a moment later gains nothing. Through a proxy, which looks names
up itself, a name is judged by what it stands for here, and asked if it is not known here.
"""

import asyncio
import base64
import collections
import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any

import httpcore
import httpx

from visnet.photos.web import proxies
from visnet.photos.web.addresses import Hosts, port
from visnet.photos.web.locators import Refused

STAGGER_S = 0.25  # RFC 8305: a host's next address is tried beside the one before after so long
KEPT_S = 5.0  # an idle connection


async def resolve(host: str, port: int) -> list[str]:
    """Return a host's addresses, the preferred one first; `httpcore.ConnectError` when there are none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise httpcore.ConnectError(str(error)) from error
    except (UnicodeError, OverflowError) as error:
        raise Refused("bad address") from error
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Guard(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were judged, and to no other."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts, self.inner = hosts, httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a host's allowed address that answers first."""
        try:
            async with asyncio.timeout(timeout):
                addresses = self.hosts.judge(host, port, await resolve(host, port))
                if len(addresses) == 1:
                    return await self.inner.connect_tcp(addresses[0], port, timeout)
                return await self._first(addresses, port, timeout)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error

    async def _first(self, addresses: list[str], port: int, timeout: float | None) -> httpcore.AsyncNetworkStream:
        waiting = collections.deque(addresses)
        tries: set[asyncio.Task[httpcore.AsyncNetworkStream]] = set()
        failed: BaseException | None = None
        try:
            while waiting or tries:
                if waiting:
                    tries.add(asyncio.create_task(self.inner.connect_tcp(waiting.popleft(), port, timeout)))
                delay_s = STAGGER_S if waiting else None
                done, _ = await asyncio.wait(tries, timeout=delay_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    tries.discard(task)
                    if (failed := task.exception()) is None:
                        return task.result()
        finally:
            for task in tries:
                task.cancel()
            for late in await asyncio.gather(*tries, return_exceptions=True):
                if isinstance(late, httpcore.AsyncNetworkStream):
                    await late.aclose()
        raise failed or httpcore.ConnectError("no address")


class Web:
    """The connections to hosts, and to the proxies that the environment names for them."""

    def __init__(self, hosts: Hosts, *, keep: int, environ: Mapping[str, str] = os.environ) -> None:
        self.hosts, self.keep, self.environ = hosts, keep, environ
        self.pools: dict[str, httpcore.AsyncConnectionPool] = {}  # by proxy; "" = none
        self.judged: dict[tuple[str, int], Refused | None] = {}  # hosts that a proxy looks up

    async def get(self, url: httpx.URL, headers: Mapping[str, str], timeout_s: float) -> httpcore.Response:
        """Ask for an address once; `Refused` when it may not be asked, `Unusable` when the environment forbids it."""
        asked = {"Host": url.netloc.decode("ascii"), **headers}
        if url.userinfo:
            if not self.hosts.name(url):
                raise Refused("address not allowed: user and password in it")
            asked["Authorization"] = f"Basic {base64.b64encode(f'{url.username}:{url.password}'.encode()).decode()}"
        variable, proxy = proxies.named(url, self.environ)
        if proxy not in self.pools:
            self.pools[proxy] = self._opened(variable, proxy)
        if proxy:
            await self._judge(url.raw_host.decode("ascii"), port(url))
        return await self.pools[proxy].handle_async_request(
            httpcore.Request(
                "GET",
                httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in asked.items()],
                extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout_s)},
            )
        )

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self.pools.values():
            await pool.aclose()

    async def _judge(self, host: str, port: int) -> None:
        if (host, port) not in self.judged:
            self.judged[host, port] = None
            try:
                self.hosts.judge(host, port, await resolve(host, port))
            except Refused as refused:
                self.judged[host, port] = refused
            except httpcore.ConnectError:
                pass  # only the proxy knows it
        if refusal := self.judged[host, port]:
            raise Refused(str(refusal))

    def _opened(self, variable: str, proxy: str) -> httpcore.AsyncConnectionPool:
        url = proxies.usable(variable, proxy) if proxy else None
        context = proxies.certificates(self.environ)
        return httpcore.AsyncConnectionPool(
            ssl_context=context,
            proxy=proxies.opened(url, context) if url else None,
            max_connections=None,
            max_keepalive_connections=self.keep,
            keepalive_expiry=KEPT_S,
            network_backend=None if url else Guard(self.hosts),
        )
