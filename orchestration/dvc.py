"""The bridge between Dagster and DVC: a DVC stage as an asset, `dvc repro` as its materialization, and back again.

Nothing here knows what the stages do; any DVC project would do. Whoever runs a stage, Dagster or a shell, DVC does the
work, so both share one cache, one dvc.lock and one idea of what is up to date.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from orchestration.process import run
from orchestration.project import Row, Stage, read_lock, read_project
from orchestration.report import metadata, read_report

BUSY = "is busy, it is being blocked by"
SAID = {  # how DVC says, in its last lines, that a stage did not run
    "didn't change, skipping": "unchanged: skipped, nothing that it reads has changed",
    "is cached - skipping run": "restored from the cache: it ran before with the same inputs",
}
TRACEBACK = "Traceback (most recent call last):"
UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


class Dvc(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The DVC project that the assets stand for, and the `dvc` that runs it."""

    root: str
    reports: str = "reports"
    grace_s: float = 20.0  # between interrupting a cancelled stage, terminating and killing it
    busy_wait_s: float = 20.0  # before trying again while a shell's `dvc repro` holds the same files
    busy_tries: int = 90

    def repro(self, context: dg.AssetExecutionContext, stage: Stage) -> dg.MaterializeResult[None]:
        """Run one stage if anything that it reads has changed, and say what came of it."""
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage.name]
        code, said = run(command, cwd=Path(self.root), env=environment(context.run.run_id), grace_s=self.grace_s)
        if code and any(BUSY in line for line in said):
            context.log.warning("Another DVC process works on the same files; trying again in %g s.", self.busy_wait_s)
            raise dg.RetryRequested(max_retries=self.busy_tries, seconds_to_wait=self.busy_wait_s)
        if code:
            raise dg.Failure(f"{stage.name}: {reason_of(said)}", allow_retries=False)
        row = read_lock([stage])[stage.name]
        came = next((text for mark, text in SAID.items() if any(mark in line for line in said)), "ran")
        context.log.info(f"{stage.name}: {came}")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(stage.data_version(row)),
            metadata={"dvc": came, **metadata(stage, row, self.reports_path)},
        )

    @property
    def reports_path(self) -> Path:
        """The folder of the stages' reports."""
        return Path(self.root) / self.reports


def asset_key(stage: str) -> dg.AssetKey:
    """Return the asset key of a stage: its name, with what Dagster does not allow replaced (`embed@b0`: `embed_b0`)."""
    return dg.AssetKey(re.sub(r"\W", "_", stage))


def stage_asset(stage: Stage, **look: Any) -> dg.AssetsDefinition:
    """Make the asset of a stage; `look` (group, kinds, tags …) is all that is not read from the DVC project."""

    @dg.asset(
        key=asset_key(stage.name),
        deps=[asset_key(name) for name in stage.reads],
        code_version=stage.code_version,
        description=stage.desc,
        **look,
    )
    def _materialize(context: dg.AssetExecutionContext, dvc: Dvc) -> dg.MaterializeResult:  # type: ignore[type-arg]
        return dvc.repro(context, stage)

    return _materialize


def gate(stage: str, key: str, bound: Literal["max", "min"], why: str) -> dg.AssetChecksDefinition:
    """Make a blocking check: a report's `key` must keep to its `key_max` (or `key_min`), where there is one."""

    @dg.asset_check(asset=asset_key(stage), name=key, description=why, blocking=True)
    def _check(dvc: Dvc) -> dg.AssetCheckResult:
        try:
            report = read_report(dvc.reports_path / f"{stage}.json")
        except ValueError as error:
            return dg.AssetCheckResult(passed=False, description=str(error))
        value, limit = report.get(key), report.get(f"{key}_{bound}")
        if limit is None:
            return dg.AssetCheckResult(passed=True, description=f"{key} is {value}; no limit is set")
        if not isinstance(value, int | float):
            return dg.AssetCheckResult(passed=False, description=f"the report gives no number for {key}: {value!r}")
        if not isinstance(limit, int | float):
            return dg.AssetCheckResult(passed=False, description=f"{key}_{bound} is not a number: {limit!r}")
        passed = value <= limit if bound == "max" else value >= limit
        word = "at most" if bound == "max" else "at least"
        return dg.AssetCheckResult(
            passed=passed,
            description=f"{key} is {value:g}; {word} {limit:g} is allowed",
            metadata={"value": float(value), f"limit_{bound}": float(limit)},
        )

    return _check


