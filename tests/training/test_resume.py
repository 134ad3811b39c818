"""Checkpoints: after a kill training goes on as if nothing had been, and what is not its own is ignored."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.toy import MANNERS, Diary, digest, train

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


def test_asked_again_a_finished_training_does_nothing(tmp_path: Path) -> None:
    first = train(tmp_path, epochs=1)
    log = Diary()
    again = train(tmp_path, log, epochs=1)
    assert digest(again) == digest(first)
    assert log.total is None
    assert len(log.rows) == 1
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["best-0001.safetensors", "last.ckpt"]
    other = Diary()
    train(tmp_path, other, epochs=1, seed=8)
    assert "is of other data or settings: training begins anew" in other.said[0]
    (tmp_path / "last.ckpt").write_bytes(b"no checkpoint")
    third = Diary()
    assert digest(train(tmp_path, third, epochs=1)) == digest(first)
    assert "cannot be read" in third.said[0]
