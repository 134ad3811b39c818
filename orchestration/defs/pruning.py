"""The weekly pruning: runs of long ago are deleted with their events, off until it is switched on."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from orchestration.bridge.pruning import prune
from orchestration.defs import versions
from orchestration.defs.automation import under_way
from orchestration.defs.checks import GATES
from orchestration.line.policy import KEEP_RUNS_DAYS, PRUNE_AT


class KeptRuns(dg.Config):
    """How long runs stay."""

    days: int = Field(KEEP_RUNS_DAYS, ge=1, le=36_500, description="Runs that ended longer ago are deleted.")


@dg.op(out=dg.Out(dg.Nothing), description="Delete old runs, but those with the newest event of an asset or a check.")
def delete_old_runs(context: dg.OpExecutionContext, config: KeptRuns) -> None:
    """Delete runs; the models, tables and MLflow's runs that they made stay."""
    before = datetime.now(UTC) - timedelta(days=config.days)
    checks = [key for gate in [*GATES, versions.served_is_checked_out] for key in gate.check_keys]
    gone = prune(context.instance, before, checks, context.log.info)
    context.add_output_metadata({"deleted": gone, "ended_before": before.isoformat(timespec="seconds")})


@dg.job(description="Delete runs of long ago with their events, which Dagster itself keeps for ever.")
def prune_runs() -> None:
    """Prune."""
    delete_old_runs()


@dg.schedule(
    job=prune_runs,
    cron_schedule=PRUNE_AT,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every Sunday at five, UTC. Off until it is switched on.",
)
def weekly_pruning(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for a pruning, unless that of the week before still runs."""
    run = under_way(context.instance, prune_runs.name)
    return dg.SkipReason(f"the pruning before is still under way (run {run})") if run else dg.RunRequest()
