"""A Ray cluster of several node processes on loopback, as `ray start` makes them; and a node that is killed."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

# A lost node is noticed within seconds, where Ray's own settings take half a minute.
SETTINGS = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "6",
    "RAY_raylet_start_wait_time_s": "180",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "OMP_NUM_THREADS": "1",
}
SMALL = ("--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats", "--block")
SMALL += ("--include-log-monitor=false",)  # a process for each node, to tell a driver what it does not ask for
RAY = Path(sys.executable).with_name("ray")


class Nodes:
    """The nodes of a cluster, each a process of `ray start --block` and what that starts."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.folder, self.environment = folder, environment
        self.nodes: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> None:
        """Start a node, and wait until it runs; two at once would choose the same names for their sockets."""
        said = self.folder / f"node-{len(self.nodes)}.txt"
        with said.open("wb") as file:
            node = subprocess.Popen(
                [str(RAY), "start", *words, *SMALL],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.nodes.append(node)
        until = time.monotonic() + 200
        while "Ray runtime started" not in said.read_text(encoding="utf-8"):
            assert node.poll() is None, said.read_text(encoding="utf-8")
            assert time.monotonic() < until, said.read_text(encoding="utf-8")
            time.sleep(0.1)

    def head(self) -> None:
        """Start the node that the others join."""
        port = self.address.rpartition(":")[2]
        self.start("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={self.folder}")

    def join(self) -> None:
        """Start another node."""
        self.start(f"--address={self.address}")

    def processes(self) -> list[psutil.Process]:
        """List what the nodes have started and is not dead."""
        found = []
        for node in self.nodes:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += psutil.Process(node.pid).children(recursive=True)
        return [process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]

    def stop(self) -> None:
        """End all nodes, and wait until nothing is left of them."""
        left = self.processes()
        for node in self.nodes:
            node.terminate()
        for node in self.nodes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(20)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for node in self.nodes:
            node.kill()
            node.wait()


def kill(node: subprocess.Popen[bytes]) -> None:
    """Kill -9 the raylet of a node; its workers go with it."""
    raylet = next(one for one in psutil.Process(node.pid).children(recursive=True) if one.name() == "raylet")
    os.kill(raylet.pid, signal.SIGKILL)


@contextlib.contextmanager
def cluster(folder: Path, count: int) -> Iterator[Nodes]:
    """Start so many nodes with a CPU each; within, `RAY_ADDRESS` and its token are in the environment."""
    ours = {**SETTINGS, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    nodes = Nodes(folder, {**os.environ, **ours})
    before = dict(os.environ)
    try:
        nodes.head()
        for _ in range(count - 1):
            nodes.join()
        os.environ.update({**ours, "RAY_ADDRESS": nodes.address})
        yield nodes
    finally:
        nodes.stop()
        for name in (*ours, "RAY_ADDRESS"):
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]
