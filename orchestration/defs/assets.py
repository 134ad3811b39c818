"""One asset per stage of dvc.yaml; only their icons are written here."""

from pathlib import Path

from orchestration.dvc import stage_asset
from orchestration.project import read_project

KINDS = {  # the icons in the asset graph
    "raw_images": {"dvc", "lance", "image"},
    "crops": {"dvc", "lance", "image"},
    "triplets": {"dvc", "parquet"},
    "trained_model": {"dvc", "pytorch", "mlflow"},
    "catalog_embeddings": {"dvc", "lance", "pytorch"},
    "knn_results": {"dvc", "lance"},
    "evaluation": {"dvc", "mlflow"},
}

# One group: Dagster folds several away, and the line is short enough to be seen whole.
assets = [
    stage_asset(stage, group_name="visnet", kinds=KINDS.get(name, {"dvc"}))
    for name, stage in read_project(Path.cwd()).items()
]
