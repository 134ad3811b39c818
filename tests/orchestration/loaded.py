"""The project's own definitions, read in a toy's folder, and what one does with them."""

import importlib
import sys
from datetime import UTC, datetime

import dagster as dg

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def load() -> dg.Definitions:
    """Read the definitions anew, as they are in the current folder."""
    forget()
    found: dg.Definitions = importlib.import_module("orchestration.definitions").defs()
    return found


def forget() -> None:
    """Drop what was read: it holds for one folder."""
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
