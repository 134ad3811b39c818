"""Which model serves: every training is registered as `challenger`, and held against the `champion`."""

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from visnet.errors import NotFound
from visnet.evaluation import verdict
from visnet.evaluation.verdict import Verdict
from visnet.pipeline.stage import Report
from visnet.tracking.connection import EXPERIMENT, Unreachable, connect, page, reaching

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

MODEL = EXPERIMENT
ANSWERS = "evaluation"  # the folder of a run's artifacts that holds how its model answered the test
DIGITS = 32  # of a model's digest, as the evaluation writes it
LEARNT = ("epochs", "best_epoch", "training_s", "images_per_s", "trained_photos", "peak_memory_mib")


def register(client: "MlflowClient", run_id: str, artefact: Path, config: str) -> Report:
    """Register the files of a trained model as a version, alias `challenger`; once, however often a run says so."""
    import mlflow
    from mlflow.entities import LoggedModelStatus

    if before := version_of(client, run_id):
        return {"mlflow_model_version": before}
    experiment_id = client.get_run(run_id).info.experiment_id
    model = client.create_logged_model(experiment_id, name=MODEL, source_run_id=run_id)
    for path in sorted(path for path in artefact.iterdir() if path.is_file()):
        client.log_model_artifact(model.model_id, str(path))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    version = mlflow.register_model(f"models:/{model.model_id}", MODEL)
    client.set_model_version_tag(MODEL, version.version, "config", config)
    client.set_registered_model_alias(MODEL, "challenger", version.version)
    return {"mlflow_model_version": str(version.version)}


def keep_answers(client: "MlflowClient", run_id: str, queries: Path) -> None:
    """Keep how a model answered each street photo in its run: later models are compared with that."""
    client.log_artifact(run_id, str(queries), ANSWERS)


def judge(
    client: "MlflowClient", version: str, report: Report, queries: Path, margin: float, *, crown: bool = True
) -> Verdict:
    """Note a version's recall@1 and model, and hold its answers against the champion's.

    With `crown`, the first version that is judged becomes champion. An empty `version` (a model of another store) is
    only held against the champion.
    """
    from mlflow.exceptions import MlflowException

    model = str(report["model"])
    if version:
        for name in ("recall_at_1", "test_digest", "model"):
            client.set_model_version_tag(MODEL, version, name, str(report.get(name)))
    try:
        champion = client.get_model_version_by_alias(MODEL, "champion")
    except MlflowException:
        if version and crown:
            client.set_registered_model_alias(MODEL, "champion", version)
            return Verdict(model, True, f"the first: version {version} is the champion from now on", version)
        return Verdict(model, True, "there is no champion that it could be compared with")
    if str(champion.version) == version:
        return Verdict(model, True, f"version {version} is the champion", version)
    theirs = _answers(client, champion)
    return verdict.judge(model, verdict.hits(queries), str(champion.version), theirs, margin)


def _answers(client: "MlflowClient", version: "ModelVersion") -> dict[str, bool]:
    """Return how a version answered each street photo, {} where its run has not kept that."""
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as scratch:
        try:
            kept = client.download_artifacts(str(version.run_id), f"{ANSWERS}/{verdict.QUERIES}", scratch)
        except (MlflowException, OSError):
            return {}
        return verdict.hits(Path(kept))


def name_serving(model: str) -> None:
    """Let the alias `serving` name the version of the model that is served; none has it where that is unknown."""
    from mlflow.exceptions import MlflowException

    client = connect()
    with reaching():
        of_it = [found for found in _versions(client) if found.tags.get("model") == model[:DIGITS]]
        if of_it:
            client.set_registered_model_alias(MODEL, "serving", of_it[0].version)
            return
        with contextlib.suppress(MlflowException):  # no such alias, or nothing is registered
            client.delete_registered_model_alias(MODEL, "serving")


def find(version: int) -> "ModelVersion":
    """Return a registered version; `ValueError` names those there are, and what else can be done."""
    from mlflow.exceptions import MlflowException

    client = connect()
    try:
        return client.get_model_version(MODEL, str(version))
    except MlflowException:
        known = _known(_versions(client))
        raise NotFound(f"version {version} is not registered; there are {known}; version = 0 trains") from None


def version_of(client: "MlflowClient", run_id: str) -> str:
    """Return the version that a run's model is registered as, "" where it is not."""
    return max((str(v.version) for v in _versions(client, f"run_id='{run_id}'")), key=int, default="")


def take(version: int, out: Path) -> Report:
    """Copy the files of a registered version to a folder; return what its training said of itself.

    `ValueError` when there is no such version, or its files are gone.
    """
    import mlflow

    found, client = find(version), connect()
    try:
        with reaching():
            mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version}", dst_path=str(out))
            if not any(out.iterdir()):  # MLflow takes a folder that is gone for an empty one
                where = client.get_model_version_download_uri(MODEL, str(version))
                raise Unreachable(f"its files are gone from {where}")
            run = client.get_run(str(found.run_id))
    except Unreachable as error:
        config = found.tags.get("config", "of unknown config")
        raise ValueError(
            f"version {version} ({config}) cannot be had: {error}; take another, or set version = 0, which trains"
        ) from None
    return {
        "mlflow_run_id": run.info.run_id,
        "mlflow_page": page(run.info),
        "mlflow_model_version": str(found.version),
        **{name: value for name in LEARNT if (value := _learnt(run, name)) is not None},
    }


