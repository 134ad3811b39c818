"""Several processes that train one model together."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, signal, sys
from pathlib import Path
from tests.training.toy import Diary, digest, train

stopped = Diary(at_step=int(sys.argv[2]), act=lambda: os.kill(os.getpid(), signal.SIGTERM))
fitted = train(Path(sys.argv[1]), stopped if os.environ.get("LOCAL_RANK", "0") == "0" else None, devices=2, epochs=2)
print(fitted.epochs, fitted.photos, fitted.metrics["validation_triplet_accuracy"], digest(fitted), sep=" ")
"""


def trained(folder: Path, stopped_at: int = -1) -> subprocess.CompletedProcess[str]:
    """Train in two processes, the first of which may send itself a signal; both have ended."""
    script = folder / "two.py"
    script.write_text(SCRIPT)
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, str(script), str(folder / "run"), str(stopped_at)],
        env=where, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    done = trained(tmp_path_factory.mktemp("two"))
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [line for line in done.stdout.splitlines() if line.strip()]  # one process speaks
    return line.split()


def test_two_processes_train_one_model(undisturbed: list[str]) -> None:
    epochs, photos, accuracy, _ = undisturbed
    assert epochs == "2"
    assert int(photos) > 0
    assert float(accuracy) > 0.5


def test_a_signal_to_one_ends_both_with_their_epoch_and_they_go_on_together(
    undisturbed: list[str], tmp_path: Path
) -> None:
    stopped = trained(tmp_path, stopped_at=4)
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (-signal.SIGTERM, "", "")
    resumed = trained(tmp_path)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert resumed.stdout.split() == undisturbed
