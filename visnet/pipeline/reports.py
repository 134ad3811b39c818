"""Where a line stands on disk, and what every stage says of itself: `<stage>.json`, flat, keys with their units."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from visnet.errors import Damaged
from visnet.pipeline.stage import Report
from visnet.storage import atomic

DATA, REPORTS = Path("data"), Path("reports")
METRICS = "metrics"  # the folder, in that of the reports, of what people compare


@dataclass(frozen=True)
class Place:
    """Where artefacts and reports are: the line's folders, or an experiment's for the stages it makes `apart`."""

    data: Path = DATA
    reports: Path = REPORTS
    apart: tuple[str, ...] = ()

    def artefact(self, stage: str) -> Path:
        """Return where a stage's artefact is; what an experiment does not make is the line's."""
        return (self.data if stage in self.apart else DATA) / stage

    def read_report(self, stage: str) -> Report | None:
        """Return the last report of a stage, None when there is none."""
        folder = REPORTS if self.apart and stage not in self.apart else self.reports
        return read_report(stage, folder)


LINE = Place()


def read_report(stage: str, folder: Path = REPORTS) -> Report | None:
    """Return the last report of a stage in a folder, None when there is none; `Damaged` when it is none."""
    path = folder / f"{stage}.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise spoilt(path, "is not JSON") from None
    if not isinstance(report, dict):
        raise spoilt(path, "is not a JSON object")
    return report


def spoilt(path: Path, how: str) -> Damaged:
    """Return the error of a report that cannot be used, with what makes it anew."""
    return Damaged(
        f"{path} {how}; bring it back with `git checkout {path}`, or make it anew with "
        f"`dvc repro --force --single-item {path.stem}`"
    )


def write_report(stage: str, report: Report, folder: Path = REPORTS) -> None:
    """Write a report whole or not at all."""
    atomic.put_json(folder / f"{stage}.json", report)


def write_metrics(stage: str, report: Report, names: Sequence[str], folder: Path = REPORTS) -> None:
    """Write what people compare of a report, for `dvc metrics`, but for what it lacks or has no value for."""
    if names:
        write_report(stage, {name: report[name] for name in names if report.get(name) is not None}, folder / METRICS)
