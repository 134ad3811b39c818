"""The jobs a person starts, the hourly one, what starts by itself on new data, and the sensor of dvc.lock."""

from functools import partial
from pathlib import Path

import dagster as dg

from orchestration.bridge.dvc import Dvc
from orchestration.bridge.gates import judged
from orchestration.bridge.project import due, read_lock
from orchestration.bridge.provenance import UNDER_WAY, asset_key, lock_sensor, looked_at, report
from orchestration.bridge.unreadable import read
from orchestration.defs import versions
from orchestration.defs.assets import STAGES
from orchestration.defs.checks import GATES
from orchestration.line.feed import read_inbox
from orchestration.line.policy import LATE, REFRESH_AT, REFRESH_TAGS
from orchestration.line.selection import refreshed, retrained

DVC = Dvc(root=str(Path.cwd()))
judge = partial(judged, [*GATES, versions.served_is_checked_out], DVC)
WAITING = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, *UNDER_WAY]

refresh = dg.define_asset_job(
    "refresh",
    dg.AssetSelection.assets(*map(asset_key, refreshed(STAGES))),
    tags=REFRESH_TAGS,
    description="Bring what is served up to date with the catalog, with the model that is there.",
)
# What is learnt from the crops that are there: a training fetches no photo, so two trainings can be compared.
retrain = dg.define_asset_job(
    "retrain",
    dg.AssetSelection.assets(*map(asset_key, retrained(STAGES))),
    description="Learn a model from the crops that are there, index and evaluate with it. The next refresh serves it.",
)
everything = dg.define_asset_job(
    "everything",
    dg.AssetSelection.assets(*map(asset_key, STAGES)),
    description="The whole line; what is up to date is skipped.",
)


def under_way(instance: dg.DagsterInstance, job: str) -> str:
    """Return the id of a run of `job` that waits or runs, "" where there is none."""
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=WAITING), limit=1)
    return runs[0].run_id[:8] if runs else ""


@dg.schedule(
    job=refresh,
    cron_schedule=REFRESH_AT,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every full hour: a refresh, if anything that it reads has changed. Off until it is switched on.",
)
def hourly_refresh(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for a refresh where DVC would run a stage of it; where not, note that it was looked at."""
    if run := under_way(context.instance, refresh.name):
        return dg.SkipReason(f"the refresh before is still under way (run {run})")
    stages = read(Path.cwd())
    rows = read_lock(stages.values())
    why = {name: reason for name, reason in due(stages, rows).items() if name in refreshed(stages)}
    if why:
        name, reason = next(iter(why.items()))
        return dg.RunRequest(tags={"visnet/why": f"{name}: {reason}"[:200]})
    inbox = read_inbox(Path.cwd())
    if inbox is not None and inbox.brought_from:
        return dg.RunRequest(tags={"visnet/why": "to ask for new batches"})
    for name in LATE.keys() & stages.keys():
        report(context.instance, [looked_at(stages[name], rows, stages, DVC.reports_path)], judge)
    return dg.SkipReason("nothing that a refresh reads has changed")


by_data_version = dg.AutomationConditionSensorDefinition(
    "by_data_version",
    target=dg.AssetSelection.assets(*map(asset_key, refreshed(STAGES))),
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Instead of the hourly refresh: a stage runs as soon as what it reads is another, and only then. "
    "Off until it is switched on.",
)

# On from the start: it starts nothing, and without it the UI would not know what `dvc repro` did in a shell.
shell_runs = lock_sensor(
    Path.cwd(),
    judge,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Shows what DVC did in a shell (repro, pull, checkout) as materializations.",
)
