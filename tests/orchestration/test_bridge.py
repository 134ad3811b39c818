"""A stage as an asset, without servers: what is shown, what stops, what a failure says."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run  # as a launcher does with a run that was queued

from orchestration.bridge.commands import mendable, reason_of
from orchestration.bridge.dvc import Dvc, stage_asset
from orchestration.bridge.gates import check_of, judged
from orchestration.bridge.process import run
from orchestration.bridge.project import Gate, due, read_lock, read_project
from orchestration.bridge.provenance import lock_sensor
from tests.orchestration.running import Toy, environment, lives, wait


def materialize(toy: Toy, only: str, checks: list[dg.AssetChecksDefinition], **look: Any) -> dg.ExecuteInProcessResult:
    resources = {"dvc": Dvc(root=str(toy.root), busy_wait_s=0.5)}
    assets = [stage_asset(stage, **look) for name, stage in read_project(toy.root).items() if name == only]
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
    result = check_of("photos", Gate("lost", "max", "why"))(dvc=Dvc(root=str(tmp_path), reports="."))
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


def test_a_shell_that_undoes_what_a_run_did_is_seen_however_the_looks_fall(
    toy: Toy, instance: dg.DagsterInstance
) -> None:
    stage = read_project(toy.root)["photos"]
    dvc, gate = Dvc(root=str(toy.root), busy_wait_s=0.5), check_of("photos", stage.gates[0])
    everything = dg.define_asset_job("all", executor_def=dg.in_process_executor)
    defs = dg.Definitions([stage_asset(stage)], asset_checks=[gate], jobs=[everything], resources={"dvc": dvc})
    job = defs.resolve_job_def("all")
    sensor, cursor = lock_sensor(toy.root, partial(judged, [gate], dvc)), None

    def look() -> int:
        nonlocal cursor
        with dg.build_sensor_context(instance, cursor=cursor) as context:
            result = sensor(context)
        if isinstance(result, dg.SkipReason):
            return 0
        cursor = result.cursor
        for event in result.asset_events:
            instance.report_runless_asset_event(event)
        return len(result.asset_events)

    assert job.execute_in_process(instance=instance).success
    assert look() == 0, "the run told of it itself"
    toy.set("lost_share", 0.5)
    run = instance.create_run_for_job(job)
    assert look() == 0, "it waits for its turn, and has made nothing"
    execute_run(InMemoryJob(job), run, instance)
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE, "the gate is closed"
    toy.set("lost_share", 0.0)
    toy.dvc("repro", "-s", "photos")  # dvc.lock is what it was before the run
    assert look() == 2, "what was made, and the check of it"


def test_what_a_shell_holds_is_waited_for(toy: Toy) -> None:
    toy.dvc("repro", "--single-item", "photos")
    toy.set("seconds", 4)
    shell = subprocess.Popen([sys.executable, "-m", "dvc", "repro", "-s", "model"], cwd=toy.root, env=environment())
    wait((toy.root / "under_way").exists, "the shell's stage to start")
    (toy.root / "source.txt").write_text("crimson\n")  # photos would now be written while model reads it
    result = materialize(toy, "photos", [])
    assert shell.wait() == 0
    assert result.success
    assert (toy.root / "data/photos").read_text() == "crimson"


@pytest.mark.parametrize(
    ("kills", "rate", "tries", "success"),
    [
        (1, 1e-05, 2, True),  # a killed process is tried again,
        (9, 1e-05, 2, False),  # but not for ever;
        (0, 2.0, 1, False),  # what the user must mend is not,
        (0, -1.0, 2, False),  # and what broke by itself is
    ],
)
def test_only_what_may_mend_is_tried_again(toy: Toy, kills: int, rate: float, tries: int, success: bool) -> None:
    toy.dvc("repro", "--single-item", "photos")
    toy.set("learning_rate", rate)
    (toy.root / "kills").write_text(str(kills))
    result = materialize(toy, "model", [], retry=dg.RetryPolicy(max_retries=1, delay=0))
    starts = [e for e in result.all_events if e.event_type_value in ("STEP_START", "STEP_RESTARTED")]
    assert (len(starts), result.success) == (tries, success)


def test_what_comes_while_a_stage_runs_is_read_too(toy: Toy) -> None:
    """DVC alone would note the late word as read, and never read it."""
    (toy.root / "late.txt").write_text("navy")
    result = materialize(toy, "photos", [])
    assert result.success
    assert (toy.root / "data/photos").read_text().split() == ["crimson", "gold", "teal", "navy"]
    stages = read_project(toy.root)
    rows = read_lock(stages.values())
    assert "photos" not in due(stages, rows)
    recorded = result.asset_materializations_for_node("photos")[0].tags or {}
    assert recorded["dagster/code_version"] == stages["photos"].code_version


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (255, ["ERROR: failed to reproduce 'a': failed to run: python -m a, exited with 2"], False),
        (255, ["ERROR: failed to reproduce 'a': failed to run: python -m a, exited with 1"], True),
        (255, ["ERROR: failed to reproduce 'a': failed to run: python -m a, exited with -9"], True),
        (255, ["ERROR: failed to reproduce 'a': failed to run: python -m a, exited with 137"], True),
        (255, ["it exited with 1, said a stage", "ERROR: failed to reproduce 'a': missing data 'source': b"], False),
        (-9, [], True),
    ],
)
def test_what_may_mend_is_told_by_the_stages_own_exit(code: int, said: list[str], expected: bool) -> None:
    assert mendable(code, said) is expected


WRAPPED = "ERROR: failed to reproduce 'model': "
KILLED = "WARNING: Process 'dvc repro' with (Pid 17), in which something ran, had been killed."


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (255, [KILLED, f"{WRAPPED}missing data 'source': photos"], "missing data 'source': photos"),
        (255, ["ERROR: '/shop/data' is busy", KILLED], "'/shop/data' is busy"),
        (
            255,
            ["> python make.py model", "epoch 3", f"{WRAPPED}failed to run: x, exited with -9"],
            "killed by SIGKILL, as",
        ),
        (255, ["epoch 3", f"{WRAPPED}failed to run: x, exited with 143"], "killed by SIGTERM"),
        (255, ["no crops are there", f"{WRAPPED}failed to run: x, exited with 2"], "no crops are there"),
        (-9, ["all is well"], "killed by SIGKILL"),
        (1, [], "it wrote nothing"),
    ],
)
def test_the_reason_is_the_reason(code: int, said: list[str], reason: str) -> None:
    assert reason_of(said, code).startswith(reason)


def test_no_process_of_a_group_survives_its_run(tmp_path: Path) -> None:
    """A child that is deaf to interrupts and outlives its program goes with it, and nothing waits for ever."""
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    script = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {deaf!r}]).pid, flush=True)"
    started = time.monotonic()
    code, said = run([sys.executable, "-c", script], cwd=tmp_path, env=os.environ, grace_s=(1, 1, 1))
    assert (code, time.monotonic() - started < 20) == (0, True)
    assert not psutil.pid_exists(int(said[-1])) or not lives(psutil.Process(int(said[-1])))
