"""What Dagster knows of a stage's making, and how it learns of what DVC made without it, in a shell."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.bridge.project import Row, Stage, read_lock
from orchestration.bridge.report import metadata
from orchestration.bridge.unreadable import Unreadable, read

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]

Judge = Callable[[Iterable[dg.AssetKey]], list[dg.AssetCheckEvaluation]]


def asset_key(stage: str) -> dg.AssetKey:
    """Return the asset key of a stage: its name, with what Dagster does not allow replaced (`embed@b0`: `embed_b0`)."""
    return dg.AssetKey(re.sub(r"\W", "_", stage))


def provenance(stage: Stage, rows: Mapping[str, Row], stages: Mapping[str, Stage]) -> dict[str, str]:
    """Return the tags by which Dagster knows what a materialization was made of; without them it turns stale."""
    inputs = stage.input_versions(rows, stages).items()
    return {
        "dagster/code_version": stage.locked_code_version(rows[stage.name]),
        "dagster/data_version": stage.data_version(rows[stage.name]),
        "dagster/data_version_is_user_provided": "true",
        **{f"dagster/input_data_version/{asset_key(name).to_user_string()}": version for name, version in inputs},
    }


def unreported(
    instance: dg.DagsterInstance, root: Path, reports: Path, description: str
) -> list[dg.AssetMaterialization]:
    """Return a materialization for every row of dvc.lock that Dagster does not know yet, in the line's order."""
    stages = read(root)
    rows = read_lock(stages.values())
    return [
        _materialization(
            stage,
            tags,
            description=description,
            metadata={"dvc": "made in a shell", **metadata(stage, rows[name], reports)},
        )
        for name, stage in stages.items()
        if name in rows
        and all((stage.folder / out).exists() for out in stage.outs)
        and (tags := provenance(stage, rows, stages)) != _recorded(instance, stage, tags)
    ]


def looked_at(
    stage: Stage, rows: Mapping[str, Row], stages: Mapping[str, Stage], reports: Path
) -> dg.AssetMaterialization:
    """Return the materialization that says: looked at now, and as new as what it is made of.

    Dagster tells freshness by materializations, and its page shows what the last one says: so this says it all again.
    """
    return _materialization(
        stage,
        provenance(stage, rows, stages),
        description="Looked at: nothing has changed",
        metadata={
            "dvc": "looked at: nothing that it is made of has changed",
            **metadata(stage, rows[stage.name], reports),
        },
    )


def report(instance: dg.DagsterInstance, made: Iterable[dg.AssetMaterialization], judge: Judge) -> None:
    """Tell Dagster of what was made without it, and of the checks of that."""
    events = list(made)
    for event in events:
        instance.report_runless_asset_event(event)
    for evaluation in judge([event.asset_key for event in events]):
        instance.report_runless_asset_event(evaluation)


def lock_sensor(
    root: Path, judge: Judge, name: str = "dvc_lock", reports: str = "reports", **options: Any
) -> dg.SensorDefinition:
    """Make a sensor that turns what `dvc repro`, `dvc pull` or `dvc checkout` did in a shell into materializations.

    `judge` evaluates the checks of what was made there, so that they follow it as they do a run.
    """

    @dg.sensor(name=name, **options)
    def _sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        # With the run that ended last, since one may have made something else in between, and a shell after it
        # what there was before. Not with the number of runs: one that waits is counted before it makes anything.
        seen = f"{_seen(root)} {_ended_last(context.instance)}"
        if seen == context.cursor:
            return dg.SkipReason("dvc.lock and what it lists are as they were")
        if context.instance.get_runs_count(dg.RunsFilter(statuses=UNDER_WAY)):
            return dg.SkipReason("a run is under way; it reports for itself")
        try:
            events = unreported(context.instance, root, root / reports, "Made outside Dagster, by DVC")
        except Unreadable as error:
            return dg.SkipReason(str(error))
        judged = judge([event.asset_key for event in events])
        idle = None if events else "what dvc.lock lists is known"
        return dg.SensorResult(asset_events=[*events, *judged], cursor=seen, skip_reason=idle)

    return _sensor


def _materialization(stage: Stage, tags: Mapping[str, str], **shown: Any) -> dg.AssetMaterialization:
    # Dagster points from an event to its inputs' events. What it did not run itself has none to point to.
    pointers = {f"dagster/input_event_pointer/{asset_key(name).to_user_string()}": "NULL" for name in stage.reads}
    return dg.AssetMaterialization(asset_key(stage.name), tags={**tags, **pointers}, **shown)


def _recorded(instance: dg.DagsterInstance, stage: Stage, asked: Iterable[str]) -> dict[str, str]:
    event = instance.get_latest_materialization_event(asset_key(stage.name))
    tags = event.asset_materialization.tags if event and event.asset_materialization else None
    return {key: (tags or {}).get(key, "") for key in asked}


def _ended_last(instance: dg.DagsterInstance) -> str:
    ended = dg.RunsFilter(statuses=ENDED)
    records = instance.get_run_records(ended, limit=1, order_by="update_timestamp")
    return records[0].dagster_run.run_id if records else ""


def _seen(root: Path) -> str:
    """Return a digest that changes with any dvc.lock row, and when data that a row lists comes or goes."""
    lock = root / "dvc.lock"
    text = lock.read_text(encoding="utf-8") if lock.exists() else ""
    listed = re.findall(r"^\s*- path: (.+)$", text, re.MULTILINE)
    there = [path for path in listed if (root / path).exists()]
    return hashlib.sha256("\n".join([text, *there]).encode()).hexdigest()[:16]
