"""What keeps the catalog up to date by itself: the schedule, the inbox, data versions, compaction, and the alarm."""

import importlib
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import pytest
from dvc.repo import Repo

from orchestration.bridge.dvc import Dvc, stage_asset
from orchestration.bridge.gates import check_of
from orchestration.bridge.project import Gate, read_project
from orchestration.line.alerts import alert_of, tell
from tests.orchestration.loaded import forget, run, tick
from tests.orchestration.running import REPOSITORY, Toy

LINE = ("photos", "model", "publish")


def made(instance: dg.DagsterInstance, stage: str) -> str:
    event = instance.get_latest_materialization_event(dg.AssetKey(stage))
    assert event is not None
    assert event.asset_materialization is not None
    return str(event.asset_materialization.metadata["dvc"].value)


def test_the_hourly_refresh_runs_on_news_and_else_says_that_it_looked(
    line: Toy, defs: Callable[[], dg.Definitions], instance: dg.DagsterInstance
) -> None:
    project = defs()
    assert tick(project, "hourly_refresh", instance) == (1, "photos: it never ran")
    assert run(project, "refresh", instance)
    assert tick(project, "hourly_refresh", instance) == (0, "nothing that a refresh reads has changed")
    assert made(instance, "publish") == "looked at: nothing that it is made of has changed"
    event = instance.get_latest_materialization_event(dg.AssetKey("publish"))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["recall_at_1"].value == 0.5  # the page is not emptied by a quiet hour
    assert made(instance, "photos") == "ran"
    (line.root / "source.txt").write_text("crimson navy\n")
    assert tick(project, "hourly_refresh", instance)[0] == 1  # by the very definitions that were loaded before
    assert run(defs(), "refresh", instance)
    assert made(instance, "publish") == "ran"


def test_a_refresh_that_is_under_way_is_not_joined_by_another(
    line: Toy, defs: Callable[[], dg.Definitions], instance: dg.DagsterInstance
) -> None:
    project = defs()
    waiting = instance.create_run_for_job(project.resolve_job_def("refresh"), status=dg.DagsterRunStatus.STARTED)
    said = f"the refresh before is still under way (run {waiting.run_id[:8]})"
    assert tick(project, "hourly_refresh", instance) == (0, said)
    instance.report_run_failed(waiting)
    assert tick(project, "hourly_refresh", instance)[0] == 1


def test_what_is_served_is_late_when_nobody_looks(defs: Callable[[], dg.Definitions]) -> None:
    (spec,) = [spec for spec in defs().resolve_all_asset_specs() if spec.freshness_policy is not None]
    policy = spec.freshness_policy
    assert spec.key == dg.AssetKey("publish")
    assert (policy.warn_window.to_timedelta(), policy.fail_window.to_timedelta()) == (
        timedelta(hours=2),
        timedelta(hours=6),
    )


def test_compaction_leaves_what_was_up_to_date_so_and_the_rest_not(
    line: Toy, defs: Callable[[], dg.Definitions], instance: dg.DagsterInstance
) -> None:
    assert run(defs(), "refresh", instance)
    before = (line.root / "data/photos").read_bytes()
    line.set("k", 4)  # of the last stage alone; `dvc commit` would call it up to date
    assert run(defs(), "maintain", instance)
    assert (line.root / "data/photos").read_bytes() != before
    with Repo(str(line.root)) as repo:
        assert set(repo.status()) == {"publish"}
    assert run(defs(), "refresh", instance)
    assert [made(instance, stage).partition(":")[0] for stage in LINE] == ["unchanged", "unchanged", "ran"]


