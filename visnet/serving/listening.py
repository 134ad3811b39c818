"""The socket that a page or service of ours answers on."""

import contextlib
import errno
import socket
from collections.abc import Iterator

WAITING = 128  # connections that may wait to be taken
TAKEN = 8  # new connections that are taken each time that a busy service looks for work


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens, at any free port for 0; `ValueError` in one line when it cannot be had."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(WAITING)  # two sockets may share a port until one of them listens
    except (OSError, OverflowError) as error:
        listening.close()
        busy = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "is in use; name another one, or 0 for any" if busy else f"cannot be had on {host} ({error})"
        raise ValueError(f"--port {port} {why}") from None
    return listening


@contextlib.contextmanager
def taking_several(listening: socket.socket) -> Iterator[list[socket.socket]]:
    """Lend a socket several times over, for an event loop that takes one new connection a turn from each.

    libuv does (its pull request 3696), and in each turn answers all connections that have asked: new ones waited ten
    seconds for 64 that were kept busy. The copies are closed at the end, the socket is not.
    """
    with contextlib.ExitStack() as held:
        yield [listening, *(held.enter_context(contextlib.closing(listening.dup())) for _ in range(TAKEN - 1))]
