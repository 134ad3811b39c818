"""Run a program in a process group of its own, pass its words on as they come, and leave nothing of it behind."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

TAIL_BYTES = 16_384


def run(command: Sequence[str], *, cwd: Path, env: Mapping[str, str], grace_s: float) -> tuple[int, list[str]]:
    """Run `command` to its end; return its exit code and the last lines that it said.

    Whatever ends this call early (a cancelled run, Ctrl-C) ends the whole group: interrupted first, as a terminal
    would, then terminated and killed, `grace_s` apart. Signalling the program alone would not do: DVC ignores an
    interrupt while its command runs.
    """
    child = subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        tail = _pass_on(child)
        return child.wait(), _lines(tail)
    finally:
        end_group(child, grace_s)


def end_group(child: "subprocess.Popen[bytes]", grace_s: float) -> None:
    """End every process in the group that `child` leads; no-op when none is left."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if not _living(child):
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, sign)
        until = time.monotonic() + grace_s
        while _living(child) and time.monotonic() < until:
            time.sleep(0.1)
    if child.stdout is not None:
        child.stdout.close()


def _pass_on(child: "subprocess.Popen[bytes]") -> bytes:
    assert child.stdout is not None
    pipe, tail = child.stdout.fileno(), b""
    while True:
        if select.select([pipe], [], [], 0.5)[0]:
            said = os.read(pipe, 65_536)
            if not said:
                return tail
            sys.stdout.buffer.write(said)
            sys.stdout.flush()
            tail = (tail + said)[-TAIL_BYTES:]
        elif child.poll() is not None:  # a grandchild may hold the pipe open for ever
            return tail


def _lines(said: bytes) -> list[str]:
    text = said.decode(errors="replace").replace("\r", "\n")
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def _living(child: "subprocess.Popen[bytes]") -> list[int]:
    child.poll()  # reaps the leader; others that are dead may stay zombies where nobody reaps them
    living = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == child.pid and process.status() != psutil.STATUS_ZOMBIE:
                living.append(process.pid)
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            continue
    return living
