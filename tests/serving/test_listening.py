"""Sockets of several processes: new connections are dealt out among those that listen, and to no other."""

import contextlib
import multiprocessing
import select
import socket
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

from visnet.serving.listening import TAKEN, in_each, listen

SPAWNED = multiprocessing.get_context("spawn")


def take(sockets: list[socket.socket], told: Connection) -> None:
    """Listen, and take what has come when the other end of a pipe speaks; say how many connections that were."""
    for one in sockets:
        one.listen(64)
    told.send("listening")
    told.recv()
    kept = []
    while ready := select.select(sockets, [], [], 0)[0]:
        kept += [one.accept()[0] for one in ready]
    told.send(len(kept))


@contextlib.contextmanager
def process(sockets: list[socket.socket]) -> Iterator[Connection]:
    ours, theirs = SPAWNED.Pipe()
    child = SPAWNED.Process(target=take, args=(sockets, theirs))
    child.start()
    try:
        assert ours.recv() == "listening"
        yield ours
    finally:
        child.kill()
        child.join()


def connect(port: int, count: int) -> None:
    """Open so many connections, and close them."""
    with contextlib.ExitStack() as held:
        for _ in range(count):
            held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))


def test_each_process_is_dealt_its_part_of_new_connections() -> None:
    with in_each("127.0.0.1", 0) as sockets:
        port = sockets[0].getsockname()[1]
        assert {one.getsockname()[1] for one in sockets} == {port}
        with pytest.raises(ConnectionRefusedError):  # whoever is not ready gets none
            connect(port, 1)
        with process(sockets) as one, process(sockets) as other:
            connect(port, 128)
            counts = []
            for told in (one, other):
                told.send("enough")
                counts.append(told.recv())
    assert sum(counts) == 128
    assert min(counts) > 24, counts  # of 64, give or take 6 by chance


def test_a_process_that_has_ended_is_dealt_none() -> None:
    with in_each("127.0.0.1", 0) as sockets, process(sockets) as one:
        port = sockets[0].getsockname()[1]
        with process(sockets):
            pass
        connect(port, 32)
        one.send("enough")
        assert one.recv() == 32


def test_a_port_in_use_is_refused_to_several_processes_as_to_one() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"--port {port} is in use"), in_each("127.0.0.1", port):
            pass
    with (
        in_each("127.0.0.1", port) as sockets,
        process(sockets),
        pytest.raises(ValueError, match=f"--port {port} is in use"),
        in_each("127.0.0.1", port),
    ):
        pass
    assert len(sockets) == TAKEN
