"""The services of docker/compose.yaml and compose.objects.yaml as plain processes, with loopback's addresses."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import httpx
import yaml

from tests.docker.postgresql import PASSWORD, Postgresql
from tests.orchestration.running import environment, free_port, wait
from tests.workspace import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WITH_STORE = yaml.safe_load((ROOT / "docker/compose.objects.yaml").read_text())
OTHERS = ("postgres", "prometheus", "grafana")  # whose images are others'
OURS = tuple(name for name in SERVICES if name not in OTHERS)
ANSWERING = ("mlflow", "mlflow-page", "code", "webserver", "serve")  # the daemon has no port
UI_PASSWORD = "a password of the pages"
OBJECTS_KEY = "a key of the store"
STORE_PORTS = ("master", "volume", "filer")  # whose numbers the container's address space has to itself


class Composed:
    """What runs of it, in one workspace."""

    def __init__(self, workspace: Path, postgresql: Postgresql, secrets: Path) -> None:
        self.workspace, self.postgresql = workspace, postgresql
        self.ports = {name: free_port() for name in (*OURS, "objects")}
        secrets.mkdir()
        (secrets / "postgres_password").write_text(f"{PASSWORD}\n")
        (secrets / "ui_password").write_text(f"{UI_PASSWORD}\n")
        (secrets / "objects_key").write_text(f"{OBJECTS_KEY}\n")
        self._secrets, self._running = secrets, dict[str, subprocess.Popen[bytes]]()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def environment(self, name: str) -> dict[str, str]:
        """Return what a service of compose.yaml finds, on one machine without Docker."""
        given = SERVICES[name]["environment"] | WITH_STORE["services"].get(name, {}).get("environment", {})
        given = {key: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value) for key, value in given.items()}
        given = {key: value.replace("/run/secrets", str(self._secrets)) for key, value in given.items()}
        given |= {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": str(self.postgresql.port), "HOST": "127.0.0.1"}
        given |= {"MLFLOW_ADDRESS": self.url("mlflow"), "CODE_ADDRESS": f"127.0.0.1:{self.ports['code']}"}
        given |= {"VISNET_PROJECT": str(ROOT), "DAGSTER_HOME": str(self.workspace / ".dagster")}
        if "PORT" in given:
            given["PORT"] = str(self.ports[name])
        if "AWS_ENDPOINT_URL" in given:
            given["AWS_ENDPOINT_URL"] = self.url("objects")
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

    def start_store(self) -> None:
        """Start the object store by its own words, which its container runs; wait until it is healthy."""
        (words,) = WITH_STORE["services"]["objects"]["command"]
        folder = self._secrets.with_name("objects")
        folder.mkdir(exist_ok=True)
        for here, there in (
            ("$$", "$"), ("/run/secrets", str(self._secrets)), ("-dir=/data", f"-dir={folder}"),
            ("-ip=objects", "-ip=127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("8333", str(self.ports["objects"])),
        ):  # fmt: skip
            assert here in words
            words = words.replace(here, there)
        ports = " ".join(f"-{part}.port={free_port()} -{part}.port.grpc={free_port()}" for part in STORE_PORTS)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {"PATH": path, "HOME": str(folder), "AWS_ACCESS_KEY_ID": "visnet"}
        with self.log("objects").open("ab") as log:
            self._running["objects"] = subprocess.Popen(
                ["sh", "-c", f"{words} {ports} -s3.port.grpc={free_port()}"],
                env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        (address,) = (word for word in WITH_STORE["services"]["objects"]["healthcheck"]["test"] if "://" in word)
        address = address.replace("8333", str(self.ports["objects"]))
        wait(lambda: answers(address), f"the object store to answer: {self.log('objects')}")

    def store(self) -> Any:
        """Return a client of the object store."""
        who = {"aws_access_key_id": "visnet", "aws_secret_access_key": OBJECTS_KEY, "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=self.url("objects"), **who)

    def healthy(self, name: str) -> bool:
        """Ask as the health check of compose.yaml does, once there is something at the port to ask."""
        if name in ANSWERING and not answers_at(self.ports[name]):
            return False
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
        """Have the services end by themselves, and then kill the store, which takes longer than all of them."""
        store = self._running.pop("objects", None)
        for process in self._running.values():
            process.terminate()
        until = time.monotonic() + 20
        for process in self._running.values():
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if store is not None:
            os.killpg(store.pid, signal.SIGKILL)
            store.wait()

    def log(self, name: str) -> Path:
        return self.workspace.parent / f"{name}.log"

    def _command(self, name: str) -> list[str]:
        return [sys.executable, "-m", "orchestration.ui.roles", *SERVICES[name]["command"]]


def answers_at(port: int) -> bool:
    """Whether a server listens: a look that costs nothing, where each health check is a process."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False).is_success
    except httpx.HTTPError:
        return False
