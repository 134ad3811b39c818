"""Training: that it learns, stops, and goes on after a kill as if nothing had been."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.training.toy import (
    AUGMENT,
    LOSS,
    MANNERS,
    SHAPES,
    TRAIN,
    VALIDATION,
    Diary,
    Tiny,
    digest,
    options,
    train,
)
from visnet import zoo
from visnet.losses import right_order
from visnet.training import Fitted, fit

# Trains in every manner, in processes where packages of the pipeline are as good as not installed and which kill
# themselves at a step; they are forked from one, which imports once.
KILLED = """
import importlib.abc, os, signal, sys

ABSENT = ("pydantic", "pyarrow", "lance", "mlflow", "dagster", "dvc", "httpx", "orchestration")

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import visnet.embedding.embed
from pathlib import Path
from tests.training import toy
kill = toy.Diary(at_step=14, act=lambda: os.kill(os.getpid(), signal.SIGKILL))
for manner in toy.MANNERS:
    if not (child := os.fork()):
        toy.train(Path(sys.argv[1]) / manner, kill, **toy.MANNERS[manner])
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fitted, Diary]:
    log = Diary()
    return train(tmp_path_factory.mktemp("undisturbed"), log), log


def test_it_learns(undisturbed: tuple[Fitted, Diary], tmp_path: Path) -> None:
    with torch.inference_mode():
        untrained = right_order(Tiny().eval()(SHAPES.photos / 255.0), torch.from_numpy(VALIDATION)).float().mean()
    fitted = train(tmp_path, epochs=8, checkpoint_every_s=99.0)
    assert fitted.validation_triplet_accuracy is not None
    assert fitted.validation_triplet_accuracy >= max(0.8, float(untrained) + 0.05)
    assert fitted.train_triplet_accuracy > undisturbed[0].train_triplet_accuracy
    embeddings = fitted.model(SHAPES.photos / 255.0)  # the figures are those of the weights that came back
    share = right_order(embeddings, torch.from_numpy(VALIDATION)).double().mean().item()
    assert share == pytest.approx(fitted.validation_triplet_accuracy, abs=0.02)
    assert not fitted.model.training


def test_the_curve_has_a_row_for_each_epoch_and_one_bar_for_all_steps(undisturbed: tuple[Fitted, Diary]) -> None:
    fitted, log = undisturbed
    assert [step for step, _ in log.rows] == [1, 2, 3]
    names = {"train_loss", "train_triplet_accuracy", "validation_loss", "validation_triplet_accuracy", "lr"}
    assert all(set(row) == names for _, row in log.rows)
    assert log.rows[-1][1]["train_loss"] < log.rows[0][1]["train_loss"]
    assert log.total == log.done == 3 * 10  # 150 triplets in batches of at most 16
    assert (fitted.epochs, fitted.stopped_early, fitted.resumed_from_epoch) == (3, False, None)
    best = max(log.rows, key=lambda row: row[1]["validation_triplet_accuracy"])  # the first of equals
    assert (fitted.best_epoch, fitted.validation_loss) == (best[0], best[1]["validation_loss"])
    assert fitted.images_per_s > 0
    assert fitted.wall_s > 0


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For each manner a folder with what a training left that was killed in its second epoch."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", KILLED, str(folder)]
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=where, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")  # and without the packages that a bare GPU machine lacks
    assert done.stdout.split() == [str(-signal.SIGKILL)] * len(MANNERS)
    return folder


@pytest.mark.parametrize("manner", MANNERS)
def test_killed_and_resumed_it_ends_with_the_same_weights(manner: str, killed: Path, tmp_path: Path) -> None:
    whole = Diary()
    undisturbed = train(tmp_path / "undisturbed", whole, **MANNERS[manner])  # type: ignore[arg-type]
    tmp_path = killed / manner
    assert (tmp_path / "last.ckpt").is_file()
    (tmp_path / ".last.ckpt.building").write_bytes(b"cut short")  # what a kill during a write leaves
    log = Diary()
    resumed = train(tmp_path, log, **MANNERS[manner])  # type: ignore[arg-type]
    assert resumed.resumed_from_epoch in (1, 2)
    assert log.total == log.done == whole.total
    assert resumed.epochs == 3
    assert digest(resumed) == digest(undisturbed)
    assert log.rows == whole.rows  # the rows of epochs before the kill are said again


