"""What MLflow is told: one run per training, and the recall that its evaluation found."""

import abc
import contextlib
import functools
import json
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from PIL import Image

from visnet import registry, serving_alias, verdict
from visnet.registry import EXPERIMENT
from visnet.reports import REPORTS, Place
from visnet.stage import STAGES, Report

if TYPE_CHECKING:
    from mlflow import MlflowClient

PUBLISH = "publish"
RUN_FILE = "mlflow_run_id"  # beside the checkpoints: a training that goes on goes on in its run


Tables = Mapping[str, Mapping[str, Any]]


class Record:
    """What a stage that is not tracked leaves behind: nothing."""

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to the live curves."""

    def judge(self, report: Report, out: Path) -> Report:
        """Decide whether what was made may be served, before it takes its place; return the report's lines on that."""
        return {}

    def finish(self, report: Report, artefact: Path, pictures: Mapping[str, Path]) -> Report:
        """Store the outcome; return what the report must say of it."""
        return {}

    def end(self, status: str) -> None:
        """Close what was opened: FINISHED, FAILED or KILLED."""


class _Run(Record, abc.ABC):
    """A stage's MLflow run, opened when there is first something to say."""

    stage: str

    def __init__(self, params: Mapping[str, Any], place: Place, tables: Tables) -> None:
        self.params, self.place, self.tables = params, place, tables
        self._opened = False

    @functools.cached_property
    def client(self) -> "MlflowClient":
        return registry.connect()

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
        return {"mlflow_run_id": self.run_id, "mlflow_url": registry.page(self.client.get_run(self.run_id).info)}

    def _picture(self, key: str, path: Path) -> None:
        with Image.open(path) as image:  # by key, so that the page lays the same picture of two runs side by side
            self.client.log_image(self.run_id, image.convert("RGB"), key=key, step=0)


class _Training(_Run):
    stage = "trained_model"

    def __init__(self, params: Mapping[str, Any], place: Place, tables: Tables, out: Path) -> None:
        super().__init__(params, place, tables)
        self.kept = out / "checkpoints" / RUN_FILE
        self._drawn: dict[int, dict[str, float]] = {}

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        run_id = self.run_id  # opened first: a training that goes on draws its curves from the beginning
        drawn = self._drawn.get(step, {})
        for name, value in values.items():
            if name not in drawn:
                self.client.log_metric(run_id, name, value, step=step)

    def _open(self) -> str:
        if self.kept.exists() and _known(self.client, known := self.kept.read_text()):
            self.client.update_run(known, status="RUNNING")
            self._drawn = registry.curve(known)
            run_id = known
        else:
            run_id = _new_run(self.client, Path(str(self.params["config"])).stem)
            self.kept.parent.mkdir(exist_ok=True)
            self.kept.write_text(run_id)  # before all else: a kill must not leave a run that nobody ends
        if self.client.get_run(run_id).data.params:
            return run_id
        _describe(self.client, run_id, self.place, self.tables)
        for name in ("crops", "triplets"):
            if (path := REPORTS / f"{name}.png").exists():
                self._picture(f"{name} sheet", path)
        return run_id

    def finish(self, report: Report, artefact: Path, pictures: Mapping[str, Path]) -> Report:
        drawn = self.client.get_run(self.run_id).data.metrics  # a curve's last point must not be followed by its best
        said = super().finish({k: v for k, v in report.items() if k not in drawn}, artefact, pictures)
        entry = tomllib.loads((artefact / "model.toml").read_text())
        for key, value in _flat({"model": {k: v for k, v in entry.items() if k != "departs"}}):  # prose
            self.client.log_param(self.run_id, key, value)
        return {**said, **registry.register(self.client, self.run_id, artefact, str(report["config"]))}

    def end(self, status: str) -> None:
        if self._opened:
            self.client.set_terminated(self.run_id, status)


