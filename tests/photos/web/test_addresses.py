"""Which addresses are asked: those of the public web, and of hosts that the parameters name; no other is touched."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import httpcore
import pytest

from tests.image_server import ImageServer
from tests.photos.web.fetching import fetch_all
from visnet.photos.web import network
from visnet.photos.web.addresses import Hosts, kind, parsed
from visnet.photos.web.locators import Refused
from visnet.photos.web.options import FetchOptions

ODD = {
    "bad address": [
        *("http://", "http:/x.jpg", "http:x", "https://?x", "://", "http://[::1/x", "http://[::g]/x", "///x.jpg"),
        *("http://127.0.0.1:80800/a", "http://shop.example:0/a", "http://shop.example:99999999999/", "http://a:b:c/"),
        *("http://a b/x", "http://a..b/x", "http://.a/x", "http://-a/x", "http://a_-/x", "http://" + "a" * 64 + "/x"),
        *("http://" + "a." * 2000 + "b/x", "http://\0/", "http://a\nb/", "http://shop.example/\x01", "http://\ud800/x"),
        *(
            "http://xn--/x",
            "http://\u202e/x",
            "http://%00/x",
            "http://\u2488.com/x",
            "http://１２７.0.0.1/",
            "http://0177.0.0.1/",
        ),
    ],
    "scheme not supported: ftp": ["ftp://a/b.jpg", "FTP://a/b.jpg"],
    "scheme not supported: s3": ["s3://bucket/x.jpg"],
    "scheme not supported: data": ["data:image/png;base64,iVBORw0KGgo="],
    "scheme not supported": ["gopher://a/b", "x1+y://a"],
    "path of a Windows machine": ["C:\\photos\\1.jpg", "d:/1.jpg", "\\\\server\\share\\1.jpg"],
    "path outside the folder": ["file:///etc/hostname", "/etc/hostname", "../x", "~/x.jpg", "x.jpg"],
}

REFUSED = {
    "loopback": ["127.0.0.1", "127.1", "127.9.9.9", "2130706433", "0x7f.1", "0x7f000001", "localhost",
                 "LOCALHOST", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
                 "[::127.0.0.1]"],
    "metadata service": ["169.254.169.254", "2852039166", "[::ffff:169.254.169.254]", "[fd00:ec2::254]",
                         "100.100.100.200", "168.63.129.16", "169.254.170.2"],
    "link-local": ["169.254.1.1", "[fe80::1]"],
    "private": ["10.0.0.1", "172.16.3.4", "192.168.1.1", "167772161", "[fc00::1]", "[fd12::1]", "[::ffff:10.0.0.1]"],
    "unspecified": ["0.0.0.0", "0", "[::]"],
    "multicast": ["224.0.0.1", "239.1.2.3", "[ff02::1]"],
    "reserved": ["100.64.0.1", "[64:ff9a::1]", "[4000::1]"],
}  # fmt: skip


def test_odd_locators_are_lost_with_the_reason_and_the_others_come(photo: bytes) -> None:
    with ImageServer(photo) as server:
        good = server.url("good.jpg")
        wanted = [(text, text) for texts in ODD.values() for text in texts]
        reasons = {a.photo_id: a.lost for a in fetch_all([*wanted, (good, good)], tries=1, base="/nowhere")}
    assert reasons == {text: reason for reason, texts in ODD.items() for text in texts} | {good: None}


def test_addresses_that_only_this_machine_can_reach_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreached(*asked: Any, **_: Any) -> None:
        raise AssertionError(f"connected to {asked}")

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", unreached)
    wanted = [(host, f"http://{host}:8080/x.jpg") for hosts in REFUSED.values() for host in hosts]
    reasons = {a.photo_id: a.lost for a in fetch_all(wanted, allow_hosts=[])}
    assert reasons == {host: f"address not allowed: {name}" for name, hosts in REFUSED.items() for host in hosts}
    assert {a.passing for a in fetch_all(wanted[:3], allow_hosts=[])} == {False}


@pytest.mark.parametrize(
    ("allowed", "asked"),
    [
        (["127.0.0.1"], ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "user:pass@127.0.0.1"]),
        (["127.0.0.0/8"], ["127.0.0.1", "127.1"]),
        (["localhost"], ["localhost", "LocalHost"]),
        (["[::ffff:127.0.0.1]"], ["[::ffff:127.0.0.1]"]),
    ],
)
def test_what_the_parameters_name_is_asked(photo: bytes, allowed: list[str], asked: list[str]) -> None:
    with ImageServer(photo) as server:
        port = server.server_address[1]
        wanted = [(host, f"http://{host}:{port}/x.jpg") for host in (*asked, "0.0.0.0")]
        reasons = {a.photo_id: a.lost for a in fetch_all(wanted, allow_hosts=allowed)}
    assert reasons == {**dict.fromkeys(asked), "0.0.0.0": "address not allowed: unspecified"}


def test_a_redirect_is_judged_as_an_address_is(photo: bytes) -> None:
    with ImageServer(photo) as server, ImageServer(photo) as other:
        port = other.server_address[1]
        there = {
            "bad_port": ("http://127.0.0.1:99999/x.jpg", "bad address"),
            "inside": (f"http://localhost:{port}/x.jpg", "address not allowed: loopback"),
            "inside_by_number": (f"//2130706434:{port}/x.jpg", "address not allowed: loopback"),
            "password": (f"http://a:b@127.0.0.2:{port}/", "address not allowed: user and password in it"),
            "disk": ("file:///etc/hostname", "scheme not supported"),
            "nonsense": ("http://[", "bad address"),
        }
        server.locations = {path: location for path, (location, _) in there.items()}
        server.plan |= dict.fromkeys(there, "elsewhere")
        answers = fetch_all([(path, server.url(path)) for path in there], allow_hosts=[], base=server.url(""))
        assert {a.photo_id: a.lost for a in answers} == {path: reason for path, (_, reason) in there.items()}
        assert not other.hits


def test_a_password_in_an_address_is_sent_only_to_a_named_host() -> None:
    url = parsed("http://user:pass@10.0.0.1/x")
    assert Hosts(["10.0.0.0/8"]).name(url)
    assert not Hosts(["10.0.0.2"]).name(url)
    assert not Hosts().name(parsed("http://user:pass@shop.example/x"))
    with pytest.raises(Refused, match="user and password"):
        asyncio.run(network.Web(Hosts(), keep=1, environ={}).get(url, {}, 1.0))


def test_the_sources_own_address_is_trusted_and_its_folder_is_not_left(photo: bytes) -> None:
    with ImageServer(photo) as server, ImageServer(photo) as other:
        base = server.url("photos")
        expected = {
            f"{base}/1.jpg": None,
            f"{base}/a/../1.jpg": None,
            f"{base}/a\\1.jpg": None,
            f"{base}/1.jpg?x=../../2": None,
            f"{base}/../1.jpg": "path outside the folder",
            f"{base}/a/..%2f..\\%2e%2e/1.jpg": "path outside the folder",
            other.url("1.jpg"): "address not allowed: loopback",  # the same host, but not the port that was named
        }
        answers = fetch_all([(url, url) for url in expected], allow_hosts=[], base=base)
    assert {a.photo_id: a.lost for a in answers} == expected


@pytest.fixture
def rebinding(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A name whose server answers with the next of these addresses at each look-up, the last one for ever."""
    given: list[str] = []
    real = asyncio.BaseEventLoop.getaddrinfo

    async def looked_up(self: asyncio.AbstractEventLoop, host: Any, port: Any, **more: Any) -> Any:
        if host != "rebinding.example":
            return await real(self, host, port, **more)
        address = given.pop(0) if len(given) > 1 else given[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (part, port)) for part in address.split()]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", looked_up)
    return given


