"""Proxies and certificates that the environment names are used, or said in one line after the disk's photos came."""

import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.image_server import ImageServer
from tests.photos.web.fetching import QUICK, fetch_all
from visnet.photos.web import download, proxies
from visnet.photos.web.addresses import parsed
from visnet.photos.web.options import FetchOptions
from visnet.photos.web.proxies import Unusable

UNUSABLE = {
    "ALL_PROXY": ("socks5://me:secret@127.0.0.1:7890", "ALL_PROXY=socks5://127.0.0.1:7890: a SOCKS proxy needs"),
    "all_proxy": ("socks://127.0.0.1:7890/", "all_proxy=socks://127.0.0.1:7890/: http, https, socks5"),
    "http_proxy": ("http://proxy.corp:port", "http_proxy=http://proxy.corp:port: not an address of a proxy"),
    "HTTP_PROXY": ("http://", "HTTP_PROXY=http://: not an address of a proxy"),
    "SSL_CERT_FILE": ("/nonexistent/cacert.pem", "SSL_CERT_FILE=/nonexistent/cacert.pem: no such file"),
    "SSL_CERT_DIR": ("/nonexistent", "SSL_CERT_DIR=/nonexistent: no such folder"),
}


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in proxies.CERTIFICATES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variable", UNUSABLE)
def test_what_cannot_be_used_is_said_in_one_line_after_the_photos_of_the_disk_came(
    variable: str, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, said = UNUSABLE[variable]
    monkeypatch.setenv(variable, value)
    wanted = [(str(i), "http://shop.example/x.jpg") for i in range(40)]
    for name in "abc":
        (tmp_path / name).write_bytes(photo)
        wanted.append((name, f"{tmp_path}/{name}"))
    came = []
    with pytest.raises(Unusable) as caught:
        came.extend(a.photo_id for a in download.fetch(wanted, options=FetchOptions(**QUICK), base=str(tmp_path)))
    assert sorted(came) == ["a", "b", "c"]
    assert str(caught.value).startswith(said)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [a.lost for a in fetch_all(wanted[-3:], base=str(tmp_path))] == [None] * 3, "without an address none is read"


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "localhost,127.0.0.0/8", "[::1], 127.0.0.1,::1/128", "*"])
def test_a_host_that_is_exempt_needs_no_usable_proxy(
    no_proxy: str, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:7890")
    monkeypatch.setenv("no_proxy", no_proxy)
    with ImageServer(photo) as server:
        assert [a.lost for a in fetch_all([("x", server.url("x"))])] == [None]


def test_a_photo_comes_through_the_proxy_unless_its_host_is_known_here_to_be_internal(
    photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ImageServer(photo) as proxy:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.server_address[1]}")
        expected = {
            "http://only-the-proxy-knows.invalid/1.jpg": None,
            "http://8.8.8.8/1.jpg": None,
            "http://localhost/1.jpg": "address not allowed: loopback",
            "http://169.254.169.254/1.jpg": "address not allowed: metadata service",
            "http://2130706433/1.jpg": "address not allowed: loopback",
        }
        answers = fetch_all([(url, url) for url in expected], allow_hosts=[])
        assert {a.photo_id: a.lost for a in answers} == expected
        assert proxy.hosts == {"only-the-proxy-knows.invalid", "8.8.8.8"}
        named = fetch_all([("x", "http://localhost/1.jpg")], allow_hosts=["localhost"])
        assert ([a.lost for a in named], "localhost" in proxy.hosts) == ([None], True)


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"http_proxy": "a", "all_proxy": "b"}, "http_proxy"),
        ({"HTTP_PROXY": "a", "all_proxy": "b"}, "HTTP_PROXY"),
        ({"HTTP_PROXY": "a", "REQUEST_METHOD": "GET"}, ""),
        ({"https_proxy": "a", "ALL_PROXY": "b"}, "ALL_PROXY"),
        ({"http_proxy": " "}, ""),
        ({"http_proxy": "a", "no_proxy": "example"}, ""),
        ({"http_proxy": "a", "no_proxy": ".shop.example, x"}, ""),
        ({"http_proxy": "a", "no_proxy": "*.example:80"}, ""),
        ({"http_proxy": "a", "no_proxy": "shop.example:81,hop.example,[,::1/999,,:"}, "http_proxy"),
    ],
)
def test_which_variable_names_the_proxy(environ: dict[str, str], variable: str) -> None:
    assert proxies.named(parsed("http://shop.example/x"), environ)[0] == variable


def test_a_network_of_addresses_is_exempt() -> None:
    assert proxies.exempt(httpx.URL("http://[fd00::1]/"), "fd00::/8")
    assert proxies.exempt(httpx.URL("http://[::1]:8000/"), "[::1]")
    assert not proxies.exempt(httpx.URL("http://10.1.2.3/"), "10.2.0.0/16")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_secure_connection_is_to_the_name_that_was_asked(
    photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is what was judged; the certificate is still that of the name."""
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*command, "-keyout", key, "-out", certificate, *subject], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ImageServer(photo) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        wanted = [(host, f"https://{host}:{server.server_address[1]}/x.jpg") for host in ("localhost", "127.0.0.1")]
        answers = fetch_all(wanted, tries=1)
    assert {a.photo_id: a.lost for a in answers} == {"localhost": None, "127.0.0.1": "no secure connection"}
