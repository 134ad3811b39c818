"""Old runs on a real instance of Dagster: what goes, what must stay, and that assets are what they were after it."""

import sqlite3
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from orchestration.bridge.pruning import prune
from tests.orchestration.loaded import forget, load, run, tick
from tests.workspace import ROOT

NEVER, SOON = datetime(2000, 1, 1, tzinfo=UTC), timedelta(days=1)
PARTS = dg.StaticPartitionsDefinition(["a", "b"])


@dg.asset
def table(context: dg.AssetExecutionContext) -> None:
    context.log.info("made")


@dg.asset_check(asset=table)
def whole() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset(partitions_def=PARTS)
def batches() -> None:
    pass


@dg.asset
def broken() -> None:
    raise ValueError("never made")


CHECK = dg.AssetCheckKey(table.key, "whole")


def test_the_job_deletes_what_is_older_than_it_is_told(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """As a person launches it, with runs that ended 91 and 89 days ago; it keeps what its own gates rest on."""
    old, younger, newest = (made(instance, table) for _ in range(3))
    with sqlite3.connect(tmp_path / "history/runs.db") as database:
        for days, run_id in ((91, old), (89, younger)):
            ended = (datetime.now(UTC) - timedelta(days=days)).replace(tzinfo=None)
            set_ = "UPDATE runs SET update_timestamp = ? WHERE run_id = ?"
            assert database.execute(set_, (str(ended), run_id)).rowcount == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        defs = load()
        assert tick(defs, "weekly_pruning", instance) == (1, "")
        assert run(defs, "prune_runs", instance)
        assert old not in runs(instance)
        assert {younger, newest} < runs(instance)
        config = {"ops": {"delete_old_runs": {"config": {"days": 1}}}}
        assert run(defs, "prune_runs", instance, run_config=config)
        assert younger not in runs(instance)
        assert newest in runs(instance)
        config["ops"]["delete_old_runs"]["config"]["days"] = 0
        assert not run(defs, "prune_runs", instance, run_config=config), "refused: it would delete what has just ended"
        assert newest in runs(instance)
        forget()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def made(instance: dg.DagsterInstance, *what: object, partition: str | None = None) -> str:
    return dg.materialize(
        list(what), instance=instance, partition_key=partition, raise_on_error=False  # type: ignore[arg-type]
    ).run_id  # fmt: skip


def runs(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def later() -> datetime:
    return datetime.now(UTC) + SOON


def test_a_run_goes_with_its_events_logs_and_file_unless_something_of_now_rests_on_it(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    old, failed = made(instance, table), made(instance, broken)
    checked = made(instance, table, whole)
    first_a, b = made(instance, batches, partition="a"), made(instance, batches, partition="b")
    a, newest = made(instance, batches, partition="a"), made(instance, table)
    folder = tmp_path / "storage" / old
    assert (tmp_path / "history/runs" / f"{old}.db").exists()
    assert folder.exists(), "what it printed"
    before = instance.get_latest_materialization_event(table.key)
    assert prune(instance, later(), [CHECK]) == 3
    assert runs(instance) == {checked, b, a, newest}
    assert instance.get_latest_materialization_event(table.key) == before
    assert instance.get_materialized_partitions(batches.key) == {"a", "b"}
    evaluated = instance.event_log_storage.get_latest_asset_check_execution_by_key([CHECK])
    assert evaluated[CHECK].run_id == checked
    for gone in (old, failed, first_a):
        assert instance.get_run_by_id(gone) is None
        assert not list((tmp_path / "history/runs").glob(f"{gone}.db*"))
    assert not folder.exists()
    with sqlite3.connect(tmp_path / "history/runs/index.db") as database:
        assert database.execute("SELECT count(*) FROM event_logs WHERE run_id = ?", (old,)).fetchone() == (0,)
    assert prune(instance, later(), [CHECK]) == 0, "twice does no more"


def test_what_ended_since_or_has_not_ended_stays(instance: dg.DagsterInstance) -> None:
    first = made(instance, table)
    waiting = dg.DagsterRun(job_name="x", run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED)
    instance.add_run(waiting)
    time.sleep(0.01)
    moment = datetime.now(UTC)
    second, third = made(instance, table), made(instance, table)
    assert prune(instance, NEVER, []) == 0
    assert prune(instance, moment, []) == 1
    assert runs(instance) == {second, third, waiting.run_id}
    assert first not in runs(instance)
    assert prune(instance, later(), []) == 1
    assert runs(instance) == {third, waiting.run_id}


def test_more_runs_than_a_page_go_the_oldest_first(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.bridge.pruning.AT_ONCE", 2)
    for name in ("a", "b") * 3:
        made(instance, batches, partition=name)
    said: list[str] = []
    assert prune(instance, later(), [], said.append) == 4
    assert said == ["2 runs deleted", "4 runs deleted"]
    assert len(runs(instance)) == 2
