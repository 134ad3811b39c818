"""Processes that are forked instead of started end, fail and are killed as those that are started."""

import os
import subprocess
import time
from pathlib import Path

import psutil

from tests import forked
from tests.workspace import environment


def ask(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**environment(), "PATH": forked.path()}
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)


def test_words_the_folder_and_exit_codes_arrive(tmp_path: Path) -> None:
    (tmp_path / "params.toml").write_text("[nonsense]\n", encoding="utf-8")
    done = ask(tmp_path, "python", "-m", "visnet", "run", "crops")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nonsense" in done.stderr, "of the folder that it is called in"
    assert forked.tried(tmp_path, "nonsense").returncode == 254, "as dvc ends on words that it does not know"


def test_any_other_python_is_started_and_starts_others_in_the_same_way(tmp_path: Path) -> None:
    done = ask(tmp_path, "python", "-c", "import os, sys; print(os.getppid(), sys.executable, 'torch' in sys.modules)")
    assert done.stdout.split() == [str(os.getpid()), forked.python(), "False"]
    code = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-m', 'dvc', 'nonsense']))"
    assert ask(tmp_path, "python", "-c", code).returncode == 254, "with all that is installed here"


def test_who_is_killed_ends_what_was_forked_for_it(tmp_path: Path) -> None:
    env = {**environment(), "PATH": forked.path()}
    forked.dvc(tmp_path, "init", "-q", "--no-scm")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  long:\n    cmd: echo $PPID > parent; exec sleep 60\n", encoding="utf-8"
    )
    caller = subprocess.Popen([forked.programs() / "dvc", "repro", "-q"], cwd=tmp_path, env=env)
    parent, until = tmp_path / "parent", time.monotonic() + 60
    while not (parent.exists() and parent.read_text(encoding="utf-8")):
        assert time.monotonic() < until
        time.sleep(0.02)
    dvc = psutil.Process(int(parent.read_text(encoding="utf-8")))
    children = dvc.children()
    caller.kill()
    caller.wait()
    try:
        dvc.wait(10)
    finally:
        for child in children:
            child.kill()
