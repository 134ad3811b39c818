"""Web addresses that may be asked: well formed, and of a host of the public web or one that the parameters name."""

import ipaddress
import re
from collections.abc import Iterable, Sequence

import httpx

from visnet.photos.web.locators import Refused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA = frozenset(  # where clouds tell a machine its secrets; some of these are in no private network
    map(ipaddress.ip_address, ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"))
)
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_WEB6 = ipaddress.IPv6Network("2000::/3")  # all that is given out for the public
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def kind(address: Address) -> str | None:
    """Return what an address that is not of the public web is: "loopback", "private", …; None of a public one."""
    inner = _inside(address)
    if address in METADATA:
        return "metadata service"
    if inner is not None:
        return kind(inner)
    kinds = ("unspecified", "loopback", "link_local", "multicast", "private", "reserved")
    found = next((name for name in kinds if getattr(address, f"is_{name}")), None)
    public = address.is_global and (address.version == 4 or address in _WEB6)
    return found.replace("_", "-") if found else None if public else "reserved"


def _inside(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if found := address.ipv4_mapped or address.sixtofour:
        return found
    low = int(address) & 0xFFFFFFFF
    if address in _NAT64[0] or address in _NAT64[1] or (int(address) >> 32 == 0 and low > 1):  # ::a.b.c.d
        return ipaddress.IPv4Address(low)
    return None


class Hosts:
    """The hosts that may be asked though they are not of the public web: by name, address or network."""

    def __init__(self, allowed: Iterable[str] = (), base: str = "") -> None:
        """Allow those of the parameter `allow_hosts`, and the host and port of the source's own address `base`."""
        self.names: set[str] = set()
        self.networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for entry in allowed:
            text = entry.strip().removeprefix("[").removesuffix("]")
            try:
                self.networks.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                if not is_name(text):
                    raise ValueError(
                        f"{entry!r} is not allowed; a host's name, an address or a network such as 10.0.0.0/8 is"
                    ) from None
                self.names.add(_plain(text))
        self.base: tuple[str, int] | None = None
        if "://" in base:
            try:
                url = parsed(base)
            except Refused as refused:
                raise ValueError(f"{base!r}: {refused}; the address of a folder of photos is wanted") from None
            self.base = (_host(url), port(url))

    def name(self, url: httpx.URL) -> bool:
        """Whether the parameters name the host of an address, as it is written."""
        host = _host(url)
        if self.base == (host, port(url)) or _plain(host) in self.names:
            return True
        try:
            return self.allow(ipaddress.ip_address(host))
        except ValueError:
            return False

    def allow(self, address: Address) -> bool:
        """Whether the parameters name an address or its network."""
        forms = [form for form in (address, _inside(address)) if form is not None]
        return any(form.version == net.version and form in net for form in forms for net in self.networks)

    def judge(self, host: str, port: int, addresses: Sequence[str]) -> list[str]:
        """Return those of a host's addresses that may be connected to; `Refused` when there is none."""
        if self.base == (host, port) or _plain(host) in self.names:
            return list(addresses)
        kinds = {}
        for text in addresses:
            address = ipaddress.ip_address(text.partition("%")[0])
            kinds[text] = None if self.allow(address) else kind(address)
        if not (allowed := [text for text, found in kinds.items() if found is None]):
            raise Refused(f"address not allowed: {next(iter(kinds.values()))}")
        return allowed


def is_name(host: str) -> bool:
    """Whether a text may be a host's name."""
    plain = host.removesuffix(".")
    return 0 < len(plain) <= 253 and all(_LABEL.fullmatch(label) for label in plain.split("."))


def port(url: httpx.URL) -> int:
    """Return the port that an address leads to."""
    return url.port if url.port is not None else {"https": 443}.get(url.scheme, 80)


def parsed(text: str) -> httpx.URL:
    """Read a web address; `Refused` when no host can be asked by it."""
    try:
        url = httpx.URL(text)
        host = _host(url)
    except Exception as error:  # of a hostile text the parser, IDNA and codecs raise many kinds
        raise Refused("bad address") from error
    if url.scheme not in ("http", "https"):
        raise Refused("scheme not supported")
    if not 0 < port(url) < 65536 or not (is_name(host) or ":" in host):
        raise Refused("bad address")
    return url


def _host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii")


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")
