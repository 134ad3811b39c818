"""A tiny shop that a network of one convolution learns in a second: photos, a table, splits; stages in this process."""

import contextlib
import csv
import importlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from tests import refreshing
from tests.apart import within
from tests.refreshing import draw
from visnet.runs import runner
from visnet.tracking import connection

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
PARAMS = """
[raw_images]
source = "table"
metadata = "stock.csv"

[raw_images.table.columns]
side = "side"
split = "split"

[crops]
side_px = 32

[triplets]
train = 16
validation = 8
test = 8

[trained_model]
config = "tiny.toml"
epochs = 2

[catalog_embeddings]
batch = 8

[knn_results]
k = 5
similar_k = 3

[evaluation]
recall_at_1_margin = 1.0

[publish]
probe_recall_at_1_drop_max = 1.0
"""
TINY = """
source = "one convolution: what a test can afford"
departs = []
side_px = 64
weights = "none"
epochs = 9

[architecture]
kind = "tapped"
trunk = "plain"
taps = [1]
dense = [16]

[loss]
name = "sq_hinge"
margin = 3.0

[batches]
triplets = 8

[optimizer]
name = "sgd"
lr = 0.01
"""
CATEGORIES = ("bag", "hat")
SPLITS = (*["train"] * 3, *["validation"] * 2, *["test"] * 2)


def make(folder: Path, categories: tuple[str, ...] = CATEGORIES) -> Path:
    """Lay the shop out up to its triplets, with a tracker that has seen nothing."""
    folder.mkdir(parents=True)
    (folder / "params.toml").write_text(PARAMS)
    (folder / "tiny.toml").write_text(TINY)
    rows = []
    for category in range(len(categories)):
        for number, split in enumerate(SPLITS):
            for at, side in enumerate(("shop", "shop", "street", "street")):
                name = f"{category}-{number}-{at}.png"
                draw(folder / "images" / name, f"{category} {number}", at)
                rows.append([categories[category], "red", f"{category}-{number}", name, side, split])
    with (folder / "stock.csv").open("w", newline="") as file:
        csv.writer(file).writerows([refreshing.HEADER, *rows])
    for stage in refreshing.SWITCHED_OFF:
        (folder / "data" / stage).mkdir(parents=True)
    run(folder, "raw_images", "crops", "triplets")
    with within(folder):
        connection.connect()
    return folder


def run(folder: Path, *stages: str) -> None:
    """Run stages in the shop, in this process."""
    with within(folder):
        for stage in stages:
            runner.run(stage)


def evaluate(folder: Path) -> None:
    """Run all from the embeddings to the evaluation."""
    run(folder, "catalog_embeddings", "knn_results", "evaluation")


def copy(shop: Path, to: Path) -> Path:
    """Copy a shop, to be changed."""
    return Path(shutil.copytree(shop, to, symlinks=True))


def setting(folder: Path, old: str, new: str) -> None:
    """Change the parameters."""
    params = folder / "params.toml"
    assert old in params.read_text()
    params.write_text(params.read_text().replace(old, new))


def model(folder: Path) -> bytes:
    """Read the weights of the shop's model."""
    return (folder / "data/trained_model/model.safetensors").read_bytes()


@contextlib.contextmanager
def tracked_at(uri: str | None) -> Iterator[None]:
    """Have the tracker at an address."""
    before = os.environ.pop("MLFLOW_TRACKING_URI", None)
    if uri is not None:
        os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        yield
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


def killed_after(module: str, name: str) -> None:
    """Have this process killed as soon as a function of a module has done its work."""
    owner = importlib.import_module(module)
    done = getattr(owner, name)

    def done_and_killed(*args: object, **options: object) -> None:
        done(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, done_and_killed)
