"""One of the services that keep a catalog together, in a container or not: `python -m orchestration.ui.roles ROLE`.

    prepare      once, before the others: the project's code into the workspace, databases and their tables
    mlflow       MLflow's server, which also takes and gives the files of runs; for the other services alone
    mlflow-page  its pages behind the guard, for people
    code         loads the definitions and runs what is launched
    daemon       schedules, sensors and the queue
    webserver    Dagster's pages behind the guard
    serve        search by photo, of what is published; waits for the first version. All that the image `serve` has

The work is done in the current folder, the workspace. Environment: POSTGRES_HOST, POSTGRES_PORT, POSTGRES_USER and
POSTGRES_PASSWORD, VISNET_UI_PASSWORD, and for each password NAME_FILE, a file that holds it, instead; DAGSTER_HOME;
VISNET_PROJECT, the folder that `prepare` takes the code from; VISNET_HOSTS, names under which browsers come, by commas;
MLFLOW_ADDRESS and CODE_ADDRESS, where those two answer; PORT, where this one is to. MLFLOW_ARTIFACTS, the folder of the
files of runs, or s3://BUCKET/FOLDER, with AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or its file).
VISNET_FOLLOW, s3://BUCKET/FOLDER, from where `serve` fetches what it serves, instead of waiting for a version here.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestration.ui.guard import PASSWORD

CODE = ("visnet", "kernels", "orchestration")  # folders that are the image's, whatever stood there
FILES = ("dvc.yaml", ".dvcignore", "pyproject.toml", "Makefile")  # files that are
OWN_FILES = "*.toml", "*.csv", "*.txt"  # parameters and decisions: the workspace's, once they are there
SECRET = "PGPASSWORD"
STORAGE = "\nstorage:\n  postgres:\n    postgres_url:\n      env: DAGSTER_POSTGRES_URL\n"
PUBLISHED = "data/publish/current"  # says which version is served
WORKSPACE, MODULE = "workspace.yaml", "orchestration.definitions"
LOOK_S = 2.0
WAIT_S = 120.0


class Missing(ValueError):
    """One line on what the environment lacks."""


def main() -> None:
    """Become the service that the command line names; exit with 2 and a line where that cannot be."""
    role = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        if role not in ROLES:
            raise Missing(f"role {role!r} is unknown; allowed are {', '.join(ROLES)}")
        ROLES[role](environment())
    except Missing as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except ModuleNotFoundError as error:
        print(f"error: role {role} needs {error.name}, which the image `pipeline` has; this has not", file=sys.stderr)
        raise SystemExit(2) from None


def prepare(env: Mapping[str, str]) -> None:
    """Bring the workspace and the databases up to this image; what a person wrote in the workspace stays."""
    project, here, home = Path(env["VISNET_PROJECT"]), Path.cwd(), Path(env["DAGSTER_HOME"])
    if project.resolve() != here.resolve():
        _bring_code(project, here)
    home.mkdir(parents=True, exist_ok=True)
    settings = Path(__file__).with_name("dagster.yaml").read_text(encoding="utf-8")
    (home / "dagster.yaml").write_text(settings + STORAGE, encoding="utf-8")
    host, _, port = env.get("CODE_ADDRESS", "code:4000").rpartition(":")
    server = {"host": host, "port": int(port), "location_name": MODULE}
    (home / WORKSPACE).write_text(
        json.dumps({"load_from": [{"grpc_server": server}]}), encoding="utf-8"
    )  # JSON is YAML
    _databases(env)
    os.environ.update(env)
    _bucket(env.get("MLFLOW_ARTIFACTS", ""))
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home)) as instance:
        instance.upgrade(print_fn=lambda line: print(f"Dagster: {line}"))
    subprocess.run([sys.executable, "-m", "mlflow", "db", "upgrade", env["MLFLOW_BACKEND_STORE_URI"]], check=True)
    print("The workspace and the databases are ready.")


def mlflow(env: Mapping[str, str]) -> None:
    """Become MLflow's server; its address in the database, and where files are kept, are in the environment."""
    address = env["MLFLOW_ADDRESS"].partition("://")[2]
    files = env.get("MLFLOW_ARTIFACTS", ".mlflow/artifacts")
    files = files if "://" in files else str(Path(files).absolute())  # s3://BUCKET/FOLDER stays what it is
    command = ["-m", "mlflow", "server", "--host", env.get("HOST", "0.0.0.0"), "--port", env["PORT"], "--workers", "1"]
    command += ["--artifacts-destination", files, "--allowed-hosts", f"{address},localhost:*,127.0.0.1:*"]
    _become(command, env)


