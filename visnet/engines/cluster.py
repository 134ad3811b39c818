"""A Ray cluster for as long as work takes: the one that `RAY_ADDRESS` names, or one of this machine's own."""

import contextlib
import logging
import os
import pickle
import secrets
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import visnet
from visnet.pipeline.log import SILENT, Log

ADDRESS = "RAY_ADDRESS"
QUIET = {  # Ray's own words stay in the files of its session; what a user must know, we say
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_raylet_start_wait_time_s": "120",  # of a busy machine
}
AUTHENTICATION = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
KNOCK_S = 10.0
LOGGERS = ("ray", "ray.data", "ray._private")
_said: set[str] = set()


@dataclass(frozen=True)
class Node:
    """What a node of the cluster has."""

    cpus: int
    gpus: int


@dataclass(frozen=True)
class Cluster:
    """The nodes that live when the work begins; `local` when the cluster is this machine's own."""

    nodes: tuple[Node, ...]
    local: bool

    def __str__(self) -> str:
        """Say how large it is."""
        one = len(self.nodes) == 1
        where = "a Ray cluster of this machine's own" if self.local else "the Ray cluster"
        cpus, gpus = sum(node.cpus for node in self.nodes), f" and {self.gpus} GPUs" if self.gpus else ""
        return f"on {where}, {len(self.nodes)} node{'s' * (not one)} with {cpus} CPUs{gpus}"

    @property
    def gpus(self) -> int:
        """The GPUs of all nodes."""
        return sum(node.gpus for node in self.nodes)

    def fit(self, cpus: int) -> int:
        """Return how many processes of so many CPUs find room on the nodes; `ValueError` when not even one does."""
        count = sum(node.cpus // cpus for node in self.nodes)
        if not count:
            most = max((node.cpus for node in self.nodes), default=0)
            raise ValueError(
                f"engine = 'ray': the largest node of the cluster has {most} CPUs, and a process works with {cpus} "
                f"threads; set OMP_NUM_THREADS to at most {max(1, most)}, or start larger nodes"
            )
        return count


def imported() -> Any:
    """Import Ray and its Data, quietly; `ValueError` says how to install it."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray.data
    except ImportError:
        raise ValueError("engine = 'ray': Ray is not installed; run pip install 'visnet[ray]'") from None
    return ray


@contextlib.contextmanager
def connected(log: Log = SILENT) -> Iterator[Cluster]:
    """Connect to the cluster that `RAY_ADDRESS` names, or start one of this machine's CPUs and GPUs and stop it again.

    What it has is said. However the work ends, its processes on the cluster end, too; a process that is connected
    already stays so. `ValueError` when no cluster answers there.
    """
    address = os.environ.get(ADDRESS, "")
    local = address in ("", "local")
    where = "no cluster could be started here" if local else f"no cluster at {ADDRESS} = {address!r}"
    with contextlib.ExitStack() as stack:
        with _refused(where):
            if local:
                _own_token()
            else:
                _knock(address)
        ray = imported()
        if ray.is_initialized():
            yield _cluster(ray, log, local=False)
            return
        stack.callback(ray.shutdown)
        with _refused(where), _signals_kept(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "lance is not fork-safe")  # what is forked runs another program
            ray.init(**_options(ray, local))
        _hush(ray)
        yield _cluster(ray, log, local=local)


@contextlib.contextmanager
def _refused(where: str) -> Iterator[None]:
    """Say in a line why there is no cluster."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(f"engine = 'ray': {where}: {why}") from None


def original(error: BaseException) -> BaseException:
    """Return what was raised in a process of the cluster, without Ray's wrappings."""
    while isinstance(inner := getattr(error, "cause", None) or error.__cause__, BaseException):
        error = inner
    return error


def portable(error: Exception) -> Exception:
    """Return an error that travels from a process of the cluster to this one: of one that does not, its words."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _options(ray: Any, local: bool) -> dict[str, Any]:
    """Choose what `ray.init` is told; a cluster of one's own has no dashboard."""
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.CRITICAL,
        # Nodes of this machine import the code that this process runs; others have it installed.
        "job_config": ray.job_config.JobConfig(_py_driver_sys_path=[str(Path(visnet.__file__).parents[1])]),
    }
    own = {"address": "local", "include_dashboard": False}
    return options | (own if local else {})


def _knock(address: str) -> None:
    """Raise `OSError` at once when nothing listens at `HOST:PORT`, where Ray would go on trying for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), KNOCK_S).close()


def _cluster(ray: Any, log: Log, *, local: bool) -> Cluster:
    living = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    found = Cluster(tuple(Node(int(one.get("CPU", 0)), int(one.get("GPU", 0))) for one in living), local)
    log.say(f"  {found}")
    return found


def _own_token() -> None:
    """Draw a token for the clusters of this process, which Ray reads at its import, unless there is one.

    Left to itself, Ray would leave one in the home folder.
    """
    if "ray" not in sys.modules and not any(name in os.environ for name in AUTHENTICATION):
        os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Put back the handlers that Ray replaces: a polite stop interrupts the work as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hush(ray: Any) -> None:
    """Have Ray's loggers write to files only, and say in a line each what it tells of nodes, as of one that is lost."""
    ray._private.worker.print_to_stdstream = _first_line
    for name in LOGGERS:
        for handler in logging.getLogger(name).handlers:
            shown = isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
            if shown and handler not in logging.root.handlers:  # those are not of Ray
                handler.setLevel(logging.CRITICAL + 1)


def _first_line(told: Mapping[str, Any], ignore_prefix: bool) -> None:
    """Say the first sentence of each message, once; Ray adds the last lines of a node's own log."""
    for message in told["lines"]:
        sentence = message.partition("\n")[0].partition(". ")[0]
        if sentence not in _said:
            _said.add(sentence)
            print(f"  Ray: {sentence}", file=sys.stderr, flush=True)
