"""The alerts of this project."""

from pathlib import Path

from orchestration.alerts import alert_sensor

alerts = alert_sensor(Path.cwd() / "reports" / "alerts.jsonl")