def mlflow_page(env: Mapping[str, str]) -> None:
    """Become the guard before MLflow."""
    _become(["-m", "orchestration.ui.proxy", env["MLFLOW_ADDRESS"], *_door(env)], env)


def code(env: Mapping[str, str]) -> None:
    """Become Dagster's code server; runs of one that was killed are ended first, since they were its children."""
    from orchestration.ui.watch import close_dead_runs

    os.environ.update(env)
    close_dead_runs(Path(env["DAGSTER_HOME"]))
    command = ["-m", "dagster", "code-server", "start", "--host", env.get("HOST", "0.0.0.0"), "--port", env["PORT"]]
    command += ["--location-name", MODULE, "-m", MODULE, "-d", str(Path.cwd()), "--inject-env-vars-from-instance"]
    _become(command, {key: value for key, value in env.items() if key != PASSWORD})


def daemon(env: Mapping[str, str]) -> None:
    """Become Dagster's daemon."""
    command = ["-m", "dagster._daemon", "run", "--workspace", _workspace(env)]
    _become(command, {key: value for key, value in env.items() if key != PASSWORD})


def webserver(env: Mapping[str, str]) -> None:
    """Become Dagster's webserver, behind the guard."""
    _become(["-m", "orchestration.ui.webserver", _workspace(env), *_door(env)], env)


def serve(env: Mapping[str, str]) -> None:
    """Become the search service, once there is something to serve."""
    follow, told = env.get("VISNET_FOLLOW", ""), False
    while not follow and not Path(PUBLISHED).exists():
        if not told:
            print("No version is published yet: materialize the catalog in Dagster. Waiting …", flush=True)
        told = True
        time.sleep(LOOK_S)
    host = env.get("HOST", "0.0.0.0")
    command = ["-m", "visnet", "serve", "--host", host, "--port", env["PORT"], "--workers", env.get("WORKERS", "1")]
    command += ["--follow", follow] if follow else []
    others = {key: value for key, value in env.items() if not key.endswith("PASSWORD")}
    _become([*command, *(word for name in _hosts(env) for word in ("--allow-host", name))], others)


ROLES: dict[str, Callable[[Mapping[str, str]], None]] = {
    "prepare": prepare,
    "mlflow": mlflow,
    "mlflow-page": mlflow_page,
    "code": code,
    "daemon": daemon,
    "webserver": webserver,
    "serve": serve,
}


