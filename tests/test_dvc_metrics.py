"""What `dvc metrics` shows fits a terminal: what people compare, and not all that the code needs."""

import shutil
from pathlib import Path

from tests.forked import dvc
from tests.test_structure import ROOT
from tests.workspace import shell
from visnet.pipeline import stage as stages
from visnet.pipeline.reports import write_metrics

WIDE, HIGH = 120, 25
LARGE = {"lost": 123_456, "products": 1_234_567, "training_s": 123_456.789}  # a share has five digits


def put(folder: Path, change: int) -> None:
    """Write the metrics of every stage, among what else a report has."""
    for stage in stages.STAGES:
        names = getattr(stages.module(stage), "METRICS", ())
        values = {name: LARGE.get(name, 0.123456) * (1 + change) for name in names}
        write_metrics(stage, {"digest": "0" * 32, **values, "wall_s": 1.0}, names, folder / "reports")


def test_metrics_fit_a_terminal(tmp_path: Path) -> None:
    for name in ("dvc.yaml", "params.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shell(tmp_path, "git", "init", "-q")
    dvc(tmp_path, "init", "-q")
    put(tmp_path, 0)
    shell(tmp_path, "git", "add", "-A")
    shell(tmp_path, "git", "-c", "user.email=shop@example.org", "-c", "user.name=A shop", "commit", "-qm", "A shop")
    shown = dvc(tmp_path, "metrics", "show").rstrip().splitlines()
    assert max(map(len, shown)) <= WIDE, shown[0]
    for name in ("recall_at_1", "triplet_accuracy", "training_s", "lost"):
        assert name in shown[0]
    put(tmp_path, 1)
    different = dvc(tmp_path, "metrics", "diff").rstrip().splitlines()
    assert max(map(len, different)) <= WIDE
    assert len(shown) < len(different) <= HIGH


def test_what_has_no_value_is_left_out(tmp_path: Path) -> None:
    write_metrics(
        "evaluation", {"recall_at_1": None, "triplet_accuracy": 0.5}, ("recall_at_1", "triplet_accuracy"), tmp_path
    )
    assert (tmp_path / "metrics/evaluation.json").read_text() == '{\n "triplet_accuracy": 0.5\n}\n'
    write_metrics("triplets", {"triplets": 5}, (), tmp_path)
    assert not (tmp_path / "metrics/triplets.json").exists()
