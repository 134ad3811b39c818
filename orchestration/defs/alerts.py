"""The alerts of this project."""

from pathlib import Path

from orchestration.line.alerts import alert_sensor

alerts = alert_sensor(Path.cwd() / "reports" / "alerts.jsonl")
