"""A body is no longer than it may be, however it is folded; what is held at once is bounded."""

import asyncio
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import pytest

from tests.image_server import ImageServer, gzip_bomb
from tests.photos.web.fetching import QUICK
from visnet.photos.web import bodies, download
from visnet.photos.web.locators import Refused
from visnet.photos.web.options import FetchOptions
from visnet.photos.web.room import Held, Room

PLAIN = bytes(range(256)) * 40


def packed(wbits: int) -> bytes:
    packing = zlib.compressobj(6, wbits=wbits)
    return packing.compress(PLAIN) + packing.flush()


def read(body: bytes, encoding: str, limit_bytes: int = 20_000, chunk: int = 100) -> bytes:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(body), chunk):
            yield body[at : at + chunk]

    return asyncio.run(bodies.read(chunks(), encoding, limit_bytes))


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        *(("", PLAIN), ("identity", PLAIN), (" GZIP ", packed(31)), ("x-gzip", packed(31))),
        *(("deflate", packed(15)), ("deflate", packed(-15)), ("gzip", packed(31) + b"what follows its end")),
    ],
)
def test_a_body_is_decoded_as_its_encoding_says(encoding: str, body: bytes) -> None:
    assert read(body, encoding) == PLAIN
    assert read(body, encoding, limit_bytes=len(PLAIN)) == PLAIN
    with pytest.raises(bodies.BodyTooLarge):
        read(body, encoding, limit_bytes=len(PLAIN) - 1)


@pytest.mark.parametrize(
    ("encoding", "body", "error"),
    [
        ("br", PLAIN, Refused),
        ("gzip, gzip", PLAIN, Refused),
        ("x" * 9999, PLAIN, Refused),
        ("gzip", PLAIN, Refused),
        ("deflate", b"\x08nonsense", Refused),
        ("gzip", packed(31)[:-9], bodies.BodyCut),
    ],
)
def test_what_cannot_be_decoded_is_refused(encoding: str, body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(body, encoding)
    assert read(b"", "gzip") == b""


def test_a_bomb_never_unfolds_beyond_the_limit() -> None:
    body = gzip_bomb()
    tracemalloc.start()
    with pytest.raises(bodies.BodyTooLarge):
        read(body, "gzip", limit_bytes=2_000_000, chunk=len(body))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6, "of 64 MB"


def test_what_has_come_and_is_not_taken_is_bounded_in_bytes(photo: bytes) -> None:
    """Photos of 300 kB and room for 1 MB: three come, though twelve may be under way."""
    large = photo + bytes(300_000)
    options = FetchOptions(**{**QUICK, "max_mb": 1.0, "deadline_s": 2.0}, held_mb=1.0, concurrency=12)
    with ImageServer(large) as server:
        line = download._Line([(str(i), server.url(f"{i}.jpg")) for i in range(20)], options, "", {}, None)
        try:
            server.stopped.wait(2.5)  # longer than the deadline: the server's time does not run while we make it wait
            assert line.answers.qsize() == 3
            assert 0 <= line.room.free < len(large)
            assert {line.take().data for _ in range(20)} == {large}
        finally:
            line.stop()


def test_room_is_given_in_the_order_of_coming_and_comes_back_when_a_waiter_goes() -> None:
    async def check() -> None:
        room = Room(10)
        first, second, third, large = (Held(room) for _ in range(4))
        assert first.take_now(8)
        waiting = asyncio.create_task(second.take(5))
        after = asyncio.create_task(third.take(1))
        await asyncio.sleep(0)
        assert (room.free, waiting.done(), after.done()) == (2, False, False), "no small one overtakes"
        waiting.cancel()
        await asyncio.wait([waiting, after])
        assert (room.free, third.count, second.count) == (1, 1, 0)
        first.keep(3)
        assert room.free == 6
        whole = asyncio.create_task(large.take(99))  # more than there is: all of it
        await asyncio.sleep(0)
        for held in (first, third):
            held.keep(0)
        await whole
        assert (room.free, large.count) == (0, 10)
        late = asyncio.create_task(first.take(1))
        await asyncio.sleep(0)
        large.keep(0)  # its turn has come, and it is cancelled before it runs
        late.cancel()
        await asyncio.wait([late])
        assert room.free == 10

    asyncio.run(check())
