"""A load on a service over HTTP/1.1: connections that are kept, requests made beforehand, answers only counted.

As many clients as are wanted ask one after the other (`fastest`), or requests come at a rate whatever became of those
before (`steady`): then a time begins when the request was due, not when it could be sent, so that a service that stops
is not measured by the few requests that it let through (G. Tene, "How not to measure latency", 2015).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

OPEN = 32  # connections of a load at a rate, before more are needed
Check = Callable[[bytes], bool]
Result = TypeVar("Result")


@dataclass
class Load:
    """What came of a load: seconds of each answer, statuses other than 200, and answers that a check found torn."""

    wall_s: float = 0.0
    times_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)  # other than 200; 0 is a connection that broke
    torn: int = 0

    @property
    def failed(self) -> int:
        """How many were not answered with 200."""
        return self.statuses.total()

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.times_s) / self.wall_s

    def at(self, share: float) -> float:
        """Return the milliseconds within which a share of the answers came."""
        return float(np.quantile(self.times_s, share)) * 1e3 if self.times_s else float("nan")


def get(path: str, headers: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Return a request as it is sent."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{_lines(headers)}\r\n".encode()


def post(path: str, photo: bytes, **fields: str) -> bytes:
    """Return a request with a photo as it is sent."""
    return upload("POST", path, photo, {}, **fields)


def upload(method: str, path: str, photo: bytes, headers: Mapping[str, str], **fields: str) -> bytes:
    """Return a request of any method with a photo and fields of a form, as it is sent."""
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    file = b'Content-Disposition: form-data; name="photo"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    body = b"".join(b"--xxxxxxxx\r\n" + part + b"\r\n" for part in [*parts, file + photo]) + b"--xxxxxxxx--\r\n"
    own = {"Content-Type": "multipart/form-data; boundary=xxxxxxxx", "Content-Length": str(len(body))}
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{_lines({**own, **headers})}\r\n"
    return head.encode() + body


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def failures(loads: "Sequence[Load]") -> str:
    """Return how many requests of loads failed, and with which statuses."""
    found = sum((one.statuses for one in loads), Counter[int]())
    why = f" ({', '.join(f'{count} with {status}' for status, count in found.items())})" if found else ""
    return f"{found.total()}{why}"


class Connection:
    """A connection that is kept."""

    def __init__(self, port: int) -> None:
        self._port, self._streams = port, None  # type: int, tuple[asyncio.StreamReader, asyncio.StreamWriter] | None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return status and body; 0 where the connection broke.

        A server may close a connection that was idle: as any client does, the request is then sent on a new one, once.
        """
        kept = self._streams is not None
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            at = lower.index(b"content-length: ") + 16
            body = await reader.readexactly(int(lower[at : lower.index(b"\r", at)]))
            return int(head[9:12]), body
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            if kept and not getattr(error, "partial", b""):
                return await self.ask(request)
            return 0, b""

    def close(self) -> None:
        """Let it go."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def opened(port: int) -> list[Connection]:
    """Return connections that are open before what is timed begins, so that to open them is no part of it."""
    free = [Connection(port) for _ in range(OPEN)]
    await asyncio.gather(*(connection.ask(get("/healthz")) for connection in free))
    return free


async def _one(connection: Connection, request: bytes, due_s: float, load: Load, check: Check | None) -> None:
    status, body = await connection.ask(request)
    if status != 200:
        load.statuses[status] += 1
        return
    load.times_s.append(time.perf_counter() - due_s)
    load.torn += check is not None and not check(body)


def fastest(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    """Ask with so many clients, each one request at a time, as long as it takes."""
    load = Load()

    async def client(number: int, until_s: float) -> None:
        connection, at = Connection(port), number
        while (now_s := time.perf_counter()) < until_s:
            await _one(connection, requests[at % len(requests)], now_s, load, None)
            at += clients
        connection.close()

    async def ask() -> None:
        begun_s = time.perf_counter()
        await asyncio.gather(*(client(number, begun_s + seconds) for number in range(clients)))
        load.wall_s = time.perf_counter() - begun_s

    run(ask())
    return load


def steady(port: int, requests: Sequence[bytes], rate: float, seconds: float, check: Check | None = None) -> Load:
    """Ask at a rate, at times drawn by chance (a Poisson process), on as many connections as it takes."""
    load, rng = Load(), np.random.default_rng(1)
    due = np.cumsum(rng.exponential(1 / rate, int(rate * seconds)))

    async def ask() -> None:
        free = await opened(port)
        tasks: set[asyncio.Task[None]] = set()
        begun_s = time.perf_counter()

        async def one(at: int, due_s: float) -> None:
            connection = free.pop() if free else Connection(port)
            await _one(connection, requests[at % len(requests)], due_s, load, check)
            free.append(connection)

        for at, after_s in enumerate(due):
            if (wait_s := begun_s + after_s - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            task = asyncio.create_task(one(at, begun_s + after_s))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        load.wall_s = time.perf_counter() - begun_s
        for connection in free:
            connection.close()

    run(ask())
    return load


def ceiling(seconds: float, body_bytes: int = 5000, clients: int = 16) -> float:
    """Return how many answers a second are counted of a server in another process that does nothing."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_nothing, args=(theirs, body_bytes), daemon=True)
    process.start()
    load = fastest(ours.recv(), [get("/")], clients, seconds)
    process.terminate()
    process.join()
    return load.rate


def _nothing(pipe: object, body_bytes: int) -> None:
    answer = f"HTTP/1.1 200 OK\r\ncontent-length: {body_bytes}\r\n\r\n".encode() + bytes(body_bytes)

    class Answers(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(answer)  # type: ignore[attr-defined]

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])  # type: ignore[attr-defined]
        await server.serve_forever()

    run(serve())


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a load in a loop of its own that costs little."""
    import uvloop

    return uvloop.run(work)
