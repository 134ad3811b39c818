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


def alert_of(context: dg.RunFailureSensorContext) -> dict[str, str]:
    """Return what is to be known of a failed run: when, which, the step, and its reason in one line."""
    steps = context.get_step_failure_events()
    first = steps[0].step_failure_data.error if steps else None
    cause = first.cause if first is not None and first.cause is not None else first
    reason = cause.message if cause is not None else context.failure_event.message or ""
    ui = os.environ.get("VISNET_DAGSTER_UI", "")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "job": context.dagster_run.job_name,
        "run_id": context.dagster_run.run_id,
        "step": (steps[0].step_key if steps else None) or "",
        "reason": " ".join(reason.split()),
        "url": f"{ui}/runs/{context.dagster_run.run_id}" if ui else "",
    }


def tell(alert: Mapping[str, str], file: Path, url: str | None) -> str | None:
    """Append the alert to `file`, then send it to `url`, if any. Return why it could not be sent, None if it was.

    The line stands before anything is sent: a webhook that is down loses nothing.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
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
