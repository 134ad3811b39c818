"""What every stage says of itself: `reports/<stage>.json`, flat, keys with their units."""

import json
import os
from pathlib import Path

from visnet.stage import Report

REPORTS = Path("reports")


def read_report(stage: str) -> Report | None:
    """Return the last report of a stage, None when there is none."""
    path = REPORTS / f"{stage}.json"
    return json.loads(path.read_text()) if path.exists() else None


def write_report(stage: str, report: Report) -> None:
    """Write a report whole or not at all."""
    path = REPORTS / f"{stage}.json"
    scratch = path.with_suffix(".json.building")
    scratch.write_text(json.dumps(report, indent=1) + "\n")
    os.replace(scratch, path)
