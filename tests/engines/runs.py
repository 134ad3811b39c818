"""Stages run by processes of their own on a cluster, and what is left of them there."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests import forked, workspace
from tests.engines.nodes import Nodes

# Agents of a node, processes without work, and what Ray Data has once in a cluster, for all jobs there will be.
OF_RAY = ("Agent", "IDLE", "ActorLocationTracker", "_Stats", "Autoscaling", "Usage")
RUN = (sys.executable, "-m", "visnet", "run")


def started(folder: Path, stage: str, run: Sequence[str] = RUN) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*run, stage], cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def forked_run() -> tuple[str, ...]:
    """Return the same for a run that ends by itself: it is forked, and a signal would not come to it."""
    return (forked.python(), *RUN[1:])


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(workspace.ROOT), os.environ.get("PYTHONPATH", "")])
    return {**workspace.environment(), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def wait_for(what: Callable[[], bool], of: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 200
    while not what():
        assert of.poll() is None, of.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.02)


def workers(three: Nodes) -> list[str]:
    """Name the processes of jobs on the cluster; Ray's own are not of them, nor what waits for work."""
    names = [process.cmdline()[0] for process in three.processes() if process.name().startswith("ray::")]
    return [name for name in names if not any(own in name for own in OF_RAY)]


def on_the_cluster(said: str) -> bool:
    """Tell whether a run says that it works on the three nodes; one that was killed before may be counted a while."""
    return re.search(r"on the Ray cluster, [34] nodes with [34] CPUs", said) is not None