def test_new_data_starts_one_run_and_old_data_none(line: Toy, defs: Callable[[], dg.Definitions]) -> None:
    instance = dg.DagsterInstance.ephemeral()
    assert run(defs(), "refresh", instance)
    cursor = None

    def ask() -> set[str]:
        nonlocal cursor
        said = dg.evaluate_automation_conditions(defs(), instance, cursor=cursor)
        cursor = said.cursor
        return {stage for stage in LINE if said.get_num_requested(dg.AssetKey(stage))}

    def settle() -> list[set[str]]:
        """Run what is asked for until nothing is, and return it."""
        asked = []
        while now := ask():
            asked.append(now)
            assert run(defs(), "refresh", instance, asset_selection=[dg.AssetKey(stage) for stage in now])
        assert ask() == set()
        return asked

    settle()
    (line.root / "source.txt").write_text("crimson navy\n")
    assert settle() == [set(LINE)]  # one run, so that never half a change is served
    assert [made(instance, stage) for stage in LINE] == ["ran"] * 3
    line.set("k", 4)  # of the last stage alone
    assert settle() == [{"publish"}]
    assert run(defs(), "refresh", instance)  # made again, and the same
    assert settle() == []
    assert run(defs(), "maintain", instance)  # other bytes, the same rows
    assert settle() == []


def test_a_failed_run_is_told_to_the_file_and_the_webhook(
    line: Toy, defs: Callable[[], dg.Definitions], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = defs()
    line.set("learning_rate", 2.0)
    failed = project.resolve_job_def("refresh").execute_in_process(instance=instance, raise_on_error=False)
    assert not failed.success
    record = instance.get_run_by_id(failed.run_id)
    assert record is not None
    heard: list[dict[str, object]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("VISNET_ALERT_URL", f"http://127.0.0.1:{server.server_port}/alert")
    sensor = project.resolve_sensor_def("alerts")
    context = dg.build_run_status_sensor_context(
        "alerts", failed.get_run_failure_event(), instance, record
    ).for_run_failure()
    sensor(context)
    server.shutdown()
    server.server_close()
    sensor(context)  # now the webhook is down
    lines = [json.loads(line) for line in (line.root / "reports/alerts.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    assert heard == lines[:1]
    assert (heard[0]["job"], heard[0]["step"]) == ("refresh", "model")
    assert "at most 1, please" in str(heard[0]["reason"])
    assert alert_of(context).keys() == heard[0].keys()


def test_an_alert_names_the_gate_the_value_and_the_limit(toy: Toy, instance: dg.DagsterInstance) -> None:
    toy.set("lost_share", 0.5)
    assets = [stage_asset(stage) for stage in read_project(toy.root).values()]
    checks = [check_of("photos", Gate("lost_share", "max", "why"))]
    done = dg.materialize(
        [*assets, *checks], instance=instance, resources={"dvc": Dvc(root=str(toy.root))}, raise_on_error=False
    )
    record = instance.get_run_by_id(done.run_id)
    assert record is not None
    context = dg.build_run_status_sensor_context("alerts", done.get_run_failure_event(), instance, record)
    alert = alert_of(context.for_run_failure())
    assert (alert["gate"], alert["value"], alert["limit"]) == ("photos lost_share", 0.5, 0.1)
    assert alert["reason"] == "photos: lost_share is 0.5; at most 0.1 is allowed"


def test_a_line_stands_before_anything_is_sent(tmp_path: Path) -> None:
    unsent = tell({"job": "refresh"}, tmp_path / "reports/alerts.jsonl", "http://")
    assert unsent
    assert json.loads((tmp_path / "reports/alerts.jsonl").read_text()) == {"job": "refresh"}


def test_nothing_starts_by_itself_until_it_is_switched_on() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        forget()
        repository = importlib.import_module("orchestration.definitions").defs().get_repository_def()
        forget()
    schedules = {schedule.name: schedule.default_status.value for schedule in repository.schedule_defs}
    sensors = {sensor.name: sensor.default_status.value for sensor in repository.sensor_defs}
    assert schedules == {"hourly_refresh": "STOPPED", "nightly_compaction": "STOPPED", "weekly_pruning": "STOPPED"}
    assert sensors == {
        "alerts": "STOPPED",
        "by_data_version": "STOPPED",
        "feed_inbox": "STOPPED",
        "dvc_lock": "RUNNING",  # it starts nothing
    }
