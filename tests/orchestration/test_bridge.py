"""A stage as an asset, without servers: what is shown, what stops, what a failure says."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import psutil
import pytest

from orchestration.dvc import Dvc, gate, stage_asset
from orchestration.process import run
from orchestration.project import read_project
from tests.orchestration.running import Toy, environment, lives, wait


def materialize(toy: Toy, only: str, checks: list[dg.AssetChecksDefinition]) -> dg.ExecuteInProcessResult:
    resources = {"dvc": Dvc(root=str(toy.root), busy_wait_s=0.5)}
    assets = [stage_asset(stage) for name, stage in read_project(toy.root).items() if name == only]
    return dg.materialize([*assets, *checks], resources=resources, raise_on_error=False)


def failure(result: dg.ExecuteInProcessResult, step: str) -> str:
    return next(
        e for e in result.all_events if e.is_step_failure and e.step_key == step
    ).step_failure_data.error_display_string


@pytest.mark.parametrize(
    ("report", "passes", "says"),
    [
        ({"lost": 0.1, "lost_max": 0.1}, True, "at most 0.1"),
        ({"lost": 0.2, "lost_max": 0.1}, False, "lost is 0.2; at most 0.1 is allowed"),
        ({"lost": 0.2, "lost_max": None}, True, "no limit is set"),
        ({"lost": 0.2}, True, "no limit is set"),
        ({"lost": None, "lost_max": 0.1}, False, "no number"),
        ({"lost_max": 0.1}, False, "no number"),
        ({"lost": 0.0, "lost_max": "much"}, False, "not a number"),
        (None, False, "no such report"),
    ],
)
def test_a_gate_compares_two_keys_of_one_report(
    tmp_path: Path, report: dict[str, object] | None, passes: bool, says: str
) -> None:
    if report is not None:
        (tmp_path / "photos.json").write_text(json.dumps(report))
    result = gate("photos", "lost", "max", "why")(dvc=Dvc(root=str(tmp_path), reports="."))
    assert isinstance(result, dg.AssetCheckResult)
    assert (result.passed, says in (result.description or "")) == (passes, True), result.description


@pytest.mark.parametrize(
    ("rate", "reason"),
    [
        (2.0, "model: error: params.toml: [model] learning_rate: at most 1, please"),
        (-1.0, "model: ValueError: a rate is positive"),  # the exception, not the last line of its text
    ],
)
def test_a_failing_stage_says_its_own_reason(toy: Toy, rate: float, reason: str) -> None:
    toy.dvc("repro", "--single-item", "photos")
    toy.set("learning_rate", rate)
    result = materialize(toy, "model", [])
    assert not result.success
    assert f"Failure: {reason}\n" in failure(result, "model")


def test_what_a_shell_holds_is_waited_for(toy: Toy) -> None:
    toy.dvc("repro", "--single-item", "photos")
    toy.set("seconds", 4)
    shell = subprocess.Popen([sys.executable, "-m", "dvc", "repro", "-s", "model"], cwd=toy.root, env=environment())
    wait((toy.root / "under_way").exists, "the shell's stage to start")
    (toy.root / "source.txt").write_text("crimson\n")  # photos would now be written while model reads it
    result = materialize(toy, "photos", [])
    assert shell.wait() == 0
    assert result.success
    assert any(event.event_type_value == "STEP_UP_FOR_RETRY" for event in result.all_events)


def test_no_process_of_a_group_survives_its_run(tmp_path: Path) -> None:
    """A child that is deaf to interrupts and outlives its program goes with it, and nothing waits for ever."""
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    script = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {deaf!r}]).pid, flush=True)"
    started = time.monotonic()
    code, said = run([sys.executable, "-c", script], cwd=tmp_path, env=os.environ, grace_s=1)
    assert (code, time.monotonic() - started < 20) == (0, True)
    assert not psutil.pid_exists(int(said[-1])) or not lives(psutil.Process(int(said[-1])))
