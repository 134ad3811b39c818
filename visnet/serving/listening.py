"""The socket that a page or service of ours answers on."""

import errno
import socket

WAITING = 128  # connections that may wait to be taken


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
