"""A small web server for tests that answers each path well or badly, as its plan says, and counts what it saw."""

import collections
import email.utils
import functools
import http.server
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from typing import Self


def png_header(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header announces a photo of that size."""

    def chunk(tag: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@functools.cache
def gzip_bomb() -> bytes:
    """Return 64 kB that unfold to 64 MB."""
    packing = zlib.compressobj(1, wbits=31)
    return b"".join(packing.compress(bytes(1 << 20)) for _ in range(64)) + packing.flush()


_LONG_AGO = "Mon, 05 Jan 2026 00:00:00 GMT"


class Gauge:
    """How many requests are being answered at once, and the most that ever were."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __enter__(self) -> Self:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        return self

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.now -= 1


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "ImageServer"

    def do_GET(self) -> None:
        path = self.path.split("?")[0].strip("/")
        with self.server.gauge, self.server.total:
            self.server.hits[path] += 1
            self.server.hosts.add(self.headers.get("Host", ""))
            self.server.asked.append((path, time.monotonic(), self.headers.get("User-Agent", "")))
            self.server.stopped.wait(self.server.pause_s)
            self.server.on_hit.pop(path, lambda: None)()
        FAULTS[self.server.plan.get(path, "good")](self)

    def say(self, status: int, body: bytes = b"", *, length: int | None = -1, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def raw(self, answer: bytes) -> None:
        self.close_connection = True
        self.wfile.write(answer)

    def good(self, **more: str) -> None:
        path = self.path.split("?")[0].strip("/")
        body = self.server.photos.get(path, self.server.photo)
        marks = {"ETag": f'"{zlib.crc32(body)}"', "Last_Modified": self.server.dates.get(path, _LONG_AGO)}
        marks = {name: value for name, value in marks.items() if name in self.server.marks}
        asked = {"ETag": self.headers.get("If-None-Match"), "Last_Modified": self.headers.get("If-Modified-Since")}
        if any(asked[name] == value for name, value in marks.items()):
            self.server.not_modified[path] += 1
            self.say(304, length=None, **marks)
        else:
            self.server.bodies[path] += 1
            self.say(200, body, Content_Type="image/jpeg", **marks, **more)

    def first(self, times: int, bad: Callable[[], None]) -> None:
        bad() if self.server.hits[self.path.strip("/")] <= times else self.good()

    def reset(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def short(self) -> None:
        self.close_connection = True
        self.say(200, self.server.photo[:-100], length=len(self.server.photo))

    def slow(self) -> None:
        self.server.stopped.wait(30)

    def dribble(self) -> None:
        self.say(200, length=len(self.server.photo))
        for byte in self.server.photo:
            if self.server.stopped.wait(0.05):
                return
            self.wfile.write(bytes([byte]))

    def dribble_head(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not self.server.stopped.wait(0.05):
            self.wfile.write(b"a")

    def huge(self) -> None:
        """Send without end and without saying how much."""
        self.close_connection = True
        self.say(200, length=None, Connection="close")
        while not self.server.stopped.is_set():
            self.wfile.write(bytes(1 << 16))
            self.server.sent += 1 << 16

    def said_large(self) -> None:
        """Say that much comes, and send nothing."""
        self.say(200, length=1 << 40)
        self.server.stopped.wait(30)

    def log_message(self, *_: object) -> None:
        pass


FAULTS: dict[str, Callable[[Handler], None]] = {
    "good": Handler.good,
    # mended by patience, or by following
    "busy": lambda to: to.first(2, lambda: to.say(503, b"busy", Retry_After="0")),
    "busy_2s": lambda to: to.first(1, lambda: to.say(429, Retry_After="2")),
    "busy_date": lambda to: to.first(1, lambda: to.say(503, Retry_After=email.utils.formatdate(usegmt=True))),
    "odd_cookie": lambda to: to.good(Set_Cookie="a=b; Domain=\u00e4..; Expires=never; =;;, \x7f"),
    "busy_odd": lambda to: to.first(1, lambda: to.say(502, Retry_After="soon")),
    "reset_once": lambda to: to.first(1, to.reset),
    "short_once": lambda to: to.first(1, to.short),
    "slow_once": lambda to: to.first(1, to.slow),
    "moved": lambda to: to.good() if "?" in to.path else to.say(302, b"see there", Location=to.path + "?moved"),
    # not to be mended
    "busy_always": lambda to: to.say(503, Retry_After="0"),
    "gone": lambda to: to.say(404, b"no such photo"),
    "forbidden": lambda to: to.say(403),
    "nothing": lambda to: to.say(204),
    "html": lambda to: to.say(200, b"<html>This product is no longer available</html>", Content_Type="text/html"),
    "empty": lambda to: to.say(200, b"", Content_Type="image/jpeg"),
    "cut": lambda to: to.say(200, to.server.photo[:-100]),
    "bomb": lambda to: to.say(200, png_header(30_000, 30_000)),
    "reset": Handler.reset,
    "short": Handler.short,
    "slow": Handler.slow,
    "dribble": Handler.dribble,
    "dribble_head": Handler.dribble_head,
    "huge": Handler.huge,
    "circle": lambda to: to.say(302, Location=to.path),
    "elsewhere": lambda to: to.say(302, Location=to.server.locations[to.path.strip("/")]),
    "gzip_bomb": lambda to: to.say(200, gzip_bomb(), Content_Encoding="gzip"),
    "said_large": Handler.said_large,
    "bad_head": lambda to: to.raw(b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n"),
    "bad_status": lambda to: to.raw(b"ICY 200 OK\r\n\r\n"),
    "bad_chunk": lambda to: to.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
    "two_lengths": lambda to: to.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
    "long_head": lambda to: to.raw(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 200_000 + b"\r\n\r\n"),
}


class ImageServer(http.server.ThreadingHTTPServer):
    """Serve one photo under every path, on a free loopback port, with the faults of `plan`: path -> name in FAULTS."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, photo: bytes, plan: Mapping[str, str] | None = None, *, pause_s: float = 0, total: Gauge | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.photo, self.plan, self.pause_s = photo, dict(plan or {}), pause_s
        self.hits: collections.Counter[str] = collections.Counter()
        self.asked: list[tuple[str, float, str]] = []  # path, monotonic time, user agent
        self.gauge, self.total = Gauge(), total or Gauge()
        self.sent = 0
        self.hosts: set[str] = set()  # as they were asked for
        self.locations: dict[str, str] = {}  # path -> where "elsewhere" sends it
        self.on_hit: dict[str, Callable[[], None]] = {}  # path -> what happens when it is first asked for
        self.photos: dict[str, bytes] = {}  # path -> bytes other than `photo`
        self.marks: tuple[str, ...] = ()  # of "ETag" and "Last_Modified": what it sends, and answers a condition on
        self.dates: dict[str, str] = {}  # path -> Last-Modified
        self.bodies: collections.Counter[str] = collections.Counter()  # photos sent whole
        self.not_modified: collections.Counter[str] = collections.Counter()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="image-server")

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.shutdown()
        self.thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that hangs up is what is tested
