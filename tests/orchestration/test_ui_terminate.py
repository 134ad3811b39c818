"""Terminate in Dagster's page, on the line's own assets and jobs, with the policy that they are retried by."""

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.orchestration.running import UI, wait

# How each is launched, by the command that it then runs; those of a row run at once, as their pools allow.
LAUNCHED = (
    {"model": {}, "experiment": {"asset": "experiments", "partition": "small"}, "rollback": {"job": "rollback"}},
    {"feed": {"asset": "feed_batches", "partition": "b.jsonl"}, "roll-forward": {"job": "roll_forward"}},
    {"compact": {"job": "maintain"}},
)
SERVERS = ("dagster", "mlflow", "orchestration.", "multiprocessing.resource_tracker")


def programs(root: Path) -> set[psutil.Process]:
    """The processes that run in a folder, but for Dagster's servers, which come and go as files are edited."""
    found = set()
    for process in psutil.process_iter():
        try:
            ours = process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == root
            if ours and not any(word in " ".join(process.cmdline()) for word in SERVERS):
                found.add(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture
def slow(ui: UI) -> Iterator[Path]:
    """The toy's folder while every command and the training take five minutes, and have news to work on."""
    root, source = ui.toy.root, ui.toy.root / "source.txt"
    before = source.read_text()
    source.write_text(before + "navy\n")
    (root / "slow").touch()
    yield root
    (root / "slow").unlink()
    source.write_text(before)
    for mark in root.glob("under_way.*"):
        mark.unlink()
    ui.toy.dvc("repro")  # no lock was left behind
    assert ui.toy.up_to_date


def test_terminate_ends_every_kind_of_run_for_good(ui: UI, slow: Path) -> None:
    ui.add_batch("b.jsonl")
    for row in LAUNCHED:
        before = programs(slow)
        runs = [ui.launch(**how) for how in row.values()]
        for command in row:
            wait((slow / f"under_way.{command}").exists, f"{command} to start")
        started = programs(slow) - before
        assert len(started) >= 2 * len(row)  # the run and what it has started, at least
        begun = time.monotonic()
        for run in runs:
            ui.terminate(run)
        while (left := programs(slow) - before) and time.monotonic() < begun + 30:
            time.sleep(0.3)
        assert {" ".join(process.cmdline()) for process in left} == set()
        assert [ui.ended(run) for run in runs] == ["CANCELED"] * len(runs)
        assert time.monotonic() - begun < 30
        assert not {"ExecutionStepUpForRetryEvent", "ExecutionStepRestartEvent"} & {
            e for r in runs for e in ui.events(r)
        }


def test_terminate_ends_a_run_that_waits_for_its_next_try(ui: UI, slow: Path) -> None:
    """Dagster's own retries wait where no interrupt comes through: up to two minutes."""
    (slow / "slow").rename(slow / "kept")
    (slow / "kills").write_text("9")
    run = ui.launch()
    wait(lambda: (slow / "kills").read_text() == "8", "the first try to be killed")
    time.sleep(2)  # DVC notes it, and the wait begins
    ui.terminate(run)
    begun = time.monotonic()
    assert ui.ended(run) == "CANCELED"
    assert time.monotonic() - begun < 30
    (slow / "kills").write_text("0")
    (slow / "kept").rename(slow / "slow")