class _Evaluation(_Run):
    """Speaks in the run of the training that it evaluates; its own end is not that run's."""

    stage = "evaluation"
    _unreachable = False

    def _open(self) -> str:
        trained = self.place.read_report("trained_model") or {}
        run_id = str(trained.get("mlflow_run_id", ""))
        if not _known(self.client, run_id):  # it was trained elsewhere, and came by `dvc pull`
            run_id = _new_run(self.client, f"{trained.get('config', 'model')} from elsewhere")
            _describe(self.client, run_id, self.place, self.tables)
            self.client.set_terminated(run_id, "FINISHED")
        return run_id

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        pass  # recall over k: the report has it by name

    def judge(self, report: Report, out: Path) -> Report:
        margin, crown = self.params["recall_at_1_margin"], not self.place.apart
        try:
            trained = self.place.read_report("trained_model") or {}
            mine = self.run_id == trained.get("mlflow_run_id")
            version = str(trained.get("mlflow_model_version", "")) if mine else ""
            registry.keep_answers(self.client, self.run_id, out / verdict.QUERIES)
            found = registry.judge(self.client, version, report, out / verdict.QUERIES, margin, crown=crown)
        except registry.failures() as error:
            self._unreachable = True
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            found = verdict.Verdict(
                str(report["model"]), None, f"MLflow, which knows the champion, cannot be asked: {why}"
            )
        found.write(out)
        return found.report()

    def finish(self, report: Report, artefact: Path, pictures: Mapping[str, Path]) -> Report:
        return {} if self._unreachable else super().finish(report, artefact, pictures)


class _Publishing(Record):
    """Tells the registry by which model what is served is."""

    def finish(self, report: Report, artefact: Path, pictures: Mapping[str, Path]) -> Report:
        if said := serving_alias.tell(artefact):
            print(f"  {said}", file=sys.stderr)
        return {}


@contextlib.contextmanager
def recorded(stage: str, params: Mapping[str, Any], out: Path, place: Place, tables: Tables) -> Iterator[Record]:
    """Give a stage its record: a run of its own for a training, that of its training for an evaluation.

    `tables` are the parameters of all stages, which a run keeps.
    """
    record = Record()
    if stage == _Training.stage and not params["version"]:  # a registered version has its run
        record = _Training(params, place, tables, out)
    elif stage == _Evaluation.stage:
        record = _Evaluation(params, place, tables)
    elif stage == PUBLISH:
        record = _Publishing()
    try:
        yield record
    except KeyboardInterrupt:
        record.end("KILLED")
        raise
    except BaseException:
        record.end("FAILED")
        raise
    record.end("FINISHED")


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


def _describe(client: "MlflowClient", run_id: str, place: Place, tables: Tables) -> None:
    """Give a run what it is made of, the way back to Dagster and, last, every parameter of the line."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.tracking.context.registry import resolve_tags

    tags = dict(resolve_tags())
    lock = yaml.safe_load(Path("dvc.lock").read_text()) if Path("dvc.lock").exists() else {}
    for stage, row in (lock.get("stages") or {}).items():
        if stage not in STAGES[: STAGES.index(_Training.stage)]:
            continue  # the line's model is another one, or the one before
        tags |= {f"dvc.{stage}": out["md5"] for out in row.get("outs", []) if out["path"] == f"data/{stage}"}
    if dagster_run := os.environ.get("DAGSTER_RUN_ID"):
        tags["dagster.run_id"] = dagster_run
        home = os.environ.get("VISNET_DAGSTER_UI", "http://127.0.0.1:3000").rstrip("/")
        tags["mlflow.note.content"] = f"[Dagster run]({home}/runs/{dagster_run})"
    tags["visnet.kind"] = "experiment" if place.apart else "line"
    for key, value in tags.items():
        client.set_tag(run_id, key, value)
    inputs = []
    for stage in ("crops", "triplets"):
        if digest := str((place.read_report(stage) or {}).get("digest", "")):
            data = Dataset(name=stage, digest=digest, source_type="local", source=json.dumps({"uri": f"data/{stage}"}))
            inputs.append(DatasetInput(data, [InputTag("mlflow.data.context", "training")]))
    client.log_inputs(run_id, datasets=inputs)
    for key, value in _flat(tables):
        client.log_param(run_id, key, value)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