def environment() -> dict[str, str]:
    """Return the environment with passwords read from their files, and the addresses of the databases.

    `Missing` names the variable that cannot be read.
    """
    env = {"VISNET_PROJECT": str(Path(__file__).resolve().parents[2]), **with_passwords(os.environ)}
    for name, default in {"DAGSTER_HOME": ".dagster", "MLFLOW_ADDRESS": "http://mlflow:5000"}.items():
        env.setdefault(name, default)
    env["DAGSTER_HOME"] = str(Path(env["DAGSTER_HOME"]).absolute())
    env |= {"PYTHONUNBUFFERED": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    env.setdefault("MLFLOW_TRACKING_URI", env["MLFLOW_ADDRESS"])
    if password := env.get("POSTGRES_PASSWORD"):
        from sqlalchemy import URL  # which the image `serve` has not

        for name, database in {"DAGSTER_POSTGRES_URL": "dagster", "MLFLOW_BACKEND_STORE_URI": "mlflow"}.items():
            user, host, port = env.get("POSTGRES_USER", "visnet"), env.get("POSTGRES_HOST", "postgres"), _port(env)
            env[name] = str(URL.create("postgresql+psycopg2", user, None, host, port, database))
        env[SECRET] = password  # which PostgreSQL's own library finds: so no address has it, wherever that is shown
    return env


def with_passwords(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with passwords read from their files; `Missing` names the one that cannot be read."""
    env = dict(env)
    for name in ("POSTGRES_PASSWORD", PASSWORD, "AWS_SECRET_ACCESS_KEY"):
        if file := env.pop(f"{name}_FILE", ""):
            try:
                env[name] = Path(file).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise Missing(f"{name}_FILE: {file}: {error.strerror}") from None
    return env


def _bucket(files: str) -> None:
    """Make the bucket of an address, s3://BUCKET/FOLDER, unless it is there; any other place needs none."""
    scheme, _, rest = files.partition("://")
    if scheme != "s3":
        return
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        store, name = boto3.client("s3"), rest.partition("/")[0]
        if name not in {one["Name"] for one in store.list_buckets()["Buckets"]}:
            store.create_bucket(Bucket=name)
    except (BotoCoreError, ClientError) as error:
        raise Missing(f"MLFLOW_ARTIFACTS {files}: {str(error).splitlines()[0]}") from None


def _port(env: Mapping[str, str]) -> int:
    try:
        return int(env.get("POSTGRES_PORT", "5432"))
    except ValueError:
        raise Missing(f"POSTGRES_PORT: {env['POSTGRES_PORT']!r} is no number") from None


def _databases(env: Mapping[str, str]) -> None:
    """Wait for PostgreSQL, and make the databases that it lacks."""
    import psycopg2
    from sqlalchemy.engine import make_url

    if "DAGSTER_POSTGRES_URL" not in env:
        raise Missing("POSTGRES_PASSWORD, or POSTGRES_PASSWORD_FILE, is wanted")
    url, until = make_url(env["DAGSTER_POSTGRES_URL"]), time.monotonic() + WAIT_S
    there = {"host": url.host, "port": url.port, "user": url.username, "password": env[SECRET]}
    while True:
        try:
            connection = psycopg2.connect(dbname="postgres", connect_timeout=5, **there)
            break
        except psycopg2.OperationalError as error:
            reason = str(error).strip().splitlines()[-1]
            if "authentication failed" in reason or time.monotonic() > until:
                raise Missing(f"PostgreSQL at {url.host}:{url.port}: {reason}") from None
            time.sleep(LOOK_S)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for name in ("dagster", "mlflow"):
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(f'CREATE DATABASE "{name}"')
    connection.close()


def _bring_code(project: Path, here: Path) -> None:
    """Replace the code in the workspace by the image's, and add what it lacks of files that a person may change."""
    for name in CODE:
        shutil.rmtree(here / name, ignore_errors=True)
        shutil.copytree(project / name, here / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copyfile(project / name, here / name)
    for file in sorted(file for pattern in OWN_FILES for file in project.glob(pattern)):
        if file.name not in FILES and not (here / file.name).exists():
            shutil.copyfile(file, here / file.name)
    if not (here / ".dvc").exists():
        shutil.copytree(project / ".dvc", here / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    local = here / ".dvc" / "config.local"
    if not (here / ".git").exists() and not local.exists():  # DVC has to be told that there is no git
        local.write_text("[core]\n    no_scm = true\n", encoding="utf-8")


def _workspace(env: Mapping[str, str]) -> str:
    file = Path(env["DAGSTER_HOME"]) / WORKSPACE
    if not file.exists():
        raise Missing(f"{file} is missing: run the role `prepare` first")
    return str(file)


def _door(env: Mapping[str, str]) -> list[str]:
    host = env.get("HOST", "0.0.0.0")
    if host != "127.0.0.1" and not env.get(PASSWORD):
        raise Missing(f"{PASSWORD}, or {PASSWORD}_FILE, is wanted: others come by {host}")
    return ["--host", host, "--port", env["PORT"], *(word for name in _hosts(env) for word in ("--allow-host", name))]


def _hosts(env: Mapping[str, str]) -> list[str]:
    return [name.strip() for name in env.get("VISNET_HOSTS", "").split(",") if name.strip()]


def _become(command: list[str], env: Mapping[str, str]) -> None:
    """Replace this process: signals of a container then reach the server itself.

    Dagster takes SIGTERM as it finds SIGINT, which who starts this in the background may have it ignore.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execve(sys.executable, [sys.executable, *command], dict(env))


if __name__ == "__main__":
    main()
