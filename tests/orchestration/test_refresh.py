"""What keeps the catalog up to date by itself: the schedule, the inbox, data versions, compaction, and the alarm."""

import importlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import pytest
from dvc.repo import Repo

from orchestration.alerts import alert_of, tell
from tests.orchestration.running import REPOSITORY, Toy, make_toy

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
LINE = ("photos", "model", "publish")


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """The toy with its last stage called as the line's is, so that the same promises hold for it."""
    toy = make_toy(tmp_path)
    for name in ("dvc.yaml", "params.toml", "make.py"):
        file = toy.root / name
        file.write_text(file.read_text().replace("answers", "publish"))
    (toy.root / "inbox").mkdir()
    (toy.root / "visnet").mkdir()
    (toy.root / "visnet/__init__.py").touch()
    (toy.root / "commands.py").rename(toy.root / "visnet/__main__.py")  # found before ours: it runs in this folder
    return toy


@pytest.fixture
def defs(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], dg.Definitions]]:
    """The project's own definitions, read again in the toy's folder as a person's Dagster does after an edit."""
    monkeypatch.chdir(toy.root)
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    monkeypatch.setenv("PATH", programs)

    def load() -> dg.Definitions:
        forget()
        return importlib.import_module("orchestration.definitions").defs()

    yield load
    forget()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's memory, in files: a schedule opens it anew at every tick."""
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        yield instance


def forget() -> None:
    for name in [name for name in sys.modules if name.startswith(("orchestration.defs", "orchestration.definitions"))]:
        del sys.modules[name]


def run(defs: dg.Definitions, job: str, instance: dg.DagsterInstance, **asked: object) -> bool:
    """Run a job to its end, and say whether all went well."""
    return defs.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False, **asked).success


def tick(defs: dg.Definitions, schedule: str, instance: dg.DagsterInstance, at: datetime = NOON) -> tuple[int, str]:
    """Evaluate a schedule: how many runs it asks for, and why none or the first."""
    with dg.build_schedule_context(instance, scheduled_execution_time=at) as context:
        said = defs.resolve_schedule_def(schedule).evaluate_tick(context)
    requests = said.run_requests or []
    return len(requests), said.skip_message or "".join(r.tags.get("visnet/why", "") for r in requests)


def made(instance: dg.DagsterInstance, stage: str) -> str:
    event = instance.get_latest_materialization_event(dg.AssetKey(stage))
    assert event is not None
    assert event.asset_materialization is not None
    return str(event.asset_materialization.metadata["dvc"].value)


def set_feed(toy: Toy, feed: str = "") -> None:
    file = toy.root / "params.toml"
    file.write_text(f'{file.read_text()}\n[raw_images]\nsource = "feed"\nmetadata = "inbox"\n{feed}')


def test_the_hourly_refresh_runs_on_news_and_else_says_that_it_looked(
    toy: Toy, defs: Callable[[], dg.Definitions], instance: dg.DagsterInstance
) -> None:
    project = defs()
    assert tick(project, "hourly_refresh", instance) == (1, "photos: it never ran")
    assert run(project, "refresh", instance)
    assert tick(project, "hourly_refresh", instance) == (0, "nothing that a refresh reads has changed")
    assert made(instance, "publish") == "looked at: nothing that it is made of has changed"
    assert made(instance, "photos") == "ran"
    (toy.root / "source.txt").write_text("crimson navy\n")
    assert tick(project, "hourly_refresh", instance)[0] == 1  # by the very definitions that were loaded before
    assert run(defs(), "refresh", instance)
    assert made(instance, "publish") == "ran"


