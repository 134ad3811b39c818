"""The server processes of `make ui`: how each is started, whether it answers, and what happens when one dies."""

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from orchestration.bridge.commands import reason_of
from orchestration.bridge.process import end_group, marked

DEATHS, WITHIN_S = 5, 120.0  # a server that dies this often is not started again
GRACE_S = (15.0, 15.0, 5.0)


class ServerError(RuntimeError):
    """One line on why the servers cannot go on."""


@dataclass
class Server:
    """One server: what runs it, what it writes to `log`, and the address at which it answers, if it has one."""

    name: str
    command: Sequence[str]
    env: dict[str, str]
    log: Path
    health: str = ""
    auth: tuple[str, str] | None = None
    ready: Callable[[], bool] | None = None
    after_death: Callable[[], None] | None = None  # what is to be put right before it starts again
    deaths: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start it, with a log of its own."""
        self.log.write_bytes(b"")
        self._start()

    def _start(self) -> None:
        self._mark = uuid.uuid4().hex
        with self.log.open("ab") as words:
            self.process = subprocess.Popen(
                [sys.executable, *self.command],
                env=marked(self.env, self._mark),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; we end them in order
            )

    def answers(self) -> bool:
        """Whether it is ready: it answers its health address, where it has one."""
        if self.ready is not None:
            return self.ready()
        if not self.health:
            return self.process.poll() is None
        try:
            return httpx.get(self.health, timeout=5, trust_env=False, auth=self.auth).is_success
        except httpx.TransportError:
            return False

    def death(self) -> str:
        """Return how it ended, with the last words of its log; "" while it runs."""
        code = self.process.poll()
        if code is None:
            return ""
        lines = [line for line in self.log.read_text(errors="replace", encoding="utf-8").splitlines() if line.strip()]
        how = f" (exit code {code})" if code >= 0 else ""
        return f"{self.name} ended by itself{how}: {reason_of(lines, code)} (all of it in {self.log})"

    def revive(self) -> None:
        """Start it again where it has died, and say so; raise `ServerError` where it dies again and again."""
        death = self.death()
        if not death:
            return
        now = time.monotonic()
        self.deaths = [*(at for at in self.deaths if at > now - WITHIN_S), now]
        if len(self.deaths) >= DEATHS:
            raise ServerError(f"{death}; it did so {DEATHS} times in {WITHIN_S:g} s")
        print(f"{death}; starting it again", file=sys.stderr, flush=True)
        self.stop()  # what it has left
        if self.after_death is not None:
            self.after_death()
        self._start()

    def stop(self) -> None:
        """End it, and all that it has started."""
        end_group(self.process, GRACE_S, self._mark)


def await_all(servers: Sequence[Server], timeout_s: float) -> None:
    """Wait until all answer; raise `ServerError` when one dies or takes too long."""
    until, waiting = time.monotonic() + timeout_s, list(servers)
    while waiting:
        for server in servers:
            if death := server.death():
                raise ServerError(death)
        waiting = [server for server in waiting if not server.answers()]
        if waiting and time.monotonic() > until:
            raise ServerError(f"{waiting[0].name} did not answer in {timeout_s:g} s; see {waiting[0].log}")
        time.sleep(0.2)