def test_the_connection_goes_to_the_address_that_was_judged(
    photo: bytes, rebinding: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when it is judged and loopback when it is connected to gains nothing."""
    connected, real = [], httpcore.AnyIOBackend.connect_tcp

    async def noted(self: Any, host: str, port: int, *more: Any, **named: Any) -> Any:
        connected.append(host)
        if host == "203.0.114.7":
            raise httpcore.ConnectError("nobody is there")
        return await real(self, host, port, *more, **named)

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", noted)
    with ImageServer(photo) as server:
        url = f"http://rebinding.example:{server.server_address[1]}/x.jpg"
        rebinding[:] = ["203.0.114.7", "127.0.0.1"]
        assert [a.lost for a in fetch_all([("x", url)], tries=1, allow_hosts=[])] == ["no connection"]
        assert (connected, rebinding, server.hits) == (["203.0.114.7"], ["127.0.0.1"], {})
        assert [a.lost for a in fetch_all([("x", url)], tries=1, allow_hosts=[])] == ["address not allowed: loopback"]
        rebinding[:] = ["203.0.114.7 127.0.0.1"]  # both at once: only the public one is tried
        assert [a.lost for a in fetch_all([("x", url)], tries=1, allow_hosts=[])] == ["no connection"]
        assert set(connected) == {"203.0.114.7"}
        answers = fetch_all([("x", url)], tries=1, allow_hosts=["127.0.0.1"])  # a host's next one is tried, too
        assert ([a.lost for a in answers], connected[-2:]) == ([None], ["203.0.114.7", "127.0.0.1"])
        assert server.hosts == {f"rebinding.example:{server.server_address[1]}"}


def test_public_addresses_are_public() -> None:
    for text in ("8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"):
        assert kind(ipaddress.ip_address(text)) is None, text


@pytest.mark.parametrize("entry", ["http://a/", "a b", "10.0.0.0/33", "*", "", "a/b", "x:80"])
def test_a_parameter_that_names_no_host_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"allow_hosts[\s\S]*a host's name, an address or a network"):
        FetchOptions(allow_hosts=[entry])
