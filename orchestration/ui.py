"""Start Dagster and MLflow together on this workspace: `python -m orchestration.ui`; Ctrl-C stops both.

Dagster runs from `.dagster`, MLflow from `.mlflow` (a database, or the address in MLFLOW_TRACKING_URI). A run that is
under way is cancelled, and its stage ended, before the servers go.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx

from orchestration.process import end_group
from orchestration.watch import Dagster, Edits, close_dead_runs

START_S = 180.0
LOOK_EVERY_S = 2.0
MLFLOW_RUNS = "/#/experiments?workflowType=machine_learning"  # else it opens its pages for language models


class UIError(RuntimeError):
    """One line on why the servers cannot go on."""


@dataclass(frozen=True)
class Server:
    """One server of ours: where it answers, and the process group that it runs in."""

    name: str
    url: str
    health: str
    log: Path
    process: "subprocess.Popen[bytes]"

    def answers(self) -> bool:
        """Whether it answers its health address."""
        try:
            return httpx.get(self.url + self.health, timeout=5, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def check(self) -> None:
        """Raise with the last words of its log when it has died."""
        if (code := self.process.poll()) is not None:
            words = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()][-1:]
            raise UIError(f"{self.name} ended by itself (exit code {code}): {''.join(words)} (all of it in {self.log})")


def main(argv: Sequence[str] | None = None) -> int:
    """Run both servers until interrupted; return 0, or 1 when one could not start or died, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="python -m orchestration.ui", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=3000, help="Dagster's port (default: %(default)s)")
    parser.add_argument("--mlflow-port", type=int, default=5000, help="MLflow's port (default: %(default)s)")
    parser.add_argument(
        "--module", default="orchestration.definitions", help="what Dagster loads (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    signal.signal(signal.SIGINT, _interrupt)  # a shell starts what it sends to the background deaf to Ctrl-C
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` wants it
        signal.signal(signal.SIGHUP, _interrupt)
    servers: list[Server] = []
    try:
        _free(args.host, args.port, "--port")
        env = _environment(Path.cwd(), args)
        if not env["MLFLOW_TRACKING_URI"].startswith("http"):
            _free(args.host, args.mlflow_port, "--mlflow-port")
            servers.append(_start_mlflow(args, env))
        servers.append(_start_dagster(args, env))
        _await(servers)
        _say(servers, env)
        _watch(servers, Dagster(_address(args.port)), Path.cwd())
    except KeyboardInterrupt:
        print("\nstopping …", flush=True)
        return 0
    except UIError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        _stop(servers, args.port)


def _start_dagster(args: argparse.Namespace, env: dict[str, str]) -> Server:
    home = Path(env["DAGSTER_HOME"])
    close_dead_runs(home)
    command = ["-m", "dagster_dg_cli.cli", "dev", "-m", args.module, "-d", str(Path.cwd())]
    command += ["--host", args.host, "--port", str(args.port)]
    return _start("Dagster", command, args.port, "/server_info", home / "ui.log", env)


def _start_mlflow(args: argparse.Namespace, env: dict[str, str]) -> Server:
    home = Path.cwd() / ".mlflow"
    command = ["-m", "mlflow", "server", "--backend-store-uri", env["MLFLOW_TRACKING_URI"], "--workers", "1"]
    command += [
        "--artifacts-destination",
        str(home / "artifacts"),
        "--host",
        args.host,
        "--port",
        str(args.mlflow_port),
    ]
    return _start("MLflow", command, args.mlflow_port, "/health", home / "ui.log", env)


def _start(name: str, command: list[str], port: int, health: str, log: Path, env: dict[str, str]) -> Server:
    with log.open("wb") as words:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; we end them in order
        )
    return Server(name, _address(port), health, log, process)


def _environment(root: Path, args: argparse.Namespace) -> dict[str, str]:
    """Return what both servers, and the stages that Dagster starts, find in their environment."""
    home, store = Path(os.environ.get("DAGSTER_HOME", root / ".dagster")), root / ".mlflow"
    home.mkdir(exist_ok=True, parents=True)
    store.mkdir(exist_ok=True)
    if "DAGSTER_HOME" not in os.environ:
        shutil.copyfile(Path(__file__).with_name("dagster.yaml"), home / "dagster.yaml")
    own = {
        "DAGSTER_HOME": str(home),
        # The database itself, not the server: a stage run from a shell without the server logs to the same place.
        "MLFLOW_TRACKING_URI": f"sqlite:///{store}/mlflow.db",
        "VISNET_DAGSTER_UI": _address(args.port),
        "VISNET_MLFLOW_UI": _address(args.mlflow_port),
    }
    always = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    env = {**own, **os.environ, **always}
    if "VISNET_MLFLOW_UI" not in os.environ and env["MLFLOW_TRACKING_URI"].startswith("http"):
        env["VISNET_MLFLOW_UI"] = env["MLFLOW_TRACKING_URI"]
    return env


def _await(servers: Sequence[Server]) -> None:
    until = time.monotonic() + START_S
    waiting = list(servers)
    while waiting:
        for server in servers:
            server.check()
        waiting = [server for server in waiting if not server.answers()]
        if waiting and time.monotonic() > until:
            raise UIError(f"{waiting[0].name} did not answer in {START_S:g} s; see {waiting[0].log}")
        time.sleep(0.3)


def _say(servers: Sequence[Server], env: dict[str, str]) -> None:
    urls = {"MLflow": env["VISNET_MLFLOW_UI"]} | {server.name: server.url for server in servers}
    print(f"Dagster  {urls['Dagster']}\nMLflow   {urls['MLflow']}{MLFLOW_RUNS}\nCtrl-C stops both.", flush=True)


def _watch(servers: Sequence[Server], dagster: Dagster, root: Path) -> NoReturn:
    """Look after the servers for ever, and have Dagster read the project again whenever it was edited."""
    edits = Edits(root)
    while True:
        time.sleep(LOOK_EVERY_S)
        for server in servers:
            server.check()
        if edits.came():
            with contextlib.suppress(httpx.HTTPError):
                dagster.reload()


def _stop(servers: Sequence[Server], port: int) -> None:
    with _deaf():
        for server in reversed(servers):
            if server.name == "Dagster" and server.process.poll() is None:
                with contextlib.suppress(httpx.HTTPError):
                    Dagster(_address(port)).cancel_runs()
            end_group(server.process, grace_s=15)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Let nobody interrupt the stopping: half-stopped servers hold ports and locks."""
    old = {sign: signal.signal(sign, signal.SIG_IGN) for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for sign, handler in old.items():
            signal.signal(sign, handler)


def _free(host: str, port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UIError(f"port {port} on {host} cannot be had ({error.strerror}); choose another: {option}") from None


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
