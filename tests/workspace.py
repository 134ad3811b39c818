"""A small shop in a folder of its own: the project's code and dvc.yaml with parameters that build in a minute."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.apart import Done

ROOT = Path(__file__).resolve().parent.parent

SMALL = """
[raw_images]
source = "synthetic"
metadata = "visnet/sources/synthetic.py"
lost_share_max = 0.0
commit_every = 16

[raw_images.synthetic]
products = 88
side_px = 80
seed = 5

[crops]
side_px = 96
validation_share = 0.2

[triplets]
train = 64
validation = 32
test = 64

[trained_model]
config = "mildnet_small"
side_px = 64
epochs = 2

[catalog_embeddings]
batch = 16
commit_every = 32

[knn_results]
k = 20

[evaluation]
recall_at_1_margin = 1.0

[publish]
probe_recall_at_1_drop_max = 1.0
"""


def environment() -> dict[str, str]:
    """What commands start with: this interpreter first, nothing inherited that redirects the tracker."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DAGSTER_", "VISNET_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), keep.get("PATH", "")])
    return {**keep, "PATH": path, "PYTHONUNBUFFERED": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


def make(folder: Path, params: str = SMALL) -> Path:
    """Lay out a workspace: a git repository with DVC, the code, and these parameters."""
    from tests import forked  # torch and Lance, which not every test needs

    folder.mkdir(parents=True)
    for name in ("visnet", "kernels", "orchestration"):
        # With what Python has compiled of it, but for what it is writing at this moment.
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))
    for name in (
        "dvc.yaml",
        "localizer.toml",
        "duplicates.toml",
        "taxonomy_model.toml",
        "photo_quality.toml",
        "exclusions.csv",
        "duplicates.csv",
        "photo_quality.csv",
        "taxonomy.txt",
        "taxonomy_changes.csv",
        ".dvcignore",
        ".gitignore",
        "pyproject.toml",
    ):
        shutil.copy(ROOT / name, folder / name)
    (folder / "params.toml").write_text(params)
    shell(folder, "git", "init", "-q", "-b", "main")
    shell(folder, "git", "config", "user.email", "shop@example.org")
    shell(folder, "git", "config", "user.name", "A shop")
    forked.dvc(folder, "init", "-q")
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    shell(folder, "git", "add", "-A")
    shell(folder, "git", "commit", "-qm", "A shop")
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a workspace, whatever comes of it."""
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=900)


def shell(folder: Path, *command: str) -> str:
    """Run a command in a workspace; it must end well."""
    done = run(folder, *command)
    assert done.returncode == 0, f"{' '.join(command)} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def visnet(folder: Path, *words: str) -> "Done":
    """Run `python -m visnet` in a workspace, with this code instead of the workspace's copy."""
    from tests.apart import Work  # torch and Lance, which not every test needs

    return Work(folder, words).end()


def report(folder: Path, stage: str) -> dict[str, Any]:
    """Read a stage's report."""
    return json.loads((folder / "reports" / f"{stage}.json").read_text())
