"""`visnet serve` as a process of a test's own: forked, or started where that is what is tested."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.apart import Fault, Work
from tests.workspace import ROOT, environment

SERVE = ("serve", "--port", "0")


@contextlib.contextmanager
def process(folder: Path, *words: str, fault: Fault | None = None) -> Iterator[tuple[Work, str]]:
    """Run `visnet serve` in a shop; lend the process and its address, "" if it ended before it had one."""
    with Work(folder, [*SERVE, *words], fault=fault) as work:
        yield work, work.line().rpartition(" ")[2]


@contextlib.contextmanager
def started(
    folder: Path, *words: str, python: tuple[str, ...] = ("-m", "visnet")
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The same in a Python of its own."""
    command = [sys.executable, *python, *SERVE, *words]
    env = {**environment(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        said = child.stdout.readline().split() or child.communicate()
        try:
            yield child, said[-1]
        finally:
            child.kill()


def ready(url: str) -> None:
    """Wait until the service at an address answers."""
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}readyz").status_code == 200:
                return
        time.sleep(0.05)
    pytest.fail("it did not become ready")
