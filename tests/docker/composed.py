"""The services of docker/compose.yaml as plain processes: its commands and environment, with loopback's addresses."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from tests.docker.postgresql import PASSWORD, Postgresql
from tests.orchestration.running import environment, free_port, wait
from tests.workspace import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OTHERS = ("postgres", "prometheus", "grafana")  # whose images are others'
OURS = tuple(name for name in SERVICES if name not in OTHERS)
UI_PASSWORD = "a password of the pages"


class Composed:
    """What runs of it, in one workspace."""

    def __init__(self, workspace: Path, postgresql: Postgresql, secrets: Path) -> None:
        self.workspace, self.postgresql = workspace, postgresql
        self.ports = {name: free_port() for name in OURS}
        secrets.mkdir()
        (secrets / "postgres_password").write_text(f"{PASSWORD}\n")
        (secrets / "ui_password").write_text(f"{UI_PASSWORD}\n")
        self._secrets, self._running = secrets, dict[str, subprocess.Popen[bytes]]()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def environment(self, name: str) -> dict[str, str]:
        """Return what a service of compose.yaml finds, on one machine without Docker."""
        given = {key: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value) for key, value in SERVICES[name]["environment"].items()}
        given = {key: value.replace("/run/secrets", str(self._secrets)) for key, value in given.items()}
        given |= {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": str(self.postgresql.port), "HOST": "127.0.0.1"}
        given |= {"MLFLOW_ADDRESS": self.url("mlflow"), "CODE_ADDRESS": f"127.0.0.1:{self.ports['code']}"}
        given |= {"VISNET_PROJECT": str(ROOT), "DAGSTER_HOME": str(self.workspace / ".dagster")}
        if "PORT" in given:
            given["PORT"] = str(self.ports[name])
        if "MLFLOW_ARTIFACTS" in given:
            given["MLFLOW_ARTIFACTS"] = str(self.workspace / ".mlflow/artifacts")
        return {**environment(), "PYTHONPATH": "", **given}

    def once(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a service to its end."""
        return subprocess.run(
            self._command(name), cwd=self.workspace, env=self.environment(name), capture_output=True, text=True
        )

    def tried(self, role: str, changed: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a role with another environment, which it refuses."""
        env = {**self.environment(role if role in SERVICES else "prepare"), **changed}
        words = [sys.executable, "-m", "orchestration.ui.roles", role]
        return subprocess.run(words, cwd=self.workspace, env=env, capture_output=True, text=True)

    def start(self, *names: str) -> None:
        """Start services, and wait until they answer."""
        self.start_unready(*names)
        for name in names:
            wait(lambda name=name: self.healthy(name), f"{name} to answer: {self.log(name)}")  # type: ignore[misc]

    def start_unready(self, *names: str) -> None:
        for name in names:
            with self.log(name).open("ab") as words:
                self._running[name] = subprocess.Popen(
                    self._command(name), cwd=self.workspace, env=self.environment(name), stdin=subprocess.DEVNULL,
                    stdout=words, stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip

    def healthy(self, name: str) -> bool:
        """Ask as the health check of compose.yaml does."""
        words = SERVICES[name]["healthcheck"]["test"]
        assert words[0] == "CMD"
        words = [str(self.ports["code"]) if word == "4000" else word for word in words[1:]]
        program = [sys.executable] if words[0] == "python" else [str(Path(sys.executable).with_name(words[0]))]
        done = subprocess.run(
            [*program, *words[1:]], cwd=self.workspace, env=self.environment(name), capture_output=True
        )
        return done.returncode == 0

    def alive(self, name: str) -> bool:
        return self._running[name].poll() is None

    def kill(self, name: str) -> None:
        """Kill a service with all that is in its container."""
        os.killpg(self._running[name].pid, signal.SIGKILL)
        self._running.pop(name).wait()

    def stop(self) -> None:
        for process in self._running.values():
            process.terminate()
        until = time.monotonic() + 20
        for process in self._running.values():
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def log(self, name: str) -> Path:
        return self.workspace.parent / f"{name}.log"

    def _command(self, name: str) -> list[str]:
        return [sys.executable, "-m", "orchestration.ui.roles", *SERVICES[name]["command"]]
