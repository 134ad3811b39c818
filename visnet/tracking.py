"""What MLflow is told: one run per training, and the recall that its evaluation found."""

import abc
import contextlib
import functools
import json
import logging
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from PIL import Image

from visnet import registry
from visnet.reports import REPORTS, read_report
from visnet.stage import Report

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "visnet"
RUN_FILE = "mlflow_run_id"  # beside the checkpoints: a training that goes on goes on in its run


class Record:
    """What a stage that is not tracked leaves behind: nothing."""

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to the live curves."""

    def finish(self, report: Report, artefact: Path, pictures: Mapping[str, Path]) -> Report:
        """Store the outcome; return what the report must say of it."""
        return {}

    def end(self, status: str) -> None:
        """Close what was opened: FINISHED, FAILED or KILLED."""


class _Run(Record, abc.ABC):
    """A stage's MLflow run, opened when there is first something to say."""

    stage: str

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self._opened = False

    @functools.cached_property
    def client(self) -> "MlflowClient":
        return _client()

    @functools.cached_property
    def run_id(self) -> str:
        self._opened = True
        return self._open()

    @abc.abstractmethod
    def _open(self) -> str:
        """Find or create the run; return its id."""

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.client.log_metric(self.run_id, name, value, step=step)

    def finish(self, report: Report, artefact: Path, pictures: Mapping[str, Path]) -> Report:
        for name, value in report.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                name = f"{self.stage}.{name}" if name == "wall_s" else name
                self.client.log_metric(self.run_id, name, value)
            elif isinstance(value, str):
                self.client.set_tag(self.run_id, f"{self.stage}.{name}", value)
        for name, path in pictures.items():
            self._picture(f"{self.stage} {name}", path)
        experiment_id = self.client.get_run(self.run_id).info.experiment_id
        page = f"#/experiments/{experiment_id}/runs/{self.run_id}?workflowType=machine_learning"
        return {"mlflow_run_id": self.run_id, "mlflow_url": f"{_ui('MLFLOW', 5000)}/{page}"}

    def _picture(self, key: str, path: Path) -> None:
        with Image.open(path) as image:  # by key, so that the page lays the same picture of two runs side by side
            self.client.log_image(self.run_id, image.convert("RGB"), key=key, step=0)


class _Training(_Run):
    stage = "trained_model"

    def __init__(self, params: Mapping[str, Any], out: Path) -> None:
        super().__init__(params)
        self.kept = out / "checkpoints" / RUN_FILE

    def _open(self) -> str:
        if self.kept.exists() and _known(self.client, known := self.kept.read_text()):
            self.client.update_run(known, status="RUNNING")
            run_id = known
        else:
            run_id = _new_run(self.client, str(self.params["config"]))
            self.kept.parent.mkdir(exist_ok=True)
            self.kept.write_text(run_id)  # before all else: a kill must not leave a run that nobody ends
        if self.client.get_run(run_id).data.params:
            return run_id
        _describe(self.client, run_id)
        for name in ("crops", "triplets"):
            if (path := REPORTS / f"{name}.png").exists():
                self._picture(f"{name} sheet", path)
        return run_id

    def finish(self, report: Report, artefact: Path, pictures: Mapping[str, Path]) -> Report:
        said = super().finish(report, artefact, pictures)
        return {**said, **registry.register(self.client, self.run_id, artefact)}

    def end(self, status: str) -> None:
        if self._opened:
            self.client.set_terminated(self.run_id, status)


class _Evaluation(_Run):
    """Speaks in the run of the training that it evaluates; its own end is not that run's."""

    stage = "evaluation"

    def _open(self) -> str:
        trained = read_report("trained_model") or {}
        run_id = str(trained.get("mlflow_run_id", ""))
        if not _known(self.client, run_id):  # it was trained elsewhere, and came by `dvc pull`
            run_id = _new_run(self.client, f"{trained.get('config', 'model')} from elsewhere")
            _describe(self.client, run_id)
            self.client.set_terminated(run_id, "FINISHED")
        return run_id

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        pass  # recall over k: the report has it by name

    def finish(self, report: Report, artefact: Path, pictures: Mapping[str, Path]) -> Report:
        said = super().finish(report, artefact, pictures)
        trained = read_report("trained_model") or {}
        mine = self.run_id == trained.get("mlflow_run_id")
        version = str(trained.get("mlflow_model_version", "")) if mine else ""
        return {**said, **registry.judge(self.client, version, report, self.params["recall_at_1_margin"])}


@contextlib.contextmanager
def recorded(stage: str, params: Mapping[str, Any], out: Path) -> Iterator[Record]:
    """Give a stage its record: a run of its own for a training, that of its training for an evaluation."""
    record = Record()
    if stage == _Training.stage:
        record = _Training(params, out)
    elif stage == _Evaluation.stage:
        record = _Evaluation(params)
    try:
        yield record
    except KeyboardInterrupt:
        record.end("KILLED")
        raise
    except BaseException:
        record.end("FAILED")
        raise
    record.end("FINISHED")


def _client() -> "MlflowClient":
    """Connect to `MLFLOW_TRACKING_URI`, by default a SQLite file in this folder, by its absolute path."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    from mlflow import MlflowClient

    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    home = Path(".mlflow").absolute()
    uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
    home.mkdir(exist_ok=True)
    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    if client.get_experiment_by_name(EXPERIMENT) is None:
        own = uri.startswith("sqlite:")  # a server knows a better place
        client.create_experiment(EXPERIMENT, artifact_location=f"{home}/artifacts" if own else None)
    return client


def _known(client: "MlflowClient", run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    if not run_id:
        return False
    try:
        client.get_run(run_id)
    except MlflowException:
        return False
    return True


def _new_run(client: "MlflowClient", name: str) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None or experiment.lifecycle_stage != "active":
        raise ValueError(f"MLflow experiment {EXPERIMENT!r} was deleted; restore it, or set MLFLOW_TRACKING_URI")
    return str(client.create_run(experiment.experiment_id, run_name=name).info.run_id)


def _describe(client: "MlflowClient", run_id: str) -> None:
    """Give a run what it is made of, the way back to Dagster and, last, every parameter of the line."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.tracking.context.registry import resolve_tags

    tags = dict(resolve_tags())
    lock = yaml.safe_load(Path("dvc.lock").read_text()) if Path("dvc.lock").exists() else {}
    for stage, row in (lock.get("stages") or {}).items():
        tags |= {f"dvc.{stage}": out["md5"] for out in row.get("outs", []) if out["path"] == f"data/{stage}"}
    if dagster_run := os.environ.get("DAGSTER_RUN_ID"):
        tags["dagster.run_id"] = dagster_run
        tags["mlflow.note.content"] = f"[Dagster run]({_ui('DAGSTER', 3000)}/runs/{dagster_run})"
    for key, value in tags.items():
        client.set_tag(run_id, key, value)
    inputs = []
    for stage in ("crops", "triplets"):
        if digest := str((read_report(stage) or {}).get("digest", "")):
            data = Dataset(name=stage, digest=digest, source_type="local", source=json.dumps({"uri": f"data/{stage}"}))
            inputs.append(DatasetInput(data, [InputTag("mlflow.data.context", "training")]))
    client.log_inputs(run_id, datasets=inputs)
    for key, value in _flat(tomllib.loads(Path("params.toml").read_text())):
        client.log_param(run_id, key, value)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _ui(which: str, port: int) -> str:
    return os.environ.get(f"VISNET_{which}_UI", f"http://127.0.0.1:{port}").rstrip("/")