def test_asked_again_a_finished_training_does_nothing(undisturbed: tuple[Fitted, Diary], tmp_path: Path) -> None:
    first = train(tmp_path, epochs=1)
    log = Diary()
    again = train(tmp_path, log, epochs=1)
    assert digest(again) == digest(first)
    assert log.total is None
    assert len(log.rows) == 1
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["best-0001.safetensors", "last.ckpt"]
    other = Diary()
    train(tmp_path, other, epochs=1, seed=8)
    assert "is of other triplets or settings: training begins anew" in other.said[0]
    (tmp_path / "last.ckpt").write_bytes(b"no checkpoint")
    third = Diary()
    assert digest(train(tmp_path, third, epochs=1)) == digest(first)
    assert "cannot be read" in third.said[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint_and_is_raised_again(
    number: signal.Signals, undisturbed: tuple[Fitted, Diary], tmp_path: Path
) -> None:
    class Asked(Exception):
        pass

    def handler(*_: object) -> None:
        raise Asked

    before = signal.signal(number, handler)
    try:
        log = Diary(at_step=16, act=lambda: os.kill(os.getpid(), number))
        with pytest.raises(Asked):
            train(tmp_path, log, checkpoint_every_s=99.0)
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert log.done == 16
    log = Diary()
    assert digest(train(tmp_path, log)) == digest(undisturbed[0])
    assert "after 1 epochs and 6 steps" in log.said[0]


def test_a_second_signal_waits_for_a_checkpoint_that_is_being_written(
    undisturbed: tuple[Fitted, Diary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's writer ends in an error of its own, `unexpected pos`, where an exception runs through it."""
    write = torch.save

    class Interrupted(io.BytesIO):
        """A file during whose first bytes the training is interrupted twice."""

        def write(self, data: Any) -> int:
            if log.done >= 12 and not self.tell():
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            return super().write(data)

    begun, ended = [], []

    def interrupted(content: object, file: BinaryIO) -> None:
        begun.append(log.done)
        with Interrupted() as slow:
            write(content, slow)
            file.write(slow.getbuffer())
        ended.append(log.done)

    log = Diary()
    monkeypatch.setattr("torch.save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, log)
    monkeypatch.undo()
    assert begun[-1] >= 12
    assert ended == begun
    again = Diary()
    assert digest(train(tmp_path, again)) == digest(undisturbed[0])
    assert f"after 1 epochs and {ended[-1] - 10} steps" in again.said[0]


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    class Breaking(Tiny):
        calls = 0

        def forward(self, photos: Tensor) -> Tensor:
            self.calls += self.training
            return super().forward(photos) * (float("nan") if self.calls == 13 else 1.0)

    torch.manual_seed(0)
    with pytest.raises(
        ValueError,
        match=r"training loss is nan at epoch 2, step 3 of 10, a batch of the photos \d+, .*: training stopped",
    ) as caught:
        train(tmp_path, model=Breaking())
    assert "\n" not in str(caught.value)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert (kept["standing"]["epoch"], kept["standing"]["batch"]) == (1, 2)
    assert all(bool(torch.isfinite(value).all()) for value in kept["model"].values())


def test_a_step_that_explodes_is_not_kept(tmp_path: Path) -> None:
    wild = zoo.Optimizer(name="sgd", lr=1e6, momentum=0.99)

    class Bare(Tiny):
        def forward(self, photos: Tensor) -> Tensor:
            return self.body(photos) * 1e12

    torch.manual_seed(0)
    with pytest.raises(ValueError, match=r"(training loss|weight '.*') is (nan|inf) at epoch 1, step \d+ of 10"):
        train(tmp_path, model=Bare(), optimizer=wild, schedule=zoo.Schedule())
    if (tmp_path / "last.ckpt").exists():
        kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
        assert all(bool(torch.isfinite(value).all()) for value in kept["model"].values())


def test_it_stops_when_nothing_gets_better(tmp_path: Path) -> None:
    class Still(Tiny):
        def forward(self, photos: Tensor) -> Tensor:
            self.body.eval()
            return super().forward(photos)

    still = zoo.Optimizer(name="sgd", lr=1e-30, momentum=0.0)
    log = Diary()
    fitted = train(
        tmp_path, log, model=Still(), optimizer=still, epochs=9, patience=2, monitor="validation_triplet_accuracy"
    )
    assert (fitted.epochs, fitted.best_epoch, fitted.stopped_early) == (3, 1, True)
    assert len(log.rows) == 3
    assert train(tmp_path, model=Still(), optimizer=still, epochs=9, patience=2,
                 monitor="validation_triplet_accuracy").stopped_early  # fmt: skip


def test_it_trains_without_validation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    log = Diary()
    fitted = fit(
        Tiny(), SHAPES, TRAIN[:32], np.empty((0, 3), np.int64), labels=SHAPES.labels, options=options(epochs=2),
        loss=LOSS, augment=zoo.Augment(), checkpoint_dir=tmp_path, log=log,
    )  # fmt: skip
    assert fitted.best_epoch == 2
    assert fitted.validation_loss is None
    assert set(log.rows[0][1]) == {"train_loss", "train_triplet_accuracy", "lr"}


def test_bad_triplets_are_refused(tmp_path: Path) -> None:
    def refused(said: str, train_rows: np.ndarray, labels: np.ndarray = SHAPES.labels) -> None:
        with pytest.raises(ValueError, match=said):
            fit(
                Tiny(), SHAPES, train_rows, VALIDATION, labels=labels, options=options(), loss=LOSS,
                augment=AUGMENT, checkpoint_dir=tmp_path,
            )  # fmt: skip

    refused("there are no training triplets", np.empty((0, 3)))
    refused(r"train triplets are \[5, 2\]; must be \[T, 3\]", np.zeros((5, 2)))
    refused("train triplets name rows 0 to 96; allowed are 0 to 95", np.array([[0, 1, 96]]))
    refused(r"labels are \[3\]; must be \[96\]", TRAIN, np.zeros(3))
    with pytest.raises(ValueError, match="epochs must be at least 1, is 0"):
        options(epochs=0)


# --- the parts -------------------------------------------------------------------------------------------------------


def test_frozen_norms_keep_their_statistics(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Tiny()
    for layer in model.body[:2]:
        layer.requires_grad_(False)
    fitted = train(tmp_path, model=model, epochs=1)
    frozen, moved = fitted.model.body[1], fitted.model.body[4]  # type: ignore[index]
    assert torch.equal(frozen.running_mean, torch.zeros(16))
    assert frozen.num_batches_tracked == 0
    assert moved.num_batches_tracked == 10


def test_a_loss_over_whole_batches_cannot_be_watched_triplet_by_triplet(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"monitor 'validation_loss': proxy_anchor looks at a whole batch"):
        train(tmp_path, loss=zoo.Loss(name="proxy_anchor"), monitor="validation_loss")


def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    def flat() -> nn.Module:  # compiles in seconds, and has no dropout, whose numbers a compiler draws in its own way
        torch.manual_seed(0)
        return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 8))

    compiled = train(tmp_path, model=flat(), epochs=1, compile=True)
    plain = train(tmp_path / "plain", model=flat(), epochs=1)
    assert compiled.train_loss == pytest.approx(plain.train_loss, rel=1e-3)


TWO = """
import sys
from pathlib import Path
from tests.training.toy import train
fitted = train(Path(sys.argv[1]), devices=2, epochs=2)
print(fitted.epochs, fitted.photos, fitted.validation_triplet_accuracy, sep=" ")
"""


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO)
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "run")],
        env=where, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.strip()]  # one process speaks
    epochs, photos, accuracy = line.split()
    assert epochs == "2"
    assert int(photos) > 0
    assert float(accuracy) > 0.5
