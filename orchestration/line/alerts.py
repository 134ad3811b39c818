"""Tell of failed runs: a line in a file always, and a call of a webhook where there is one."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import httpx

URL = "VISNET_ALERT_URL"
WAIT_S = 10.0


Alert = dict[str, str | float | None]


def alert_of(context: dg.RunFailureSensorContext) -> Alert:
    """Return what is to be known of a failed run: when, which, the step, and its reason in one line.

    Where a gate has stopped it: which gate, by which value, and what is allowed.
    """
    steps = context.get_step_failure_events()
    first = steps[0].step_failure_data.error if steps else None
    cause = first.cause if first is not None and first.cause is not None else first
    reason = cause.message if cause is not None else context.failure_event.message or ""
    ui = os.environ.get("VISNET_DAGSTER_UI", "")
    closed = _closed_gate(context)
    if closed:
        reason = f"{closed.asset_key.to_user_string()}: {closed.description}"
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "job": context.dagster_run.job_name,
        "run_id": context.dagster_run.run_id,
        "step": (steps[0].step_key if steps else None) or "",
        "reason": " ".join(reason.split()),
        "gate": f"{closed.asset_key.to_user_string()} {closed.check_name}" if closed else "",
        "value": _number(closed, "value"),
        "limit": _number(closed, "limit_max", "limit_min"),
        "url": f"{ui}/runs/{context.dagster_run.run_id}" if ui else "",
    }


def _closed_gate(context: dg.RunFailureSensorContext) -> dg.AssetCheckEvaluation | None:
    """Return the evaluation of the first gate that did not let the run pass, if it was a gate that failed it."""
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    for entry in context.instance.all_logs(context.dagster_run.run_id, of_type=kind):
        found = entry.dagster_event.event_specific_data if entry.dagster_event else None
        if isinstance(found, dg.AssetCheckEvaluation) and found.blocking and not found.passed:
            return found
    return None


def _number(gate: dg.AssetCheckEvaluation | None, *names: str) -> float | None:
    found = [gate.metadata[name].value for name in names if name in gate.metadata] if gate else []
    return float(found[0]) if found and isinstance(found[0], int | float) else None


def tell(alert: Mapping[str, str | float | None], file: Path, url: str | None) -> str | None:
    """Append the alert to `file`, then send it to `url`, if any. Return why it could not be sent, None if it was.

    The line stands before anything is sent: a webhook that is down loses nothing.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(dict(alert)) + "\n")
    if not url:
        return None
    try:
        httpx.post(url, json=dict(alert), timeout=WAIT_S).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{url}: {error or type(error).__name__}"
    return None


def alert_sensor(file: Path) -> dg.SensorDefinition:
    """Make the sensor that tells of every run that failed, in `file` and to the address in VISNET_ALERT_URL."""

    @dg.run_failure_sensor(
        name="alerts",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"A failed run becomes a line of {file.parent.name}/{file.name}, and a POST to ${URL} where set. "
        "Off until it is switched on.",
    )
    def _alerts(context: dg.RunFailureSensorContext) -> None:
        unsent = tell(alert_of(context), file, os.environ.get(URL))
        if unsent:
            context.log.warning(f"The alert stands in {file}, and could not be sent: {unsent}")

    return _alerts
