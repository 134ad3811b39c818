"""Which model serves: every training is registered as `challenger`, and held against the `champion`."""

from pathlib import Path
from typing import TYPE_CHECKING

from visnet.stage import Report

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL = "visnet"


def register(client: "MlflowClient", run_id: str, artefact: Path) -> Report:
    """Register the files of a trained model as a new version, alias `challenger`."""
    import mlflow
    from mlflow.entities import LoggedModelStatus

    experiment_id = client.get_run(run_id).info.experiment_id
    model = client.create_logged_model(experiment_id, name=MODEL, source_run_id=run_id)
    for path in sorted(artefact.iterdir()):
        client.log_model_artifact(model.model_id, str(path))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    version = mlflow.register_model(f"models:/{model.model_id}", MODEL)
    client.set_registered_model_alias(MODEL, "challenger", version.version)
    return {"mlflow_model_version": str(version.version)}


def judge(client: "MlflowClient", version: str, report: Report, margin: float) -> Report:
    """Note a version's recall@1, and return the floor that the champion's sets on the same test.

    The first version that is judged becomes champion. An empty `version` (a model of another store) is only held
    against the champion.
    """
    from mlflow.exceptions import MlflowException

    if version:
        for name in ("recall_at_1", "test_digest"):
            client.set_model_version_tag(MODEL, version, name, str(report.get(name)))
    try:
        champion = client.get_model_version_by_alias(MODEL, "champion")
    except MlflowException:
        if version:
            client.set_registered_model_alias(MODEL, "champion", version)
        return {"champion": version or None, "champion_recall_at_1": None, "recall_at_1_min": None}
    recall = champion.tags.get("recall_at_1", "None")
    same_test = champion.tags.get("test_digest") == report.get("test_digest")
    theirs = float(recall) if same_test and recall != "None" else None
    return {
        "champion": str(champion.version),
        "champion_recall_at_1": theirs,
        "recall_at_1_min": None if theirs is None else round(theirs - margin, 6),
    }
