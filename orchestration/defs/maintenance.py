"""The nightly compaction: tables are put in order, DVC and Dagster are told, and nothing turns stale by it."""

import subprocess
import sys
from pathlib import Path

import dagster as dg

from orchestration.bridge.commands import environment, reason_of
from orchestration.bridge.dvc import Dvc
from orchestration.bridge.project import due, read_lock
from orchestration.bridge.provenance import report, unreported
from orchestration.bridge.report import Metadata, read_report, values
from orchestration.bridge.retry import retried
from orchestration.defs.automation import judge, under_way
from orchestration.line.policy import COMPACT_AT, EXPERIMENTS, POOL, RETRY


@dg.op(pool=EXPERIMENTS, out=dg.Out(dg.Nothing), description="By its pool, the run waits until no experiment reads.")
def when_unread() -> None:
    """Do nothing: a run starts when the pools of all its steps are free; an experiment reads the tables for hours."""


@dg.op(
    pool=POOL,
    ins={"unread": dg.In(dg.Nothing)},
    description="Compact the tables, then tell DVC and Dagster that it is the same data.",
)
def compact(context: dg.OpExecutionContext, dvc: Dvc) -> None:
    """Compact all tables; what was up to date stays so, what was not stays not."""
    with retried(context, RETRY):
        context.add_output_metadata(_compact(context, dvc))


def _compact(context: dg.OpExecutionContext, dvc: Dvc) -> Metadata:
    root, run_id = Path(dvc.root), context.run_id
    before = dvc.stages()
    rows = read_lock(before.values())
    sound = [name for name in before if name not in due(before, rows)]
    dvc.command(run_id, "compact")
    # `dvc commit` notes inputs as they are now. Of a stage that was out of date it would claim that it is not.
    if sound:
        code, lines = dvc.dvc(run_id, "commit", "--force", *sound)
        if code:
            raise dg.Failure(f"compact: dvc commit: {reason_of(lines, code)}", allow_retries=False)
    after = read_lock(before.values())
    for name in sound:  # a batch may have come between the two readings; it was not read
        if before[name].locked_code_version(after[name]) != before[name].locked_code_version(rows[name]):
            context.log.warning(f"{name}: what it reads changed meanwhile; running it again.")
            code, lines = dvc.dvc(run_id, "repro", "--single-item", "--force", name)
            if code:
                raise dg.Failure(f"compact: {name}: {reason_of(lines, code)}", allow_retries=False)
    events = unreported(context.instance, root, dvc.reports_path, "Compacted: the same rows in fewer files")
    report(context.instance, events, judge)
    shown = values(read_report(dvc.reports_path / "compaction.json"))
    return {**shown, **values({"committed": ", ".join(sound), "could_be_freed": _could_be_freed(dvc, run_id)})}


def _could_be_freed(dvc: Dvc, run_id: str) -> str:
    """Return what `dvc gc` would free; whether older versions may go is for a person to decide."""
    command = [sys.executable, "-m", "dvc", "gc", "--workspace", "--dry"]
    done = subprocess.run(command, cwd=dvc.root, env=environment(run_id), capture_output=True, text=True)
    unused = [Path(line.removeprefix("Removing ")) for line in done.stderr.splitlines() + done.stdout.splitlines()]
    sizes = [file.stat().st_size for file in unused if file.is_file()]
    return f"{sum(sizes) / 1e6:.1f} MB in {len(sizes)} files of DVC's cache, by `dvc gc --workspace`"


@dg.job(description="Compact the catalog's tables and clean up after killed runs.", tags={"dagster/priority": "5"})
def maintain() -> None:
    """Compact."""
    compact(when_unread())


@dg.schedule(
    job=maintain,
    cron_schedule=COMPACT_AT,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every night at half past three, UTC. Off until it is switched on.",
)
def nightly_compaction(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for a compaction, unless that of the night before still waits."""
    run = under_way(context.instance, maintain.name)
    return dg.SkipReason(f"the compaction before is still under way (run {run})") if run else dg.RunRequest()
