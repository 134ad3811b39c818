"""Start Dagster and MLflow together on this workspace: `python -m orchestration.ui`; Ctrl-C stops both.

Dagster runs from `.dagster`, MLflow from `.mlflow` (a database, or the address in MLFLOW_TRACKING_URI). A run that is
under way is cancelled, and its stage ended, before the servers go. Both listen on this machine only, and answer no page
but their own. To open them to others: `--host 0.0.0.0 --allow-host NAME`, with a password in VISNET_UI_PASSWORD.
"""

import argparse
import contextlib
import ipaddress
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import httpx

from orchestration.ui.guard import PASSWORD
from orchestration.ui.servers import Server, ServerError, await_all
from orchestration.ui.watch import Dagster, Edits, close_dead_runs

START_S = 180.0
LOOK_EVERY_S = 2.0
TRAINING = "?workflowType=machine_learning"  # else MLflow opens its pages for language models
EXPERIMENT = "visnet"


def main(argv: Sequence[str] | None = None) -> int:
    """Run both servers until interrupted; return 0, or 1 when one could not start or died, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="python -m orchestration.ui", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=3000, help="Dagster's port (default: %(default)s)")
    parser.add_argument("--mlflow-port", type=int, default=5000, help="MLflow's port (default: %(default)s)")
    parser.add_argument("--allow-host", action="append", default=[], help="another name under which browsers may come")
    parser.add_argument(
        "--module", default="orchestration.definitions", help="what Dagster loads (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    signal.signal(signal.SIGINT, _interrupt)  # a shell starts what it sends to the background deaf to Ctrl-C
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` wants it
        signal.signal(signal.SIGHUP, _interrupt)
    servers: list[Server] = []
    dagster = Dagster(_address(args.port), _login())
    with tempfile.TemporaryDirectory(prefix="visnet-ui-") as private:  # where nobody else speaks with the code server
        try:
            _refuse_open(args.host)
            _free(args.host, args.port, "--port")
            env = _environment(Path.cwd(), args)
            if not env["MLFLOW_TRACKING_URI"].startswith("http"):
                _free(args.host, args.mlflow_port, "--mlflow-port")
                servers += _mlflow(args, env)
            _start_dagster(args, env, Path(private), servers)
            print(f"Dagster  {_address(args.port)}\nMLflow   {_runs(env['VISNET_MLFLOW_UI'])}\nCtrl-C stops both.")
            sys.stdout.flush()
            _watch(servers, dagster, Path.cwd())
        except KeyboardInterrupt:
            print("\nstopping …", flush=True)
            return 0
        except ServerError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            return 1
        finally:
            _stop(servers, dagster)


def _start_dagster(args: argparse.Namespace, env: dict[str, str], private: Path, servers: list[Server]) -> None:
    """Start what loads the definitions and runs them, then what shows and schedules them."""
    home = Path(env["DAGSTER_HOME"])
    close_dead_runs(home)
    socket_file, workspace = private / "code.sock", private / "workspace.yaml"
    served = {"socket": str(socket_file), "location_name": args.module}
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": served}]}), encoding="utf-8")  # JSON is YAML
    command = ["-m", "dagster", "code-server", "start", "--socket", str(socket_file), "--location-name", args.module]
    command += ["-m", args.module, "-d", str(Path.cwd()), "--log-level", "warning", "--inject-env-vars-from-instance"]
    stages_env = {key: value for key, value in env.items() if key != PASSWORD}  # no stage needs to know it
    code = Server(
        "Dagster's code server",
        command,
        stages_env,
        home / "code.log",
        ready=lambda: _serves(socket_file),
        after_death=lambda: close_dead_runs(home),  # runs are its children
    )
    servers.append(code)
    await_all([code], START_S)
    command = ["-m", "dagster._daemon", "run", "--workspace", str(workspace)]
    servers.append(Server("Dagster's daemon", command, stages_env, home / "daemon.log"))
    command = ["-m", "orchestration.ui.webserver", str(workspace), *_door(args, args.port)]
    health = _address(args.port) + "/server_info"
    servers.append(Server("Dagster", command, env, home / "ui.log", health, _login()))
    await_all(servers, START_S)


def _mlflow(args: argparse.Namespace, env: dict[str, str]) -> list[Server]:
    """Start MLflow where nobody else looks for it, and what passes on to it what the guard lets through."""
    home, inner = Path.cwd() / ".mlflow", _unused_port()
    command = ["-m", "mlflow", "server", "--backend-store-uri", env["MLFLOW_TRACKING_URI"], "--workers", "1"]
    command += ["--artifacts-destination", str(home / "artifacts"), "--host", "127.0.0.1", "--port", str(inner)]
    own = {key: value for key, value in env.items() if key != PASSWORD}
    door = ["-m", "orchestration.ui.proxy", _address(inner), *_door(args, args.mlflow_port)]
    health = _address(args.mlflow_port) + "/health"
    return [
        Server("MLflow", command, own, home / "ui.log", _address(inner) + "/health"),
        Server("MLflow's proxy", door, env, home / "proxy.log", health, _login()),
    ]


def _door(args: argparse.Namespace, port: int) -> list[str]:
    """Return where a guarded server listens, and under which names."""
    names = [*args.allow_host, *([args.host] if args.host not in ("0.0.0.0", "::") else [])]
    return ["--host", args.host, "--port", str(port), *(word for name in names for word in ("--allow-host", name))]


def _login() -> tuple[str, str] | None:
    password = os.environ.get(PASSWORD)
    return ("visnet", password) if password else None


def _serves(file: Path) -> bool:
    """Whether the code server has loaded the definitions, or knows why it cannot."""
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient

    try:
        DagsterGrpcClient(socket=str(file)).ping("")
    except DagsterUserCodeUnreachableError:
        return False
    return True


def _refuse_open(host: str) -> None:
    try:
        own = ipaddress.ip_address(host).is_loopback
    except ValueError:
        own = host == "localhost"
    if not own and not os.environ.get(PASSWORD):
        raise ServerError(
            f"--host {host} lets others at Dagster and MLflow: set a password in {PASSWORD}, or stay at 127.0.0.1 and "
            "come by `ssh -L 3000:127.0.0.1:3000 -L 5000:127.0.0.1:5000`"
        )


def _environment(root: Path, args: argparse.Namespace) -> dict[str, str]:
    """Return what both servers, and the stages that Dagster starts, find in their environment."""
    home, store = Path(os.environ.get("DAGSTER_HOME", root / ".dagster")), root / ".mlflow"
    home.mkdir(exist_ok=True, parents=True)
    store.mkdir(exist_ok=True)
    if "DAGSTER_HOME" not in os.environ:
        shutil.copyfile(Path(__file__).with_name("dagster.yaml"), home / "dagster.yaml")
    if set("?#%") & set(str(root)):  # would end the path of an address; all that is started works in this folder
        store = Path(".mlflow")
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


def _runs(mlflow: str) -> str:
    """Return the page of all runs that can be compared; before the first one, that of the experiments."""
    asked = f"{mlflow}/api/2.0/mlflow/experiments/get-by-name"
    try:
        found = httpx.get(asked, params={"experiment_name": EXPERIMENT}, timeout=10, trust_env=False)
        number = found.raise_for_status().json()["experiment"]["experiment_id"]
    except (httpx.HTTPError, ValueError, KeyError):
        return f"{mlflow}/#/experiments{TRAINING}"
    return f"{mlflow}/#/experiments/{number}/runs{TRAINING}"


def _watch(servers: Sequence[Server], dagster: Dagster, root: Path) -> NoReturn:
    """Look after the servers for ever, and have Dagster read the project again whenever it was edited."""
    edits, told = Edits(root), ""
    while True:
        if edits.problem != told:
            told = edits.problem
            print(
                f"{told} (Dagster shows what it read before)" if told else "dvc.yaml and params.toml can be read again",
                file=sys.stderr,
                flush=True,
            )
        time.sleep(LOOK_EVERY_S)
        for server in servers:
            server.revive()
        if edits.came():
            with contextlib.suppress(httpx.HTTPError):
                dagster.reload()


def _stop(servers: Sequence[Server], dagster: Dagster) -> None:
    with _deaf():
        if servers and not servers[-1].death():
            with contextlib.suppress(httpx.HTTPError):
                dagster.cancel_runs()
        with ThreadPoolExecutor(len(servers) or 1) as together:
            list(together.map(Server.stop, servers))


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
            other = f"python -m orchestration.ui {option} {port % 65_000 + 10}"
            raise ServerError(
                f"port {port} on {host} cannot be had ({error.strerror}); choose another: {option}, as in `{other}`"
            ) from None


def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
