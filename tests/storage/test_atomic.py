"""A file is written whole or not at all: after an error, a kill at any step, and beside what an earlier kill left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from visnet.storage import atomic

KILLED = """
import os, signal, sys, pathlib
from visnet.storage import atomic

steps = int(sys.argv[2])
def killed(name, done):
    def step(*given, **more):
        global steps
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done(*given, **more)
    return step

for name in ("fsync", "replace"):
    setattr(os, name, killed(name, getattr(os, name)))
atomic.put_text(pathlib.Path(sys.argv[1]), "new")
"""


def test_an_error_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    atomic.put_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic.writing(path) as building:
        building.write_text(str(1 / len(building.name[:0])))
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("steps", "found"), [(0, "old"), (1, "old"), (2, "new"), (3, "new")])
def test_a_kill_before_any_step_leaves_the_old_or_the_new_one(steps: int, found: str, tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    atomic.put_text(path, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(steps)], check=False)
    assert done.returncode == (0 if steps == 3 else -signal.SIGKILL)  # fsync, replace, fsync of the folder
    assert path.read_text() == found
    atomic.put_text(path, "newer")
    assert [(left.name, left.read_text()) for left in tmp_path.iterdir()] == [("file.txt", "newer")]


def test_a_link_leads_elsewhere_in_one_step_and_replaces_a_folder(tmp_path: Path) -> None:
    link = tmp_path / "current"
    (link / "copied").mkdir(parents=True)  # as a copy that follows links leaves it
    for name in ("one", "two"):
        atomic.point(link, Path(name))
        assert os.readlink(link) == name
    assert [path.name for path in tmp_path.iterdir()] == ["current"]


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    atomic.replace(tmp_path / "old", tmp_path / "new")
    assert [path.name for path in tmp_path.rglob("*")] == ["old", "new"]
