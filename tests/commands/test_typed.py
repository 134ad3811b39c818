"""What a person types: help by purpose, one line for each mistake, completion in the shell; and no import in vain."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workspace import ROOT, environment
from visnet.pipeline.stage import STAGES

PANELS = {
    "The catalog": [
        "init",
        "summary",
        "similar",
        "categorize",
        "serve",
        "trace",
        "events",
        "versions",
        "deploy",
        "rollback",
        "roll-forward",
        "compact",
        "verify",
        "duplicates-view",
        "quality-view",
        "keys",
    ],
    "Models": ["zoo", "experiment", "leaderboard", "promote", "sync-runs", "triplets-view"],
    "The change feed": ["feed", "emit-feed"],
    "The pipeline": ["run"],
}
SLOW = ["torch", "lance", "mlflow", "pandas", "numpy", "PIL", "pyarrow"]

# As `python -m visnet`, then the slow modules that were imported, on stderr.
WATCHED = f"""
import sys
from visnet.__main__ import main
try:
    code = main()
finally:
    print(*[name for name in {SLOW!r} if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""

# Asks one command after the other for its help; tells of each its exit code, its words, and the slow modules that are
# there after it: were there any, it is the first of the commands that name them whose help imports them.
EXPLAINED = f"""
import contextlib, io, json, sys
from visnet.__main__ import main
told = {{}}
for command in sys.argv[1:]:
    sys.argv, words = ["visnet", command, "-h"], io.StringIO()
    with contextlib.redirect_stdout(words):
        code = main()
    told[command] = code, words.getvalue(), [name for name in {SLOW!r} if name in sys.modules]
print(json.dumps(told))
"""
COMMANDS = [name for names in PANELS.values() for name in names]


def typed(*words: str, code: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a real process, outside of any workspace."""
    command = [sys.executable, *(["-m", "visnet"] if code is None else ["-c", code]), *words]
    env = {**environment(), "PYTHONPATH": str(ROOT), **environ}
    return subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, timeout=120)


def test_help_is_by_purpose_people_first_plain_where_it_is_piped_and_imports_nothing_slow() -> None:
    done = typed("--help", code=WATCHED)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert "\x1b" not in done.stdout
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("╭─"):
            found[line.strip("╭─╮ ")] = commands = []
        elif line.startswith("│ ") and line[2] not in " -":
            commands.append(line.split()[1])
    del found["Options"]
    assert list(found.items()) == list(PANELS.items())


@pytest.fixture(scope="module")
def explained() -> dict[str, tuple[int, str, list[str]]]:
    """The help of every command, asked for in one process."""
    done = typed(*COMMANDS, code=EXPLAINED)
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, tuple[int, str, list[str]]] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_without_slow_imports(
    explained: dict[str, tuple[int, str, list[str]]], command: str
) -> None:
    code, words, slow = explained[command]
    assert (code, slow) == (0, [])
    assert f"Usage: visnet {command} " in words


def test_the_version() -> None:
    assert typed("--version").stdout == "visnet 0.1.0\n"


# Makes one mistake after the other; tells of each the exit code, and what was written to stdout and stderr.
MISTAKEN = """
import contextlib, io, json, sys
from visnet.__main__ import main
told = []
for words in sys.argv[1:]:
    sys.argv, out, err = ["visnet", *words.split()], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main()
    told.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(told))
"""
MISTAKES = {
    "": "visnet: Missing command (see `visnet --help`)",
    "crosp": "visnet: No such command 'crosp' (see `visnet --help`)",
    "summry": "visnet: No such command 'summry'. Did you mean 'summary'? (see `visnet --help`)",
    "--nope": "visnet: No such option: --nope (see `visnet --help`)",
    "feed --nope": "visnet feed: No such option: --nope (see `visnet feed --help`)",
    "run": "visnet run: Missing argument 'STAGE' (see `visnet run --help`)",
    "crops": "visnet run: params.toml: no such file here",  # as scripts of before have it
    "run crosp": f"visnet run: no stage is called 'crosp'; there are {', '.join(STAGES)}",
    "similar x.jpg -k 0": "visnet similar: Invalid value for '-k': Input should be greater than or equal to 1 ",
    "similar x.jpg --box 1 2": "visnet similar: Option '--box' requires 4 arguments ",
    "triplets-view --split tests": "visnet triplets-view: Invalid value for '--split': 'tests' is not one of ",
    "triplets-view --port 70000": "visnet triplets-view: Invalid value for '--port': Input should be less than ",
    "rollback first": "visnet rollback: Invalid value for 'VERSION': Input should be a valid integer",
    "emit-feed x --hours 0": "visnet emit-feed: Invalid value for '--hours': Input should be greater than ",
    "emit-feed x --churn 2": "visnet emit-feed: Invalid value for '--churn': Input should be less than ",
    "emit-feed x --start May": "visnet emit-feed: Invalid value for '--start': Input should be a valid datetime",
}


@pytest.fixture(scope="module")
def mistaken() -> dict[str, tuple[int, str, str]]:
    """What is said of each mistake in a narrow terminal, all made in one process."""
    done = typed(*MISTAKES, code=MISTAKEN, COLUMNS="20", FORCE_COLOR="1")
    assert (done.returncode, done.stderr) == (0, "")
    return dict(zip(MISTAKES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line_whatever_the_width_of_the_terminal(
    mistaken: dict[str, tuple[int, str, str]], words: str
) -> None:
    code, out, err = mistaken[words]
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(MISTAKES[words])


def test_a_mistake_ends_the_process_with_2() -> None:
    done = typed("crosp")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(MISTAKES["crosp"])


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_one_line_and_130(stop: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "visnet", "emit-feed", "feed", "--hours", "100000", "--side-px", "16"]
    env = {**environment(), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as child:
        deadline_s = time.monotonic() + 60
        while not (tmp_path / "feed").exists() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        child.send_signal(stop)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert said.splitlines()[-1] == "visnet emit-feed: interrupted; run it again to go on"
    assert "Traceback" not in said


def test_a_fault_of_ours_is_a_plain_traceback() -> None:
    code = "from visnet.commands import summary; summary.text = None; from visnet.__main__ import main; main()"
    done = typed("summary", code=code)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("TypeError: 'NoneType' object is not callable\n")
    assert "╭" not in done.stderr


def completed(line: str) -> list[str]:
    """Return what Tab offers at the end of a line, as the script asks for it that bash reads."""
    words = line.split(" ")
    asked = {"_VISNET_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = typed(code=WATCHED, **asked)
    assert done.stderr.strip() == "", done.stderr
    return done.stdout.split()


def test_commands_stages_and_models_complete_without_torch() -> None:
    assert completed("visnet ro") == ["rollback", "roll-forward"]
    assert completed("visnet run ") == list(STAGES)
    assert completed("visnet run t") == ["taxonomy_model", "triplets", "trained_model"]
    entries = sorted(path.stem for path in (ROOT / "visnet/zoo").glob("*.toml"))
    assert completed("visnet experiment ") == entries
    assert completed("visnet experiment mildnet_small mildnet_m") == [e for e in entries if e.startswith("mildnet_m")]
    assert completed("visnet triplets-view --split ") == ["train", "validation", "test"]


def test_bash_completes_once_it_has_been_installed(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "visnet"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m visnet "$@"\n')
    program.chmod(0o755)
    env = {**environment(), "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    env["PATH"] = os.pathsep.join([str(program.parent), env["PATH"]])

    def bash(script: str) -> str:
        done = subprocess.run(["bash", "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "bash completion installed in" in bash("visnet --install-completion; true")
    assert "_VISNET_COMPLETE=complete_bash" in bash("visnet --show-completion; true")
    pressed = 'COMP_WORDS=(visnet run kn); COMP_CWORD=2; _visnet_completion visnet; echo "${COMPREPLY[@]}"'
    assert bash(f"source ~/.bashrc; {pressed}") == "knn_results\n"
