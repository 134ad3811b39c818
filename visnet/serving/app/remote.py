"""Photos by their address on the web, asked for on behalf of people we do not know.

The guard is that of `visnet.photos.web`: every address that a host's name stands for is judged when a connection is
made, redirects included, and the connection goes to the one that was judged.
"""

import ipaddress
import os
from collections.abc import Sequence

from visnet.photos.web import addresses, bodies
from visnet.photos.web.addresses import Hosts
from visnet.photos.web.locators import Refused
from visnet.photos.web.network import Web
from visnet.photos.web.options import FetchOptions
from visnet.photos.web.proxies import CERTIFICATES
from visnet.photos.web.request import Failure, try_once
from visnet.photos.web.room import Held, Room
from visnet.serving.app.problems import Refusal, busy, too_long

PORTS = (80, 443)  # of hosts that the settings do not name
WAIT_S, WHOLE_S = 5.0, 10.0  # for the next bytes, and for all of it with its redirects
KEPT = 4  # idle connections
HELD = 4  # whole photos that are held at a time; others wait
MOST = 8  # requests that may wait for others' servers at a time, so that these cannot use up all that are allowed
NOT_PUBLIC = "url: there is no such host, or it is not of the public web, or its port is not 80 or 443"


class Public(Hosts):
    """Hosts of the public web at the ports of the web, and those that the settings name."""

    def judge(self, host: str, port: int, addresses: Sequence[str]) -> list[str]:
        """Return the addresses that may be connected to; `Refused` when there is none."""
        allowed = super().judge(host, port, addresses)
        if port not in PORTS and not self._named(host, allowed):
            raise Refused("address not allowed: port")
        return allowed

    def _named(self, host: str, allowed: Sequence[str]) -> bool:
        return host.lower().removesuffix(".") in self.names or all(map(self._in_networks, allowed))

    def _in_networks(self, text: str) -> bool:
        return self.allow(ipaddress.ip_address(text.partition("%")[0]))


class Remote:
    """Asks for photos; it belongs to one event loop, and no proxy of the environment is used."""

    def __init__(self, most_bytes: int, hosts: Sequence[str] = ()) -> None:
        """Take hosts that may be asked though they are not public: names, addresses, networks."""
        self._most_bytes = most_bytes
        self._options = FetchOptions(timeout_s=WAIT_S, deadline_s=WHOLE_S, max_mb=most_bytes / 1e6)
        trusted = {name: os.environ[name] for name in CERTIFICATES if name in os.environ}
        self._web = Web(Public(hosts), keep=KEPT, environ=trusted)
        self._asking = 0
        self._room = Room(HELD * most_bytes)

    async def photo(self, url: str) -> bytes:
        """Return what an address answers with; refused with 403 (not to be asked), 413, 422, 503 or 504 (too slow)."""
        if self._asking >= MOST:
            raise busy(f"{MOST} photos are being asked for by their address, as many as are allowed; try again")
        held = Held(self._room)
        self._asking += 1
        try:
            fetched = await try_once(self._web, addresses.parsed(url.strip()), self._options, held)
        except Refused as refused:
            raise Refusal(422, f"url: {refused}; wanted is the http or https address of a photo") from None
        except Failure as failure:
            raise self._refusal(failure) from None
        finally:
            self._asking -= 1
            held.keep(0)
        assert fetched.data is not None, "without validators nothing is answered as unchanged"
        return fetched.data

    async def aclose(self) -> None:
        """Close all connections."""
        await self._web.aclose()

    def _refusal(self, failure: Failure) -> Refusal:
        """Say why none came, and of hosts that may not be asked nothing that is not known outside."""
        if failure.reason == "unknown host" or failure.reason.startswith("address not allowed"):
            return Refusal(403, NOT_PUBLIC)
        if isinstance(failure.__cause__, bodies.BodyTooLarge):
            return too_long(self._most_bytes)
        if failure.reason == "timeout":
            return Refusal(504, f"url: the photo did not come within {WHOLE_S:g} s")
        return Refusal(422, f"url: no photo came: {failure.reason}")
