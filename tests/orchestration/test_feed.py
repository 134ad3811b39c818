"""The change feed in Dagster: batches are partitions, and a refresh takes them in, wherever they come from."""

import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from tests import forked, workspace
from tests.orchestration.loaded import forget, load, run, tick
from tests.orchestration.running import Toy

SHOP = ("--products", "88", "--churn", "0.2", "--side-px", "48", "--seed", "5")


def set_feed(line: Toy, feed: str = "") -> None:
    file = line.root / "params.toml"
    file.write_text(f'{file.read_text()}\n[raw_images]\nsource = "feed"\nmetadata = "inbox"\n{feed}')


def test_new_batches_are_partitions_and_one_refresh(
    line: Toy, defs: Callable[[], dg.Definitions], instance: dg.DagsterInstance
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
    set_feed(line)
    assert isinstance(look(), dg.SkipReason)  # nothing lies there
    for hour in range(3):
        (line.root / "inbox" / f"2026-01-05T0{hour}.jsonl").write_text("{}\n" * (hour + 1))
    (line.root / "inbox" / ".2026-01-05T03.jsonl.part").write_text("{")
    said = look()
    assert isinstance(said, dg.SensorResult)
    (request,) = said.run_requests or []
    assert request.tags["visnet/batches_new"] == "3"
    assert instance.get_dynamic_partitions("feed_batches") == [f"2026-01-05T0{hour}.jsonl" for hour in range(3)]
    assert isinstance(look(), dg.SkipReason)
    keys = [request.run_key]
    for said in ("{}\n" * 9, "[]\n" * 9):  # the shop sends it once more, whole; then of the same size
        (line.root / "inbox" / "2026-01-05T01.jsonl").write_text(said)
        again = look()
        assert isinstance(again, dg.SensorResult)
        assert not again.dynamic_partitions_requests
        keys += [request.run_key for request in again.run_requests or []]
    assert len(set(keys)) == 3


def test_one_batch_is_brought_again_and_several_in_one_run(
    line: Toy, defs: Callable[[], dg.Definitions], instance: dg.DagsterInstance
) -> None:
    project = defs()
    names = ["a.jsonl", "b.csv", "c.jsonl"]
    instance.add_dynamic_partitions("feed_batches", names)
    for number, name in enumerate(names, start=1):
        (line.root / "inbox" / name).write_text("{}\n" * number)
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
    (line.root / "refused").write_text("the feed is not there")
    refused = bring(partition_key="b.csv")
    assert [e.event_type_value for e in refused.all_events].count("STEP_UP_FOR_RETRY") == 0
    assert "the feed is not there" in str(refused.failure_data_for_node("feed_batches"))


def test_a_refresh_brings_what_lies_elsewhere(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The product's own line: batches are copied into the inbox, and taken in by the same run."""
    for key, value in workspace.environment().items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(sys, "executable", forked.python())
    origin = tmp_path / "origin"
    feed = f'from = "{origin}/batches"\nphotos = "{origin}/photos"'
    shop = workspace.make(
        tmp_path / "shop",
        workspace.SMALL.replace('"synthetic"', '"feed"')
        .replace('"visnet/sources/synthetic.py"', '"inbox"')
        .replace("[raw_images.synthetic]\nproducts = 88\nside_px = 80\nseed = 5", f"[raw_images.feed]\n{feed}"),
    )
    monkeypatch.chdir(shop)
    unchanged = "unchanged: skipped, nothing that it reads has changed"
    for first, hours, made in ((0, 1, "ran"), (1, 2, "ran"), (3, 0, unchanged)):
        if hours:
            emit = ("emit-feed", str(origin), "--first", str(first), "--hours", str(hours))
            assert workspace.visnet(shop, *emit, *SHOP).returncode == 0
        project = load()
        assert tick(project, "hourly_refresh", instance)[0] == 1, "only the feed knows whether there is news"
        assert run(project, "refresh", instance, asset_selection=[dg.AssetKey("raw_images")])
        event = instance.get_latest_materialization_event(dg.AssetKey("raw_images"))
        assert event is not None
        assert event.asset_materialization is not None
        shown = event.asset_materialization.metadata
        assert (shown["dvc"].value, shown["new"].value) == (made, hours)
        assert workspace.report(shop, "raw_images")["feed_batches"] == first + hours
    forget()
    assert "up to date" in forked.dvc(shop, "status", "raw_images")
