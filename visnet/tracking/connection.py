"""How MLflow is reached: its address, its faults, where it says that files are, and which names it takes."""

import contextlib
import hashlib
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from visnet.pipeline import extras

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import RunInfo

EXPERIMENT = "visnet"
HOME = Path(".mlflow")
DATABASE = "mlflow.db"
SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")
# Where MLflow's database names a folder of ours by its absolute address.
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
# MLflow's own would have a stage wait for minutes, in silence, for a server that is gone. What a user sets stays.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "PGCONNECT_TIMEOUT": "10",  # seconds
}
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
# Model training, not language models. Which pages a browser opens is by `workflowType` in the address all the same.
KIND = ("mlflow.experimentKind", "custom_model_development")
NAME_CHARACTERS = 250
_HASHED = re.compile(r" [0-9a-f]{12}$")


class Unreachable(ValueError):
    """The tracker does not answer, refuses, or has lost what it had; one line says why."""


def address() -> str:
    """Return `MLFLOW_TRACKING_URI`, by default a SQLite file in this folder; `ValueError` for what is no address."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or _own_address()
    scheme, known = urlsplit(uri).scheme, ", ".join(SCHEMES)
    if uri != "databricks" and scheme.partition("+")[0] not in SCHEMES:
        raise ValueError(f"MLFLOW_TRACKING_URI: {uri!r} is no address of a tracker; allowed are those with {known}")
    if scheme in ("http", "https"):
        try:
            named = bool(urlsplit(uri).hostname) and urlsplit(uri).port != 0
        except ValueError:
            named = False
        if not named:
            raise ValueError(
                f"MLFLOW_TRACKING_URI: {uri!r} has no host, or a port that cannot be; as in http://host:5000"
            )
    return uri


def is_missing() -> bool:
    """Tell whether runs would be in a file of this folder that is not there, which a reader need not make."""
    return address() in (_own_address(), _absolute_address()) and not (HOME / DATABASE).exists()


def connect() -> "MlflowClient":
    """Connect to `address`, to an experiment of ours; `Unreachable` within seconds where that cannot be."""
    uri = address()
    for name, value in {**PATIENCE, **QUIET}.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow
        import mlflow.store.db.utils
        from mlflow import MlflowClient
    except ModuleNotFoundError as error:
        raise Unreachable(extras.lacking(error) or str(error)) from None
    mlflow.store.db.utils.MAX_RETRY_COUNT = 1  # a database that is no database is asked ten times, over minutes
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    with reaching(uri):
        own = uri in (_own_address(), _absolute_address())
        if own:
            HOME.mkdir(exist_ok=True)
            _rehome()
        set_by_user = os.environ.get("MLFLOW_TRACKING_URI")
        mlflow.set_tracking_uri(uri)
        if set_by_user is None:  # MLflow has put it into the environment, where it would outlive this folder
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        client = MlflowClient()
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            place = _artifacts() if own else None  # a server knows a better place
            client.create_experiment(EXPERIMENT, artifact_location=place, tags=dict([KIND]))
        elif found.lifecycle_stage != "active":
            raise Unreachable(
                f"its experiment {EXPERIMENT!r} was deleted; "
                f"`mlflow experiments restore --experiment-id {found.experiment_id}` brings it back"
            )
        elif KIND[0] not in found.tags:
            client.set_experiment_tag(found.experiment_id, *KIND)
        return client


@contextlib.contextmanager
def reaching(uri: str = "") -> Iterator[None]:
    """Turn what MLflow, its database or the network raise into `Unreachable`, which says why in a line."""
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, OSError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        where = f"{_shown(uri)}: " if uri else ""
        raise Unreachable(f"{where}{lines[0][:300]}") from None


def home() -> str:
    """Return the address of MLflow's pages, as of now."""
    return os.environ.get("VISNET_MLFLOW_UI", "http://127.0.0.1:5000").rstrip("/")


def page(run: "RunInfo") -> str:
    """Return where a run's page is under `home`, which another day is at another port."""
    return f"#/experiments/{run.experiment_id}/runs/{run.run_id}?workflowType=machine_learning"


def fit(name: str) -> str:
    """Return a name that MLflow takes for a metric, parameter or tag: different ones for different names.

    A name that would not do as it is ends in a hash of what it was, and so does one that looks as if it did.
    """
    kept = re.sub(r"[^/\w.\- :]", "_", name)
    parts = [part for part in kept.split("/") if part.strip(". ")]
    kept = "/".join(parts).lstrip("./")[:NAME_CHARACTERS]
    if kept == name and name and not _HASHED.search(name):
        return name
    hashed = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
    return f"{kept[: NAME_CHARACTERS - 13]} {hashed}".lstrip()


def _own_address() -> str:
    # By the current folder where its name holds what would end the path of an address.
    return f"sqlite:///{HOME / DATABASE}" if set("?#%") & set(str(Path.cwd())) else _absolute_address()


def _absolute_address() -> str:
    return f"sqlite:///{HOME.absolute() / DATABASE}"


def _artifacts() -> str:
    return (HOME.absolute() / "artifacts").as_uri()


def _shown(uri: str) -> str:
    """Return an address without its password."""
    return re.sub(r"//[^/@]*@", "//", uri)


def _rehome() -> None:
    """Have the database of this folder name this folder, which was copied or renamed since."""
    if not (HOME / DATABASE).exists():
        return
    here = _artifacts()
    with contextlib.closing(sqlite3.connect(HOME / DATABASE, timeout=10)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return
        row = database.execute("SELECT artifact_location FROM experiments WHERE name = ?", [EXPERIMENT]).fetchone()
        if row is None or not row[0] or row[0] == here or not row[0].endswith(f"/{HOME}/artifacts"):
            return
        with database:
            for table, column in LOCATIONS:
                database.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    [here, len(row[0]) + 1, len(row[0]) + 1, f"{row[0]}/"],
                )
            database.execute("UPDATE experiments SET artifact_location = ? WHERE name = ?", [here, EXPERIMENT])