def lock_sensor(root: Path, name: str = "dvc_lock", reports: str = "reports", **options: Any) -> dg.SensorDefinition:
    """Make a sensor that turns what `dvc repro`, `dvc pull` or `dvc checkout` did in a shell into materializations."""

    @dg.sensor(name=name, **options)
    def _sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        seen = _seen(root)
        if seen == context.cursor:
            return dg.SkipReason("dvc.lock and what it lists are as they were")
        if context.instance.get_runs_count(dg.RunsFilter(statuses=UNDER_WAY)):
            return dg.SkipReason("a run is under way; it reports for itself")
        stages = read_project(root)
        rows = read_lock(stages.values())
        events = [
            dg.AssetMaterialization(
                asset_key(stage.name),
                description="Made outside Dagster, by DVC",
                metadata={"dvc": "made in a shell", **metadata(stage, rows[stage.name], root / reports)},
                tags=tags,
            )
            for stage in stages.values()
            if stage.name in rows
            and all((stage.folder / out).exists() for out in stage.outs)
            and (tags := provenance(stage, rows, stages)) != _recorded(context.instance, stage, tags)
        ]
        idle = None if events else "what dvc.lock lists is known"
        return dg.SensorResult(asset_events=events, cursor=seen, skip_reason=idle)

    return _sensor


def provenance(stage: Stage, rows: Mapping[str, Row], stages: Mapping[str, Stage]) -> dict[str, str]:
    """Return the tags by which Dagster knows what a materialization was made of; without them it turns stale."""
    inputs = stage.input_versions(rows, stages).items()
    return {
        "dagster/code_version": stage.locked_code_version(rows[stage.name]),
        "dagster/data_version": stage.data_version(rows[stage.name]),
        "dagster/data_version_is_user_provided": "true",
        **{f"dagster/input_data_version/{asset_key(name).to_user_string()}": version for name, version in inputs},
        **{f"dagster/input_event_pointer/{asset_key(name).to_user_string()}": "NULL" for name, _ in inputs},
    }


def _recorded(instance: dg.DagsterInstance, stage: Stage, asked: Iterable[str]) -> dict[str, str]:
    event = instance.get_latest_materialization_event(asset_key(stage.name))
    tags = event.asset_materialization.tags if event and event.asset_materialization else None
    found = {key: (tags or {}).get(key, "") for key in asked}
    # Dagster's own events point to their inputs' events, ours to none: no difference in what was made.
    return {key: "NULL" if key.startswith("dagster/input_event_pointer/") else value for key, value in found.items()}


def _seen(root: Path) -> str:
    """Return a digest that changes with any dvc.lock row, and when data that a row lists comes or goes."""
    lock = root / "dvc.lock"
    text = lock.read_text() if lock.exists() else ""
    listed = re.findall(r"^\s*- path: (.+)$", text, re.MULTILINE)
    there = [path for path in listed if (root / path).exists()]
    return hashlib.sha256("\n".join([text, *there]).encode()).hexdigest()[:16]


def environment(run_id: str) -> dict[str, str]:
    """Return what a program of the project finds in its environment: this Python's programs, and the run it is of."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": programs, "PYTHONUNBUFFERED": "1", "DAGSTER_RUN_ID": run_id}


def reason_of(said: Sequence[str]) -> str:
    """Return the line that says why a stage failed: its own, rather than DVC's word that it failed."""
    own = [line for line in said if not line.startswith(("ERROR: failed to reproduce", "ERROR: failed to run"))]
    if TRACEBACK in own:  # the exception stands after the frames, which are indented; its text may have many lines
        after = own[len(own) - own[::-1].index(TRACEBACK) :]
        own = [line for line in after if not line.startswith(" ")][:1] or own
    return (own or said or ["dvc said nothing"])[-1].removeprefix("ERROR: ")
