"""One MLflow run per training, which its evaluation adds to. A tracker that is gone costs no work: it is told later."""

import contextlib
import dataclasses
import functools
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from tqdm import tqdm

from visnet.evaluation.verdict import Verdict
from visnet.pipeline.reports import REPORTS, Place
from visnet.pipeline.stage import STAGES, Frozen, Report, edges
from visnet.storage import locks
from visnet.tracking import connection, delivery, outbox, registry, serving_alias
from visnet.tracking.connection import Unreachable, reaching
from visnet.tracking.delivery import EVALUATION, TRAINING
from visnet.tracking.outbox import RunMessage, Tables

if TYPE_CHECKING:
    from mlflow import MlflowClient

PUBLISH = "publish"
RUN_FILE = "mlflow_run_id"  # beside the checkpoints: a training that goes on goes on in its run
ANSWERS = ("mlflow_run_id", "mlflow_page")  # what a report says of its run, null where MLflow could not be asked
REGISTERED = (*ANSWERS, "mlflow_model_version")  # of a training of the line's model


class RunRecord:
    """What a stage that is not tracked leaves behind: nothing."""

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to the curves."""

    def judge(self, report: Report, out: Path) -> Report:
        """Decide whether what was made may be served, before it takes its place; return the report's lines on that."""
        return {}

    def finish(self, report: Report, artefact: Path, pictures: Mapping[str, Path]) -> Report:
        """Tell the outcome; return what the report must say of it."""
        return {}

    def stop(self, status: str) -> None:
        """Say that there is no outcome: FAILED or KILLED."""


class _Tracked(RunRecord):
    """A stage's run, opened when there is first something to say. What cannot be told is kept, and told another day."""

    def __init__(self, stage: str, params: Frozen, place: Place, tables: Tables, out: Path) -> None:
        self._stage, self._params, self._place, self._tables = stage, params, place, tables
        self._trains = stage != EVALUATION
        self._file = out / "checkpoints" / RUN_FILE
        self._points: dict[int, dict[str, float]] = {}
        self._began_ms = time.time_ns() // 1_000_000
        self._lost = self._opened = False

    @functools.cached_property
    def _begun(self) -> RunMessage:
        run_id = self._file.read_text(encoding="utf-8") if self._trains and self._file.exists() else ""
        return _begun(self._stage, self._params, self._place, self._tables, self._began_ms, run_id)

    @functools.cached_property
    def _live(self) -> "tuple[MlflowClient, str, dict[int, dict[str, float]]]":
        """The run of a training under way, and the points that it has: one that goes on draws from the beginning."""
        client = connection.connect()
        with reaching():
            run_id = delivery.open_run(client, self._begun, self._note)
            return client, run_id, registry.curve(run_id)

    def _note(self, run_id: str) -> None:
        self._opened = True
        self._file.parent.mkdir(exist_ok=True)
        self._file.write_text(run_id, encoding="utf-8")  # before all else: a kill must not leave a run that nobody ends

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        self._points[step] = dict(values)
        if not self._trains or self._lost:
            return
        try:
            client, run_id, drawn = self._live
            with reaching():
                delivery.draw(client, run_id, {step: values}, drawn)
        except Unreachable as error:
            self._lost = True
            _say(f"MLflow cannot be told: {error}; the training goes on")

    def judge(self, report: Report, out: Path) -> Report:
        if self._trains:
            return {}
        try:
            client = connection.connect()
            for failed in _tell_waiting(client):  # the training that is evaluated may be among it
                _say(f"MLflow takes nothing of {failed}")
            found = delivery.judge(client, self._begun, report, out)
        except Unreachable as error:
            found = Verdict(str(report["model"]), None, f"MLflow, which knows the champion, cannot be asked: {error}")
        found.write(out)
        return found.report()

    def finish(self, report: Report, artefact: Path, pictures: Mapping[str, Path]) -> Report:
        begun = self._begun
        if self._trains and self._file.exists():
            begun = dataclasses.replace(begun, run_id=self._file.read_text(encoding="utf-8"))
        done = dataclasses.replace(
            begun,
            ended_ms=time.time_ns() // 1_000_000,
            status="FINISHED",
            curve=self._points,
            report=report,
            pictures={**begun.pictures, **{f"{self._stage} {name}": path for name, path in pictures.items()}},
            made={**begun.made, self._stage: artefact},
        )
        try:
            client = connection.connect()
            for failed in _tell_waiting(client):
                _say(f"MLflow takes nothing of {failed}")
            return delivery.tell(client, done, self._note if self._trains else _forget)
        except Unreachable as error:
            kept = outbox.keep(done)
            _say(
                f"MLflow could not be told: {error}; what it lacks is in {kept}: "
                f"the next training or evaluation tells it, or `{outbox.CURE}`"
            )
            return dict.fromkeys(REGISTERED if self._stage == TRAINING else ANSWERS)

    def stop(self, status: str) -> None:
        if not self._opened:
            return
        ended = dataclasses.replace(
            self._begun,
            run_id=self._file.read_text(encoding="utf-8"),
            status=status,
            ended_ms=time.time_ns() // 1_000_000,
            pictures={},
        )
        try:
            if self._lost:
                raise Unreachable("it was gone before")
            delivery.tell(connection.connect(), ended, _forget)
        except Unreachable:
            outbox.keep(ended)


