"""What is said of a run to MLflow, and in which words: all of it again does no harm, so that it may be told twice."""

import csv
import dataclasses
import json
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from visnet.evaluation import verdict
from visnet.evaluation.verdict import Verdict
from visnet.pipeline import stage as stages
from visnet.pipeline.stage import Report
from visnet.tracking import connection, registry
from visnet.tracking.connection import EXPERIMENT, Unreachable, reaching
from visnet.tracking.outbox import RunMessage

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRAINING, EVALUATION = "trained_model", "evaluation"
# What people compare of runs: a run's metrics, beside its curves. Texts and counts are tags, and the report has all.
# A stage that trains another model than the line's says in TRACKED of its module which they are, and has runs, too.
COMPARED = {
    TRAINING: ("training_s", "images_per_s", "peak_memory_mib"),
    EVALUATION: (
        "recall_at_1", "recall_at_5", "recall_at_10", "triplet_accuracy", "colour_agreement", "category_agreement",
        "street_recall_at_1", "street_map_at_r", "augmented_recall_at_1",
        "recall_at_1_low", "recall_at_1_high", "fine_recall_at_1", "calibration_error",
    ),
}  # fmt: skip
BASELINES = tuple(
    f"{name}_recall_at_{k}" for name in ("frozen", "untrained", "colour_histogram", "random") for k in (1, 5)
)
AT_ONCE = 100  # what MLflow takes in one request
VALUE_CHARACTERS = 6000

Note = Callable[[str], None]


def compared(stage: str) -> tuple[str, ...]:
    """Return the fields of a stage's report that people compare of runs; () for a stage that has no run."""
    return COMPARED[stage] if stage in COMPARED else tuple(getattr(stages.module(stage), "TRACKED", ()))


def tell(client: "MlflowClient", message: RunMessage, note: Note) -> Report:
    """Tell MLflow all of a message, but what it has; return what it answers. `note` is given the run's id at once."""
    with reaching():
        if not message.report:
            if _known(client, message.run_id):
                client.set_terminated(message.run_id, message.status, message.ended_ms)
            return {}
        if message.stage == EVALUATION:
            return _tell_evaluation(client, message)
        return _tell_training(client, message, note)


def _tell_training(client: "MlflowClient", message: RunMessage, note: Note) -> Report:
    """Tell a training, and register the line's model; that of another stage is a part of what is published."""
    run_id, report = open_run(client, message, note), message.report
    draw(client, run_id, message.curve, registry.curve(run_id))
    _measure(client, run_id, message, {})
    registered: Report = {}
    if message.stage == TRAINING:
        entry = tomllib.loads((message.made[TRAINING] / "model.toml").read_text(encoding="utf-8"))
        _describe(client, run_id, {"model": {key: value for key, value in entry.items() if key != "departs"}})  # prose
        registered = registry.register(client, run_id, message.made[TRAINING], str(report["config"]))
    client.set_terminated(run_id, message.status, message.ended_ms)
    return {"mlflow_run_id": run_id, "mlflow_page": connection.page(client.get_run(run_id).info), **registered}


def _tell_evaluation(client: "MlflowClient", message: RunMessage) -> Report:
    """Speak in the run of the training that is evaluated; its own end is not that run's."""
    run_id = _run_of(client, message)
    _measure(client, run_id, message, _by_category(message.made[EVALUATION] / "recall.csv"))
    return {"mlflow_run_id": run_id, "mlflow_page": connection.page(client.get_run(run_id).info)}


def judge(client: "MlflowClient", message: RunMessage, report: Report, evaluation: Path) -> Verdict:
    """Keep how the model of an evaluation answered in its run, and hold that against the champion's answers."""
    with reaching():
        run_id, queries = _run_of(client, message), evaluation / verdict.QUERIES
        registry.keep_answers(client, run_id, queries)
        version, margin = registry.version_of(client, run_id), message.params["recall_at_1_margin"]
        return registry.judge(client, version, report, queries, margin, crown=not message.apart)


def _run_of(client: "MlflowClient", message: RunMessage) -> str:
    """Find the run of the model that is evaluated; a model that came from elsewhere gets one, and is registered."""
    trained = message.trained
    if _known(client, run_id := str(trained.get("mlflow_run_id") or "")):
        return run_id
    digest = str(trained.get("digest", ""))
    for run in client.search_runs([_experiment(client)], f"tags.`{TRAINING}.digest` = '{digest}'", max_results=1):
        return str(run.info.run_id)
    config = str(trained.get("config", "model"))
    run_id = open_run(client, dataclasses.replace(message, run_id=""), _forget, f"{config} from elsewhere")
    client.log_batch(run_id, tags=_tags({f"{TRAINING}.digest": digest, f"{TRAINING}.config": config}))
    registry.register(client, run_id, message.made[TRAINING], config)
    client.set_terminated(run_id, "FINISHED")
    return run_id


