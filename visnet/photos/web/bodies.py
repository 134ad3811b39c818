"""The body of an answer, as long as it may be: bytes counted as they come, and as they unfold."""

import zlib
from collections.abc import AsyncIterable

from visnet.photos.web.locators import Refused

GZIP, ZLIB, BARE = 31, 15, -15  # zlib's words for the header that is expected


class BodyCut(Exception):
    """The body ended before it was whole."""


class BodyTooLarge(Exception):
    """The body is larger than it may be."""


async def read(chunks: AsyncIterable[bytes], encoding: str, limit_bytes: int) -> bytes:
    """Return a body of at most so many bytes; never many more than these are held, whatever a chunk unfolds to.

    encoding: the Content-Encoding. Errors: `BodyTooLarge`, `BodyCut`, `Refused` for what cannot be decoded.
    """
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise Refused("undecodable: unknown content encoding")
    body, came_bytes = bytearray(), 0
    unfolding = None
    async for chunk in chunks:
        came_bytes += len(chunk)
        if came_bytes > limit_bytes:
            raise BodyTooLarge
        if encoding in ("", "identity"):
            body += chunk
        elif chunk:
            unfolding = unfolding or zlib.decompressobj(_header(encoding, chunk))
            try:
                body += b"" if unfolding.eof else unfolding.decompress(chunk, limit_bytes + 1 - len(body))
            except zlib.error as error:
                raise Refused("undecodable: broken content encoding") from error
        if len(body) > limit_bytes:
            raise BodyTooLarge
    if unfolding and not unfolding.eof:
        raise BodyCut
    return bytes(body)


def _header(encoding: str, chunk: bytes) -> int:
    if encoding != "deflate":
        return GZIP
    return ZLIB if chunk[0] & 0x0F == 8 else BARE  # some send it without the header that belongs there
