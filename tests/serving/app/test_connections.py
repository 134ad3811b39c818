"""New connections are taken soon, however busy those are that stay open."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from tests.serving.app.processes import process, ready

KEPT, FRESH = 32, 64


class Connection:
    """A connection that stays open, over which one request is answered after the other."""

    def __init__(self, url: str) -> None:
        self.host, self.port = urlsplit(url).hostname, urlsplit(url).port

    async def open(self) -> "Connection":
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        return self

    async def ask(self) -> None:
        self.writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200")
        await self.reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


def test_new_connections_are_answered_before_those_that_stay_have_had_many_more_turns(shop: Path) -> None:
    """Were one taken a turn, the others would have been answered up to 32 times for each of the 64: 2,048 times."""
    answered, done = 0, False

    async def busy(connection: Connection) -> None:
        nonlocal answered
        while not done:
            await connection.ask()
            answered += 1
        await connection.close()

    async def fresh(url: str) -> None:
        connection = await Connection(url).open()
        await connection.ask()
        await connection.close()

    async def load(url: str) -> int:
        nonlocal done
        kept = [asyncio.create_task(busy(await Connection(url).open())) for _ in range(KEPT)]
        while answered < 10 * KEPT:
            await asyncio.sleep(0.01)
        before = answered
        await asyncio.gather(*(fresh(url) for _ in range(FRESH)))
        meanwhile, done = answered - before, True
        await asyncio.gather(*kept)
        return meanwhile

    with process(shop) as (_, url):
        ready(url)
        assert asyncio.run(load(url)) < KEPT * FRESH / 3