def test_a_refresh_that_is_under_way_is_not_joined_by_another(
    toy: Toy, defs: Callable[[], dg.Definitions], instance: dg.DagsterInstance
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


def test_new_batches_are_partitions_and_one_refresh(
    toy: Toy, defs: Callable[[], dg.Definitions], instance: dg.DagsterInstance
) -> None:
    project = defs()
    sensor = project.resolve_sensor_def("feed_inbox")
    cursor: str | None = None

    def look() -> dg.SensorResult | dg.SkipReason:
        nonlocal cursor
        with dg.build_sensor_context(instance, cursor=cursor, definitions=project) as context:
            said = sensor(context)
        if isinstance(said, dg.SensorResult):
            cursor = said.cursor
            for request in said.dynamic_partitions_requests or []:
                instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
            for event in said.asset_events:
                instance.report_runless_asset_event(event)
        return said

    assert isinstance(look(), dg.SkipReason)  # the source is no feed
    set_feed(toy)
    assert isinstance(look(), dg.SkipReason)  # nothing lies there
    for hour in range(3):
        (toy.root / "inbox" / f"2026-01-05T0{hour}.jsonl").write_text("{}\n" * (hour + 1))
    (toy.root / "inbox" / ".2026-01-05T03.jsonl.part").write_text("{")
    said = look()
    assert isinstance(said, dg.SensorResult)
    (request,) = said.run_requests or []
    assert request.tags["visnet/batches_new"] == "3"
    assert instance.get_dynamic_partitions("feed_batches") == [f"2026-01-05T0{hour}.jsonl" for hour in range(3)]
    assert isinstance(look(), dg.SkipReason)
    keys = [request.run_key]
    for said in ("{}\n" * 9, "[]\n" * 9):  # the shop sends it once more, whole; then of the same size
        (toy.root / "inbox" / "2026-01-05T01.jsonl").write_text(said)
        again = look()
        assert isinstance(again, dg.SensorResult)
        assert not again.dynamic_partitions_requests
        keys += [request.run_key for request in again.run_requests or []]
    assert len(set(keys)) == 3


def test_one_batch_is_brought_again_and_several_in_one_run(
    toy: Toy, defs: Callable[[], dg.Definitions], instance: dg.DagsterInstance
) -> None:
    project = defs()
    names = ["a.jsonl", "b.csv", "c.jsonl"]
    instance.add_dynamic_partitions("feed_batches", names)
    for number, name in enumerate(names, start=1):
        (toy.root / "inbox" / name).write_text("{}\n" * number)
    batches = project.resolve_asset_graph().get(dg.AssetKey("feed_batches")).assets_def

    def bring(**asked: object) -> dg.ExecuteInProcessResult:
        return dg.materialize([batches], instance=instance, raise_on_error=False, **asked)

    done = bring(partition_key="b.csv")
    (event,) = done.asset_materializations_for_node("feed_batches")
    assert (event.partition, event.metadata["records"].value) == ("b.csv", 2)
    assert [row.data["reason"] for row in event.metadata["dead_letters_first"].records] == ["no product_id"]
    span = {"dagster/asset_partition_range_start": "a.jsonl", "dagster/asset_partition_range_end": "c.jsonl"}
    events = bring(tags=span).asset_materializations_for_node("feed_batches")
    assert {e.partition: e.metadata["records"].value for e in events} == dict(zip(names, (1, 2, 3), strict=True))
    (toy.root / "refused").write_text("the feed is not there")
    refused = bring(partition_key="b.csv")
    assert [e.event_type_value for e in refused.all_events].count("STEP_UP_FOR_RETRY") == 0
    assert "the feed is not there" in str(refused.failure_data_for_node("feed_batches"))


def test_compaction_leaves_what_was_up_to_date_so_and_the_rest_not(
    toy: Toy, defs: Callable[[], dg.Definitions], instance: dg.DagsterInstance
) -> None:
    assert run(defs(), "refresh", instance)
    before = (toy.root / "data/photos").read_bytes()
    toy.set("k", 4)  # of the last stage alone; `dvc commit` would call it up to date
    assert run(defs(), "maintain", instance)
    assert (toy.root / "data/photos").read_bytes() != before
    with Repo(str(toy.root)) as repo:
        assert set(repo.status()) == {"publish"}
    assert run(defs(), "refresh", instance)
    assert [made(instance, stage).partition(":")[0] for stage in LINE] == ["unchanged", "unchanged", "ran"]


def test_new_data_starts_one_run_and_old_data_none(toy: Toy, defs: Callable[[], dg.Definitions]) -> None:
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
    (toy.root / "source.txt").write_text("crimson navy\n")
    assert settle() == [set(LINE)]  # one run, so that never half a change is served
    assert [made(instance, stage) for stage in LINE] == ["ran"] * 3
    toy.set("k", 4)  # of the last stage alone
    assert settle() == [{"publish"}]
    assert run(defs(), "refresh", instance)  # made again, and the same
    assert settle() == []
    assert run(defs(), "maintain", instance)  # other bytes, the same rows
    assert settle() == []


def test_a_failed_run_is_told_to_the_file_and_the_webhook(
    toy: Toy, defs: Callable[[], dg.Definitions], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = defs()
    toy.set("learning_rate", 2.0)
    failed = project.resolve_job_def("refresh").execute_in_process(instance=instance, raise_on_error=False)
    assert not failed.success
    record = instance.get_run_by_id(failed.run_id)
    assert record is not None
    heard: list[dict[str, str]] = []

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
    lines = [json.loads(line) for line in (toy.root / "reports/alerts.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    assert heard == lines[:1]
    assert (heard[0]["job"], heard[0]["step"]) == ("refresh", "model")
    assert "at most 1, please" in heard[0]["reason"]
    assert alert_of(context).keys() == heard[0].keys()


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
    assert schedules == {"hourly_refresh": "STOPPED", "nightly_compaction": "STOPPED"}
    assert sensors == {
        "alerts": "STOPPED",
        "by_data_version": "STOPPED",
        "feed_inbox": "STOPPED",
        "dvc_lock": "RUNNING",  # it starts nothing
    }
