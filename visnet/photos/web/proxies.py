"""What the environment says of the way to the web: proxies, hosts asked without one, and certificates.

What cannot be used there is `Unusable`, in one line with the variable and its value, and not the fault of any photo.
"""

import importlib.util
import ipaddress
import os
import ssl
from collections.abc import Mapping

import httpcore
import httpx

from visnet.photos.web.addresses import port

SCHEMES = ("http", "https", "socks5", "socks5h")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")


class Unusable(ValueError):
    """The environment names a proxy or certificates that cannot be used."""


def named(url: httpx.URL, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the variable that names the proxy for an address, and its value; two "" when it is asked without one."""
    names = [name for lower in (f"{url.scheme}_proxy", "all_proxy") for name in (lower, lower.upper())]
    if "REQUEST_METHOD" in environ:  # of a web server: HTTP_PROXY may be a visitor's header
        names.remove(f"{url.scheme}_proxy".upper())
    variable = next((name for name in names if environ.get(name, "").strip()), "")
    without = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not variable or exempt(url, without):
        return "", ""
    return variable, environ[variable].strip()


def exempt(url: httpx.URL, no_proxy: str) -> bool:
    """Whether a list such as `localhost,.corp,10.0.0.0/8,host:81,[::1]` names the host; nonsense names none."""
    host = url.host.rstrip(".").lower()
    for entry in no_proxy.split(","):
        text = entry.strip().lower().rpartition("://")[2]
        if text == "*":
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(text.strip("[]"), strict=False):
                return True
        except ValueError:
            pass
        name, _, digits = text.rpartition(":") if text.count(":") == 1 else (text, "", "")
        name = name.removeprefix("*").strip(".")
        if name and (host == name or host.endswith(f".{name}")) and digits in ("", str(port(url))):
            return True
    return False


def usable(variable: str, value: str) -> httpx.URL:
    """Read the address of the proxy that a variable names."""
    shown = f"{variable}={_without_password(value)}"
    try:
        url = httpx.URL(value if "://" in value else f"http://{value}")
    except Exception as error:  # of nonsense the parser and codecs raise several kinds
        raise Unusable(f"{shown}: not an address of a proxy; unset it, or give http://HOST:PORT") from error
    if url.scheme not in SCHEMES:
        raise Unusable(f"{shown}: {', '.join(SCHEMES)} are the kinds of proxy that can be used")
    if not url.host or not 0 < port(url) < 65536:
        raise Unusable(f"{shown}: not an address of a proxy; unset it, or give http://HOST:PORT")
    if url.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise Unusable(f"{shown}: a SOCKS proxy needs the package socksio; install it, or unset the variable")
    return url


def opened(url: httpx.URL, context: ssl.SSLContext) -> httpcore.Proxy:
    """Return the proxy of an address."""
    return httpcore.Proxy(
        httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=b"/"),
        auth=(url.username, url.password) if url.userinfo else None,
        ssl_context=context if url.scheme == "https" else None,
    )


def certificates(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Read the certificates of whom to trust, from where the environment says."""
    named = {name: environ[name] for name in CERTIFICATES if environ.get(name)}
    if (file := named.get("SSL_CERT_FILE")) and not os.path.isfile(file):
        raise Unusable(f"SSL_CERT_FILE={file}: no such file; unset it, or name a file of certificates")
    if not file and (folder := named.get("SSL_CERT_DIR")) and not os.path.isdir(folder):
        raise Unusable(f"SSL_CERT_DIR={folder}: no such folder; unset it, or name a folder of certificates")
    try:
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        shown = ", ".join(f"{name}={value}" for name, value in named.items()) or "certifi"
        raise Unusable(f"{shown}: certificates cannot be read: {' '.join(str(error).split())}") from error


def _without_password(value: str) -> str:
    scheme, mark, rest = value.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
