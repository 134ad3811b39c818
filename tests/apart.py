"""`python -m visnet …`, each run in a process of its own that is forked from one with everything imported."""

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from tests.workspace import environment
from visnet import __main__ as visnet
from visnet.pipeline.stage import STAGES

# The process that is forked has imported Lance, but started nothing of it.
warnings.filterwarnings("ignore", message="lance is not fork-safe")
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "tests.apart",
        "lightning_fabric",
        "mlflow",
        "torch._dynamo",
        *(f"visnet.stages.{stage}" for stage in STAGES),
        "tests.warm",
    ]
)

Fault = Callable[[], None]


@contextlib.contextmanager
def within(folder: Path) -> Iterator[None]:
    """Work in a folder, on one thread."""
    before, threads = Path.cwd(), torch.get_num_threads()
    os.chdir(folder)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        os.chdir(before)
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Done:
    """How a process ended: its exit code (negative: the signal that killed it), what it wrote, and how long it took."""

    returncode: int
    stdout: str
    stderr: str
    wall_s: float


class Work:
    """A process that runs commands in a folder, one after the other, up to the first that fails."""

    def __init__(
        self,
        folder: Path,
        *commands: str | Sequence[str],
        fault: Fault | None = None,
        file_bytes: int | None = None,
    ) -> None:
        """Start it: with a fault laid first; no file may pass `file_bytes`."""
        self._streams = Path(tempfile.mkdtemp(prefix="streams-"))  # not in the folder, whose disk may be full
        words = [command.split() if isinstance(command, str) else list(command) for command in commands]
        self._begun_s = time.monotonic()
        self._child = SERVER.Process(
            target=_work, args=(folder, words, self._streams, environment(), fault, file_bytes)
        )
        self._child.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Leave nothing behind of what was not ended, nor of what it started itself."""
        if self._streams.exists():
            if self.alive:
                self.signal(signal.SIGTERM)
            self.end(kill_after_s=10)

    @property
    def alive(self) -> bool:
        return self._child.is_alive()

    def line(self, number: int = 0) -> str:
        """Wait for a line that it writes to stdout, and return it; "" where it has ended without."""
        stdout, _ = _streams(self._streams)
        while True:
            alive = self.alive
            lines = stdout.read_text(encoding="utf-8").splitlines(keepends=True) if stdout.exists() else []
            if len(lines) > number and lines[number].endswith("\n"):
                return lines[number].rstrip("\n")
            if not alive:
                return ""
            time.sleep(0.02)

    def signal(self, *numbers: signal.Signals) -> None:
        """Send it signals, one after the other."""
        assert self._child.pid is not None
        for number in numbers:
            os.kill(self._child.pid, number)

    def end(self, kill_after_s: float | None = None) -> Done:
        """Wait for it, or kill -9 it after so long."""
        self._child.join(kill_after_s)
        if self._child.is_alive():
            self.signal(signal.SIGKILL)
            self._child.join()
        assert self._child.exitcode is not None
        stdout, stderr = (path.read_text() if path.exists() else "" for path in _streams(self._streams))
        shutil.rmtree(self._streams)
        return Done(self._child.exitcode, stdout, stderr, time.monotonic() - self._begun_s)


def _streams(folder: Path) -> tuple[Path, Path]:
    return folder / "stdout", folder / "stderr"


def _work(
    folder: Path,
    commands: Sequence[Sequence[str]],
    streams: Path,
    environ: Mapping[str, str],
    fault: Fault | None,
    file_bytes: int | None,
) -> None:
    for number, path in enumerate(_streams(streams), start=1):
        with path.open("wb") as file:
            os.dup2(file.fileno(), number)
    os.dup2(sys.stdin.fileno(), 0)  # where processes look for it that this one starts
    sys.stdin = os.fdopen(0, closefd=False)
    os.environ.clear()
    os.environ.update(environ)
    if file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    if fault is not None:
        fault()
    with within(folder):
        for words in commands:
            sys.argv = ["visnet", *words]
            if code := visnet.main():
                sys.exit(code)
