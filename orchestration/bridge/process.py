"""Run a program in a process group of its own, pass its output on as it comes, and leave nothing of it behind."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

TAIL_BYTES = 16_384
MARK = "ORCHESTRATION_PROCESS"  # in the environment of a program and of all that it starts: which programs it is of
GRACE_S = (10.0, 5.0, 2.0)  # a training writes its checkpoint, what is deaf to that ends, the kernel clears up


def run(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], grace_s: Sequence[float] = GRACE_S
) -> tuple[int, list[str]]:
    """Run `command` to its end; return its exit code and the last lines of its output.

    Whatever ends this call early (a cancelled run, Ctrl-C) ends the whole group: interrupted first, as a terminal
    would, then terminated and killed, after the waits of `grace_s`. Signalling the program alone would not do: DVC
    ignores an interrupt while its command runs.
    """
    mark = uuid.uuid4().hex
    child = subprocess.Popen(
        command,
        cwd=cwd,
        env=marked(env, mark),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        tail = _pass_on(child)
        return child.wait(), _lines(tail)
    finally:
        end_group(child, grace_s, mark)


def marked(env: Mapping[str, str], mark: str) -> dict[str, str]:
    """Return an environment by which `end_group` finds all that is started in it."""
    return {**env, MARK: " ".join([env.get(MARK, ""), mark]).strip()}


def end_group(child: "subprocess.Popen[bytes]", grace_s: Sequence[float] = GRACE_S, mark: str = "") -> None:
    """End every process in the group that `child` leads, and all with its `mark`; no-op when none is left.

    The mark finds what has left the group for a session of its own, and whose parent is gone.
    """
    for sign, wait_s in zip((signal.SIGINT, signal.SIGTERM, signal.SIGKILL), grace_s, strict=True):
        living = _living(child, mark)
        _signal(living, sign)
        until = time.monotonic() + wait_s
        while living and time.monotonic() < until:
            time.sleep(0.1)
            living = _living(child, mark)
            if sign == signal.SIGKILL:  # also what was started between the look and the kill
                _signal(living, sign)
        if not living:
            break
    if child.stdout is not None:
        child.stdout.close()


def _signal(processes: Sequence[int], sign: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, sign)


def _pass_on(child: "subprocess.Popen[bytes]") -> bytes:
    assert child.stdout is not None
    pipe, tail = child.stdout.fileno(), b""
    while True:
        if select.select([pipe], [], [], 0.5)[0]:
            output = os.read(pipe, 65_536)
            if not output:
                return tail
            sys.stdout.buffer.write(output)
            sys.stdout.flush()
            tail = (tail + output)[-TAIL_BYTES:]
        elif child.poll() is not None:  # a grandchild may hold the pipe open for ever
            return tail


def _lines(output: bytes) -> list[str]:
    text = output.decode(errors="replace").replace("\r", "\n")
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def _living(child: "subprocess.Popen[bytes]", mark: str) -> list[int]:
    child.poll()  # reaps the leader; others that are dead may stay zombies where nobody reaps them
    living = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if os.getpgid(process.pid) == child.pid or (mark and mark in process.environ().get(MARK, "").split()):
                living.append(process.pid)
        except (OSError, psutil.Error):  # ended meanwhile, or another user's
            continue
    return living
