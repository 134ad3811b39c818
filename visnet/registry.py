"""Which model serves: every training is registered as `challenger`, and held against the `champion`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from visnet.stage import Report
from visnet.tracker import EXPERIMENT, Unreachable, connect, page, reaching

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

MODEL = EXPERIMENT
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


def judge(client: "MlflowClient", version: str, report: Report, margin: float, *, crown: bool = True) -> Report:
    """Note a version's recall@1, and return the floor that the champion's sets on the same test.

    With `crown`, the first version that is judged becomes champion. An empty `version` (a model of another store) is
    only held against the champion.
    """
    from mlflow.exceptions import MlflowException

    if version:
        for name in ("recall_at_1", "test_digest"):
            client.set_model_version_tag(MODEL, version, name, str(report.get(name)))
    try:
        champion = client.get_model_version_by_alias(MODEL, "champion")
    except MlflowException:
        if version and crown:
            client.set_registered_model_alias(MODEL, "champion", version)
        return {
            "champion": version if version and crown else None,
            "champion_recall_at_1": None,
            "recall_at_1_min": None,
        }
    recall = champion.tags.get("recall_at_1", "None")
    same_test = champion.tags.get("test_digest") == report.get("test_digest")
    theirs = float(recall) if same_test and recall != "None" else None
    return {
        "champion": str(champion.version),
        "champion_recall_at_1": theirs,
        "recall_at_1_min": None if theirs is None else round(theirs - margin, 6),
    }


def find(version: int) -> "ModelVersion":
    """Return a registered version; `ValueError` names those there are, and what else can be done."""
    from mlflow.exceptions import MlflowException

    client = connect()
    try:
        return client.get_model_version(MODEL, str(version))
    except MlflowException:
        known = _known(_versions(client))
        raise ValueError(f"version {version} is not registered; there are {known}; version = 0 trains") from None


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

    `ValueError` when there is no such version, it was not evaluated, or the gate holds it back: on the same test, its
    recall@1 must not be lower than the champion's.
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
        if champion.tags.get("test_digest") != chosen.tags.get("test_digest"):
            raise ValueError(
                f"{name} and {theirs} were evaluated on different tests; evaluate both on one: "
                f"`python -m visnet experiment --version {champion.version}`, and the same for {chosen.version}"
            )
        if float(recall) < float(str(before)):
            raise ValueError(f"{name} finds recall@1 {float(recall):.4f}, less than {theirs}: {float(str(before)):.4f}")
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
    raise ValueError(f"no registered version, run or config is called {which!r}; versions are {_known(versions)}")
