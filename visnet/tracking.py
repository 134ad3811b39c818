"""What MLflow is told: one run per training, and the recall that its evaluation found."""

import contextlib
import json
import logging
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from visnet.reports import read_report
from visnet.stage import Report

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = MODEL = "visnet"
RUN_FILE = "mlflow_run_id"
TRACKED = ("trained_model", "evaluation")


class Record:
    """What a stage that is not tracked leaves behind: nothing."""

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to the live curves."""

    def finish(self, report: Report, artefact: Path, pictures: Mapping[str, Path]) -> Report:
        """Store the outcome; return what the report must say of it."""
        return {}


class _Tracked(Record):
    def __init__(self, client: "MlflowClient", run_id: str, stage: str, params: Mapping[str, Any]) -> None:
        self.client, self.run_id, self.stage, self.params = client, run_id, stage, params

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.client.log_metric(self.run_id, name, value, step=step)

    def finish(self, report: Report, artefact: Path, pictures: Mapping[str, Path]) -> Report:
        for name, value in report.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self.client.log_metric(self.run_id, name, value)
            elif isinstance(value, str):
                self.client.set_tag(self.run_id, f"{self.stage}.{name}", value)
        for path in [*pictures.values(), Path("params.toml"), Path("dvc.lock")]:
            if path.exists():
                self.client.log_artifact(self.run_id, str(path), "pictures" if path.suffix == ".png" else None)
        experiment_id = self.client.get_run(self.run_id).info.experiment_id
        page = f"#/experiments/{experiment_id}/runs/{self.run_id}?workflowType=machine_learning"
        about: Report = {"mlflow_run_id": self.run_id, "mlflow_url": f"{_ui('MLFLOW', 5000)}/{page}"}
        more = self._register(artefact) if self.stage == "trained_model" else self._judge(report)
        return {**about, **more}

    def _register(self, artefact: Path) -> Report:
        """Register the weights as a new version, alias `challenger`."""
        import mlflow
        from mlflow.entities import LoggedModelStatus

        model = self.client.create_logged_model(_experiment_id(self.client), name=MODEL, source_run_id=self.run_id)
        for path in sorted(artefact.iterdir()):
            self.client.log_model_artifact(model.model_id, str(path))
        self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        version = mlflow.register_model(f"models:/{model.model_id}", MODEL)
        self.client.set_registered_model_alias(MODEL, "challenger", version.version)
        return {"mlflow_model_version": str(version.version)}

    def _judge(self, report: Report) -> Report:
        """Hold recall@1 against the champion's on the same test; the first model judged becomes champion."""
        from mlflow.exceptions import MlflowException

        mine = str((read_report("trained_model") or {}).get("mlflow_model_version", ""))
        if mine:
            self.client.set_model_version_tag(MODEL, mine, "recall_at_1", str(report.get("recall_at_1")))
            self.client.set_model_version_tag(MODEL, mine, "test_digest", str(report.get("test_digest")))
        try:
            champion = self.client.get_model_version_by_alias(MODEL, "champion")
        except MlflowException:
            if mine:
                self.client.set_registered_model_alias(MODEL, "champion", mine)
            return {"champion": None, "champion_recall_at_1": None, "recall_at_1_min": None}
        recall = champion.tags.get("recall_at_1", "None")
        same_test = champion.tags.get("test_digest") == report.get("test_digest")
        floor = float(recall) if same_test and recall != "None" else None
        return {
            "champion": str(champion.version),
            "champion_recall_at_1": floor,
            "recall_at_1_min": None if floor is None else round(floor - self.params["recall_at_1_margin"], 6),
        }


@contextlib.contextmanager
def recorded(stage: str, params: Mapping[str, Any], out: Path) -> Iterator[Record]:
    """Open the stage's MLflow run: a new one for a training, that of its training for an evaluation.

    A training that was killed goes on in the run it had begun; one that fails leaves it FAILED.
    """
    if stage not in TRACKED:
        yield Record()
        return
    client = _client()
    run_id = _run_of(client, stage, out)
    record = _Tracked(client, run_id, stage, params)
    try:
        yield record
    except KeyboardInterrupt:
        client.set_terminated(run_id, "KILLED")
        raise
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")


def _client() -> "MlflowClient":
    """Connect to `MLFLOW_TRACKING_URI`, by default a SQLite file in this folder, by its absolute path."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    import mlflow
    from mlflow import MlflowClient

    home = Path(".mlflow").absolute()
    if "MLFLOW_TRACKING_URI" not in os.environ:
        home.mkdir(exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    client = MlflowClient()
    if client.get_experiment_by_name(EXPERIMENT) is None:
        own = "MLFLOW_TRACKING_URI" not in os.environ or os.environ["MLFLOW_TRACKING_URI"].startswith("sqlite:")
        client.create_experiment(EXPERIMENT, artifact_location=f"{home}/artifacts" if own else None)
    return client


def _run_of(client: "MlflowClient", stage: str, out: Path) -> str:
    from mlflow.exceptions import MlflowException

    kept = out / RUN_FILE
    known = str((read_report("trained_model") or {}).get("mlflow_run_id", "")) if stage == "evaluation" else ""
    if stage == "trained_model" and kept.exists():
        known = kept.read_text().strip()
    if known:
        try:
            client.update_run(known, status="RUNNING")
            return known
        except MlflowException:
            pass  # made in another store, say before a `dvc pull`: this store gets a run of its own
    run = client.create_run(_experiment_id(client), run_name=_name(stage))
    if stage == "trained_model":
        kept.write_text(run.info.run_id)
    _describe(client, run.info.run_id)
    return str(run.info.run_id)


def _experiment_id(client: "MlflowClient") -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        raise ValueError(f"MLflow experiment {EXPERIMENT!r} was deleted; restore it in MLflow or give it another store")
    return str(experiment.experiment_id)


def _name(stage: str) -> str:
    config = tomllib.loads(Path("params.toml").read_text()).get("trained_model", {}).get("config", stage)
    return f"{config}" if stage == "trained_model" else f"{config} ({stage})"


def _describe(client: "MlflowClient", run_id: str) -> None:
    """Give the run its parameters, what it was made of, and the way back to Dagster."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.tracking.context.registry import resolve_tags

    for name, value in resolve_tags().items():
        client.set_tag(run_id, name, value)
    for name, value in _flat(tomllib.loads(Path("params.toml").read_text())):
        client.log_param(run_id, name, value)
    lock = yaml.safe_load(Path("dvc.lock").read_text()) if Path("dvc.lock").exists() else {}
    for stage, row in (lock.get("stages") or {}).items():
        for out in row.get("outs", []):
            if out["path"] == f"data/{stage}":
                client.set_tag(run_id, f"dvc.{stage}", out["md5"])
    inputs = []
    for stage in ("crops", "triplets"):
        digest = str((read_report(stage) or {}).get("digest", ""))
        if digest:
            data = Dataset(name=stage, digest=digest, source_type="local", source=json.dumps({"uri": f"data/{stage}"}))
            inputs.append(DatasetInput(data, [InputTag("mlflow.data.context", "training")]))
    if inputs:
        client.log_inputs(run_id, inputs)
    dagster_run = os.environ.get("DAGSTER_RUN_ID")
    if dagster_run:
        client.set_tag(run_id, "dagster.run_id", dagster_run)
        client.set_tag(run_id, "mlflow.note.content", f"[Dagster run]({_ui('DAGSTER', 3000)}/runs/{dagster_run})")


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _ui(which: str, port: int) -> str:
    return os.environ.get(f"VISNET_{which}_UI", f"http://127.0.0.1:{port}").rstrip("/")
