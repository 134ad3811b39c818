"""The socket that a page or service of ours answers on."""

import contextlib
import errno
import socket
from collections.abc import Iterator

WAITING = 128  # connections that may wait to be taken
REUSED = socket.SO_REUSEADDR, socket.SO_REUSEPORT  # another one may be bound to the port, and listen beside it
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
def taking_several(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Lend a socket that listens several times over, for an event loop that takes one new connection a turn from each.

    libuv does (its pull request 3696), and in each turn answers all connections that have asked: new ones waited ten
    seconds for 64 that were kept busy. Errors as of `listen`.
    """
    with listen(host, port) as listening, contextlib.ExitStack() as held:
        yield [listening, *(held.enter_context(contextlib.closing(listening.dup())) for _ in range(TAKEN - 1))]


class InEach(socket.socket):
    """A bound socket in whose place a process that it is sent to has one of its own, at the same port.

    What listens is only those. The kernel deals new connections out among them; where processes take theirs from one
    socket, the first to wake up takes all that came together, and keeps them.
    """

    @classmethod
    def bound(cls, family: int, address: str, port: int) -> "InEach":
        """Return one that may not listen yet."""
        found = cls(family)
        for option in REUSED:
            found.setsockopt(socket.SOL_SOCKET, option, 1)
        found.bind((address, port))
        return found

    def __reduce__(self) -> tuple[object, ...]:
        """Have whoever unpickles it bind another one."""
        return InEach.bound, (int(self.family), *self.getsockname()[:2])


@contextlib.contextmanager
def in_each(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Lend what several processes are to listen on, each by sockets of its own; errors as of `listen`."""
    with listen(host, port) as tried:
        family, (address, port) = tried.family, tried.getsockname()[:2]
    with contextlib.ExitStack() as held:
        yield [held.enter_context(InEach.bound(family, address, port)) for _ in range(TAKEN)]