def open_run(client: "MlflowClient", message: RunMessage, note: Note, name: str = "") -> str:
    """Find or create the run of a message; say what it is made of and, last, every parameter of the line."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    run_id = message.run_id
    if not _known(client, run_id):
        name = name or _name(message)
        run_id = str(client.create_run(_experiment(client), message.began_ms, run_name=name).info.run_id)
    note(run_id)
    client.update_run(run_id, status="RUNNING")
    if client.get_run(run_id).data.params:
        return run_id
    client.log_batch(run_id, tags=_tags(message.tags))
    inputs = []
    for stage, digest in message.datasets.items():
        data = Dataset(name=stage, digest=digest, source_type="local", source=json.dumps({"uri": f"data/{stage}"}))
        inputs.append(DatasetInput(data, [InputTag("mlflow.data.context", "training")]))
    client.log_inputs(run_id, datasets=inputs)
    _describe(client, run_id, message.tables)
    return run_id


def _name(message: RunMessage) -> str:
    """Name a run so that people tell it from others: its config, what was changed of it, and when it began."""
    changed = {key: value for key, value in message.changed.items() if key not in ("config", "version")}
    began = time.strftime("%m-%d %H:%M", time.gmtime(message.began_ms / 1000))
    config = Path(str(message.params["config"])).stem if "config" in message.params else message.stage
    changed.pop("enabled", None)
    return " ".join([config, *(f"{key}={value}" for key, value in changed.items()), began])[
        : connection.NAME_CHARACTERS
    ]


def draw(
    client: "MlflowClient", run_id: str, points: Mapping[int, Mapping[str, float]], drawn: Mapping[int, Any]
) -> None:
    from mlflow.entities import Metric

    now_ms = time.time_ns() // 1_000_000
    new = [
        Metric(connection.fit(name), value, now_ms, step)
        for step, values in sorted(points.items())
        for name, value in values.items()
        if name not in drawn.get(step, {})
    ]
    for some in _batches(new):
        client.log_batch(run_id, metrics=some)


def _measure(client: "MlflowClient", run_id: str, message: RunMessage, more: Mapping[str, float]) -> None:
    """Log what people compare as metrics, counts and texts as tags, and the pictures."""
    from mlflow.entities import Metric

    report, stage = message.report, message.stage
    told = {name: report[name] for name in compared(stage) if report.get(name) is not None}
    told |= {f"baseline/{name}": report[name] for name in BASELINES if report.get(name) is not None}
    metrics = [
        Metric(connection.fit(name), float(value), message.ended_ms, 0)  # type: ignore[arg-type]
        for name, value in {**told, **more}.items()
    ]
    tags = {
        f"{stage}.{name}": str(value)
        for name, value in report.items()
        if isinstance(value, str | int) and name not in told
    }
    for some in _batches(metrics):
        client.log_batch(run_id, metrics=some)
    for few in _batches(_tags(tags)):
        client.log_batch(run_id, tags=few)
    for key, path in message.pictures.items():
        with Image.open(path) as image:  # by key, so that the page lays the same picture of two runs side by side
            client.log_image(run_id, image.convert("RGB"), key=key, step=0)


def _by_category(recall: Path) -> dict[str, float]:
    """Read recall@1 of each category, in a group of the page of its own."""
    with recall.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if float(row["k"]) == 1 and row["trained"]]
    return {
        f"recall_at_1/{row['category']}": float(row["trained"])
        for row in rows
        if row.get("scope", row["category"]) != "all"  # over all categories, which the report says
    }


def _describe(client: "MlflowClient", run_id: str, table: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    params = [Param(connection.fit(key), str(value)[:VALUE_CHARACTERS]) for key, value in _flat(table)]
    for some in _batches(params):
        client.log_batch(run_id, params=some)


def _tags(tags: Mapping[str, str]) -> list[Any]:
    from mlflow.entities import RunTag

    return [RunTag(connection.fit(key), value[:VALUE_CHARACTERS]) for key, value in tags.items()]


def _batches(rows: list[Any]) -> Iterable[list[Any]]:
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))


def _known(client: "MlflowClient", run_id: str) -> bool:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

    if not run_id:
        return False
    try:
        return str(client.get_run(run_id).info.lifecycle_stage) == "active"
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        return False


def _experiment(client: "MlflowClient") -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:  # between `connect` and now
        raise Unreachable(f"its experiment {EXPERIMENT!r} is gone")
    return str(found.experiment_id)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _forget(run_id: str) -> None:
    pass