class _Publishing(RunRecord):
    """Tells the registry by which model what is served is."""

    def finish(self, report: Report, artefact: Path, pictures: Mapping[str, Path]) -> Report:
        if untold := serving_alias.tell(artefact):
            _say(untold)
        return {}


@contextlib.contextmanager
def recorded(stage: str, params: Frozen, out: Path, place: Place, tables: Tables) -> Iterator[RunRecord]:
    """Give a stage its record: a run of its own for a training, that of its training for an evaluation.

    `tables` are the parameters of all stages, which a run keeps. `ValueError` for what is no address of a tracker.
    """
    record = RunRecord()
    works = getattr(params, "enabled", True) and not getattr(params, "version", 0)  # a registered version has its run
    if stage == EVALUATION or (works and delivery.compared(stage)):
        connection.address()
        record = _Tracked(stage, params, place, tables, out)
    elif stage == PUBLISH:
        record = _Publishing()
    try:
        yield record
    except KeyboardInterrupt:
        record.stop("KILLED")
        raise
    except BaseException:
        record.stop("FAILED")
        raise


def sync() -> str:
    """Tell all that waits to be told; return what was done, `ValueError` where something still waits."""
    before = [kept for kept, _ in outbox.waiting()]
    client = connection.connect() if before or connection.HOME.exists() else None
    failed = list(_tell_waiting(client)) if client else []
    if failed:
        raise ValueError(f"MLflow takes nothing of {'; '.join(failed)}")
    return f"Told       {len(before)} of {len(before)} that waited in {outbox.FOLDER}" if before else "Nothing waits."


def _begun(stage: str, params: Frozen, place: Place, tables: Tables, began_ms: int, run_id: str) -> RunMessage:
    """Gather what a run is made of, and the way back to Dagster."""
    from mlflow.tracking.context.registry import resolve_tags

    tags = dict(resolve_tags())
    lock = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8")) if Path("dvc.lock").exists() else {}
    for name, row in (lock.get("stages") or {}).items():
        if name in STAGES[: STAGES.index(TRAINING)]:  # the line's model is another one, or the one before
            tags |= {f"dvc.{name}": out["md5"] for out in row.get("outs", []) if out["path"] == f"data/{name}"}
    if dagster_run := os.environ.get("DAGSTER_RUN_ID"):
        tags["dagster.run_id"] = dagster_run
        home = os.environ.get("VISNET_DAGSTER_UI", "http://127.0.0.1:3000").rstrip("/")
        tags["mlflow.note.content"] = f"[Dagster run]({home}/runs/{dagster_run})"
    tags["visnet.kind"] = "experiment" if place.apart else "line"
    learnt_from = [name for name in ("crops", "triplets") if name in edges(TRAINING if stage == EVALUATION else stage)]
    digests = {name: str((place.read_report(name) or {}).get("digest") or "") for name in learnt_from}
    sheets = {f"{name} sheet": REPORTS / f"{name}.png" for name in digests}
    return RunMessage(
        stage=stage,
        params=params.model_dump(),
        changed=params.model_dump(exclude_defaults=True),
        tables=tables,
        tags=tags,
        datasets={name: digest for name, digest in digests.items() if digest},
        trained=place.read_report(TRAINING) or {} if stage == EVALUATION else {},
        apart=bool(place.apart),
        began_ms=began_ms,
        run_id=run_id,
        pictures={key: path for key, path in sheets.items() if path.exists()} if stage != EVALUATION else {},
        made={TRAINING: place.artefact(TRAINING)} if stage == EVALUATION else {},
    )


def _tell_waiting(client: "MlflowClient") -> Iterator[str]:
    """Tell what waits, the oldest first, up to what is not taken: yield where that is kept, and why."""
    if not outbox.FOLDER.exists():
        return
    try:
        with locks.held(outbox.FOLDER):
            for kept, one in outbox.waiting():
                try:
                    delivery.tell(client, one, functools.partial(outbox.note, kept))
                except Unreachable as error:
                    yield f"{kept}: {error}"
                    return
                outbox.drop(kept)
    except ValueError as error:  # another process tells it, or a folder cannot be read
        yield str(error)


def _forget(run_id: str) -> None:
    pass


def _say(text: str) -> None:
    tqdm.write(f"  {' '.join(text.split())}", file=sys.stderr)
