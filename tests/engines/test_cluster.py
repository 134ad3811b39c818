"""What a user is told where no cluster can be had, and how many processes find room on one."""

import logging
import socket
import sys
import time
from types import SimpleNamespace

import pytest

from visnet.engines import cluster
from visnet.engines.cluster import Cluster, Node, connected, imported


def test_ray_that_is_not_installed_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ValueError, match=r"^engine = 'ray': Ray is not installed; run pip install 'visnet\[ray\]'$"):
        imported()


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "no.such.host.invalid:6379"])
def test_an_address_where_no_cluster_is_is_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        named = address.format(taken.getsockname()[1])
        monkeypatch.setenv("RAY_ADDRESS", named)
        begun_s = time.monotonic()
        with pytest.raises(ValueError, match=f"^engine = 'ray': no cluster at RAY_ADDRESS = '{named}': ") as raised:
            connected().__enter__()
    assert "\n" not in str(raised.value)
    assert time.monotonic() - begun_s < 15


def test_handlers_that_are_not_of_ray_go_on_speaking() -> None:
    ray = SimpleNamespace(_private=SimpleNamespace(worker=SimpleNamespace()))  # the real one reads the environment once
    own, theirs = logging.StreamHandler(), logging.StreamHandler()
    root, named = logging.getLogger(), logging.getLogger("ray.data")
    for logger, handler in ((root, own), (named, own), (named, theirs)):
        logger.addHandler(handler)
    try:
        cluster._hush(ray)
        assert own.level == logging.NOTSET
        assert theirs.level > logging.CRITICAL
    finally:
        root.removeHandler(own)
        for handler in (own, theirs):
            named.removeHandler(handler)


@pytest.mark.parametrize(
    ("nodes", "cpus", "count"),
    [([(4, 0)], 1, 4), ([(4, 0), (2, 0)], 4, 1), ([(4, 0), (3, 1), (1, 0)], 2, 3)],
)
def test_processes_are_as_many_as_find_room(nodes: list[tuple[int, int]], cpus: int, count: int) -> None:
    assert Cluster(tuple(Node(*one) for one in nodes), local=True).fit(cpus) == count


@pytest.mark.parametrize("nodes", [(), (Node(3, 0), Node(2, 1))])
def test_nodes_that_are_too_small_are_refused(nodes: tuple[Node, ...]) -> None:
    with pytest.raises(ValueError, match=r"works with 4 threads; set OMP_NUM_THREADS to at most [13]"):
        Cluster(nodes, local=False).fit(4)
