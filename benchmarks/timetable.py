"""Run commands one after another in a limited time; whatever one of them does, the others have their turn.

Their output is shown as it comes. A command that takes longer than it may is interrupted as by Ctrl-C, so that it can
keep what it has, and killed with all it started if that does not end it.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

GRACE_S = 10.0  # between an interrupt and the kill
LEAST_S = 5.0  # that are left for a command to be begun


@dataclass(frozen=True)
class Part:
    """A command, and the seconds that it may take."""

    name: str
    command: tuple[str, ...]
    limit_s: float


@dataclass(frozen=True)
class Ran:
    """What became of a part: "passed", "failed", "out of time" or "not begun"; output: its lines, errors among them."""

    name: str
    status: str
    took_s: float
    output: tuple[str, ...]


def run(
    parts: Sequence[Part],
    budget_s: float,
    say: Callable[[str], None],
    env: Mapping[str, str] | None = None,
    grace_s: float = GRACE_S,
) -> Iterator[Ran]:
    """Run parts in turn within budget_s, and yield each as it ends; say hears every line of theirs.

    An interrupt ends the part that runs, and then everything.
    """
    end = time.monotonic() + budget_s
    for part in parts:
        left_s = end - time.monotonic()
        if left_s < LEAST_S:
            yield Ran(part.name, "not begun", 0.0, ())
            continue
        say(f"== {part.name}: {' '.join(part.command)}")
        ran = _run(part, min(part.limit_s, left_s), say, env, grace_s)
        say(f"== {part.name}: {ran.status} in {ran.took_s:.1f} s")
        yield ran


def _run(part: Part, limit_s: float, say: Callable[[str], None], env: Mapping[str, str] | None, grace_s: float) -> Ran:
    begun, output = time.monotonic(), []
    process = subprocess.Popen(
        part.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        env={**os.environ, **(env or {})}, start_new_session=True,
    )  # fmt: skip

    stream = process.stdout
    assert stream is not None

    def read() -> None:
        for line in stream:
            output.append(line.rstrip())
            say(output[-1])

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        code = process.wait(limit_s)
        status = "failed" if code else "passed"
    except subprocess.TimeoutExpired:
        status = "out of time"
    finally:
        _end(process, grace_s)
        reader.join(grace_s)
        if not reader.is_alive():  # else a process that has left the group holds it
            stream.close()
    return Ran(part.name, status, time.monotonic() - begun, tuple(output))


def _end(process: "subprocess.Popen[str]", grace_s: float) -> None:
    """Interrupt what still runs, wait, and kill the process with all that it started."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
