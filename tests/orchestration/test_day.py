"""A day of the shop's feed through Dagster's own scheduler with its clock held, beside a build made at one go.

`VISNET_HOURS=168` makes it a week, `VISNET_BATCHES=168` has news in every hour of it; else two hours have some, and the
rest must be silent.
"""

import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._scheduler.scheduler import launch_scheduled_runs

from tests import forked, refreshing, workspace
from tests.apart import Work

HOURS = int(os.environ.get("VISNET_HOURS", "24"))
BATCHES = int(os.environ.get("VISNET_BATCHES", "2"))
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
NEWS = sorted({batch * HOURS // BATCHES for batch in range(BATCHES)})  # hours; that of 0 brings the whole catalog
LEARNT = ("trained_model", "evaluation", "localizer", "taxonomy_model")
REFRESHED = (
    "raw_images",
    "crops",
    "photo_quality",
    "category_paths",
    "catalog_embeddings",
    "knn_results",
    "duplicates",
    "publish",
)
SHOP = ("--products", "88", "--churn", "0.05", "--side-px", "96", "--seed", "5")
DAGSTER = """
telemetry: {enabled: false}
run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}
"""
FEED = (
    workspace.SMALL.replace('"synthetic"', '"feed"')
    .replace('"visnet/sources/synthetic.py"', '"feed/batches"')
    .replace("[raw_images.synthetic]\nproducts = 88\nside_px = 80\nseed = 5\n", "")
    .replace("[crops]", '[crops]\ntest_share = 0.25\nsmall_categories = "drop"')
)

pytestmark = pytest.mark.timeout(600 + 60 * BATCHES)


def digests(folder: Path) -> dict[str, str]:
    return {stage: workspace.report(folder, stage)["digest"] for stage in REFRESHED}


def emit(folder: Path, batch: int) -> None:
    """Let the shop do business for one more hour, and put what it says of that into the inbox."""
    said = workspace.visnet(folder, "emit-feed", "feed", "--first", str(batch), "--hours", "1", *SHOP)
    assert said.returncode == 0, said.stderr


@contextmanager
def dagster_of(folder: Path, home: Path) -> Iterator[WorkspaceProcessContext]:
    """Dagster with the project in `folder` loaded by a server of its own, as `dg dev` has it."""
    home.mkdir()
    (home / "dagster.yaml").write_text(DAGSTER)
    target = ModuleTarget(
        "orchestration.definitions", attribute=None, working_directory=str(folder), location_name="shop"
    )
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        create_test_daemon_workspace_context(target, instance) as context,
    ):
        yield context


def switch_on(context: WorkspaceProcessContext, schedule: str) -> tuple[str, str]:
    """Switch a schedule on, as the click in the UI does; return the ids of its ticks."""
    (entry,) = context.create_request_context().get_code_location_entries().values()
    assert entry.code_location is not None, entry.load_error
    (repository,) = entry.code_location.get_repositories().values()
    found = repository.get_schedule(schedule)
    context.instance.start_schedule(found)
    return found.get_remote_origin_id(), found.selector_id


def tick(context: WorkspaceProcessContext, now: datetime) -> None:
    """Let the scheduler look once, at `now`, and every run that it launched come to its end."""
    futures: dict[str, object] = {}
    with ThreadPoolExecutor(1) as executor:
        list(
            launch_scheduled_runs(
                context, logging.getLogger("scheduler"), now, {}, executor, scheduler_run_futures=futures
            )
        )
        wait(futures.values())  # type: ignore[arg-type]
    until = time.monotonic() + 300
    while runs := context.instance.get_runs(dg.RunsFilter(statuses=list(dg.DagsterRunStatus)), limit=1):
        if runs[0].is_finished:
            assert runs[0].status == dg.DagsterRunStatus.SUCCESS, f"{now}: {runs[0].run_id}"
            return
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_day_of_batches_equals_one_clean_build(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in workspace.environment().items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(sys, "executable", forked.python())  # of the code server, and so of the runs that it starts
    shop = workspace.make(tmp_path / "shop", FEED)
    for learnt in LEARNT:
        shutil.copytree(built / "data" / learnt, shop / "data" / learnt)
    monkeypatch.chdir(shop)
    with dagster_of(shop, tmp_path / "dagster") as context:
        with freeze_time(MONDAY - timedelta(minutes=1)):
            origin_id, selector_id = switch_on(context, "hourly_refresh")
        for hour in range(HOURS):
            if hour in NEWS:
                emit(shop, NEWS.index(hour))
            now = MONDAY + timedelta(hours=hour)
            with freeze_time(now):
                tick(context, now)
        seen = context.instance.get_ticks(origin_id, selector_id)
    by_hour = {round((t.timestamp - MONDAY.timestamp()) / 3600): t.status.value for t in seen}
    assert by_hour == {hour: "SUCCESS" if hour in NEWS else "SKIPPED" for hour in range(HOURS)}
    assert refreshing.served(shop) == len(NEWS)
    assert "up to date" in forked.dvc(shop, "status", *REFRESHED)

    clean = workspace.make(tmp_path / "clean", FEED)
    shutil.copytree(shop / "feed", clean / "feed")
    for learnt in LEARNT:
        shutil.copytree(shop / "data" / learnt, clean / "data" / learnt)
    done = Work(clean, *(f"run {stage}" for stage in REFRESHED)).end()
    assert done.returncode == 0, done.stderr
    assert digests(shop) == digests(clean)
