"""What MLflow could not be told: kept in a folder each, with the files that belong to it, until it is told."""

import dataclasses
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visnet.pipeline.stage import Report
from visnet.storage import atomic, links

FOLDER = Path(".mlflow/untold")
CURE = "python -m visnet sync-runs"
_FILE = "telling.json"

Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class RunMessage:
    """All that a stage has to tell of a run of it: enough to tell it another day, by another process.

    `changed` are the parameters that are not the default. `trained` is the report of the training that an evaluation is
    of. `curve` is step -> name -> value, `pictures` are key -> file, `made` is stage -> artefact. What did not end well
    has no report.
    """

    stage: str
    params: Mapping[str, Any]
    changed: Mapping[str, Any]
    tables: Tables
    tags: Mapping[str, str]
    datasets: Mapping[str, str]
    trained: Report
    apart: bool
    began_ms: int
    run_id: str = ""
    ended_ms: int = 0
    status: str = "RUNNING"
    curve: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    report: Report = field(default_factory=dict)
    pictures: Mapping[str, Path] = field(default_factory=dict)
    made: Mapping[str, Path] = field(default_factory=dict)


def keep(message: RunMessage) -> Path:
    """Keep what could not be told; the folder is there whole or not at all."""
    kept = FOLDER / f"{time.time_ns()}-{message.stage}"
    building = kept.with_name(f".{kept.name}.building")
    (building / "pictures").mkdir(parents=True)
    pictures = {}
    for number, (key, path) in enumerate(message.pictures.items()):
        pictures[key] = f"pictures/{number}{path.suffix}"
        links.link_or_copy(path, building / pictures[key])
    made = {stage: f"made/{stage}" for stage in message.made}
    for stage, artefact in message.made.items():
        for path in sorted(path for path in artefact.iterdir() if path.is_file()):
            links.link_or_copy(path, building / made[stage] / path.name)
    content = {row.name: getattr(message, row.name) for row in dataclasses.fields(RunMessage)}
    content |= {"pictures": pictures, "made": made}
    atomic.put_json(building / _FILE, content)
    atomic.move(building, kept)
    return kept


def waiting() -> Iterator[tuple[Path, RunMessage]]:
    """Read what waits to be told, the oldest first; `ValueError` names a folder that cannot be read."""
    for kept in sorted(path for path in FOLDER.glob("[0-9]*") if path.is_dir()):
        try:
            content = json.loads((kept / _FILE).read_text(encoding="utf-8"))
            content["curve"] = {int(step): values for step, values in content["curve"].items()}
            content["pictures"] = {key: kept / path for key, path in content["pictures"].items()}
            content["made"] = {stage: kept / path for stage, path in content["made"].items()}
            yield kept, RunMessage(**content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{kept / _FILE} cannot be read ({error}); remove {kept}") from None


def note(kept: Path, run_id: str) -> None:
    """Remember the run that was created for what is kept here: a kill must not lead to another one."""
    content = json.loads((kept / _FILE).read_text(encoding="utf-8"))
    atomic.put_json(kept / _FILE, {**content, "run_id": run_id})


def drop(kept: Path) -> None:
    """Forget what was told."""
    shutil.rmtree(kept)