def _learnt(run: "Run", name: str) -> int | float | None:
    """Read a number that a training said of itself: a tag, or a metric, as all once were."""
    value = run.data.tags.get(f"trained_model.{name}", run.data.metrics.get(name))
    if value is None:
        return None
    number = float(value)
    return int(number) if number.is_integer() else number


def curve(run_id: str) -> dict[int, dict[str, float]]:
    """Return the curves of a training: epoch -> name -> value, the epochs in order."""
    client = connect()
    points: dict[int, dict[str, float]] = {}
    with reaching():
        for name in sorted(client.get_run(run_id).data.metrics):
            if name.startswith(("train_", "validation_")) or name == "lr":
                for point in client.get_metric_history(run_id, name):
                    if point.step:  # the others say something of the whole training, once
                        points.setdefault(point.step, {})[name] = point.value
    return dict(sorted(points.items()))


def promote(which: str) -> Report:
    """Make a version champion: by its number, its run's id or the beginning of it, or its config (the newest of it).

    `ValueError` when there is no such version, it was not evaluated, or the gate holds it back: on the street photos
    that both have answered, it must not find fewer than the champion, but for chance (see `visnet.evaluation.verdict`).
    """
    from mlflow.exceptions import MlflowException

    client = connect()
    chosen = _find(client, which)
    name = f"version {chosen.version} ({chosen.tags.get('config', 'of unknown config')})"
    recall = chosen.tags.get("recall_at_1", "None")
    if recall == "None":
        raise ValueError(f"{name} has no recall@1: evaluate it first, on street photos of known products")
    try:
        champion = client.get_model_version_by_alias(MODEL, "champion")
    except MlflowException:
        champion = None
    before = None if champion is None else champion.tags.get("recall_at_1", "None")
    if champion is not None and before != "None" and champion.version != chosen.version:
        theirs = f"the champion, version {champion.version} ({champion.tags.get('config')})"
        found = verdict.compare(_answers(client, chosen), _answers(client, champion))
        if found is None or found.questions < verdict.COMMON_MIN:
            raise ValueError(
                f"{name} and {theirs} have answered {0 if found is None else found.questions} street photos in common, "
                f"{verdict.COMMON_MIN} are needed; evaluate both on one test: "
                f"`python -m visnet experiment --version {champion.version}`, and the same for {chosen.version}"
            )
        if found.high < 0:
            raise ValueError(
                f"{name} finds recall@1 {found.recall_at_1:.4f} on {found.questions} photos, less than {theirs}: "
                f"{found.other_recall_at_1:.4f}, by more than chance: the 95 % interval of the difference is "
                f"{found.low:.4f} to {found.high:.4f}"
            )
    client.set_registered_model_alias(MODEL, "champion", chosen.version)
    return {
        "version": int(chosen.version),
        "config": chosen.tags.get("config"),
        "recall_at_1": float(recall),
        "champion_before": None if champion is None else str(champion.version),
        "champion_recall_at_1": None if before in (None, "None") else float(str(before)),
    }


def runs(client: "MlflowClient") -> "list[Run]":
    """List all runs of the experiment, newest first."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found: list[Run] = []
    token: str | None = ""
    while experiment is not None and token is not None:
        some = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token or None)
        found += some
        token = some.token or None
    return found


def standings(client: "MlflowClient") -> dict[str, tuple[str, str]]:
    """Return run id -> its version and that one's alias, `champion` or `challenger`, "" where it has none."""
    from mlflow.exceptions import MlflowException

    aliases: dict[str, str] = {}
    for alias in ("challenger", "champion"):  # who is both is champion
        try:
            aliases[str(client.get_model_version_by_alias(MODEL, alias).version)] = alias
        except MlflowException:
            continue
    found = _versions(client)
    return {v.run_id: (str(v.version), aliases.get(str(v.version), "")) for v in reversed(found) if v.run_id}


def _versions(client: "MlflowClient", which: str = f"name='{MODEL}'") -> "list[ModelVersion]":
    """List all versions, newest first; the search leaves their aliases out."""
    found: list[ModelVersion] = []
    token: str | None = ""
    while token is not None:
        some = client.search_model_versions(which, max_results=1000, page_token=token or None)
        found += some
        token = some.token or None
    return sorted((v for v in found if v.name == MODEL), key=lambda v: -int(v.version))


def _known(versions: "Sequence[ModelVersion]") -> str:
    return ", ".join(f"{v.version} ({v.tags.get('config')})" for v in versions[:8]) or "none yet"


def _find(client: "MlflowClient", which: str) -> "ModelVersion":
    versions = _versions(client)
    for found in versions:
        by_run = len(which) >= 6 and (found.run_id or "").startswith(which)
        if str(found.version) == which or by_run or found.tags.get("config") == which:
            return found
    raise NotFound(f"no registered version, run or config is called {which!r}; versions are {_known(versions)}")
