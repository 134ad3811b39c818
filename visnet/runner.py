"""Run one stage as DVC asks for it: parameters in, artefact, report and pictures out, the training recorded."""

import shutil
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

from visnet import stage as stages
from visnet import tracking
from visnet.console import Console
from visnet.reports import REPORTS, write_report
from visnet.stage import Report

DATA, PARAMS = Path("data"), Path("params.toml")


def read_params(path: Path = PARAMS) -> dict[str, Mapping[str, object]]:
    """Read params.toml; `ValueError` names the file and line, or the table that no stage reads."""
    if not path.exists():
        raise ValueError(f"{path}: no such file here ({Path.cwd()}); run in the folder that holds {path} and dvc.yaml")
    try:
        tables = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not TOML: {error}") from None
    for name, table in tables.items():
        if name not in stages.STAGES or not isinstance(table, dict):
            raise ValueError(f"{path}: [{name}] is no stage's table; allowed are {', '.join(stages.STAGES)}")
    return tables


def run(stage: str) -> Report:
    """Run `stage` in this folder; `ValueError` for what a user can mend, with nothing half-written."""
    module = stages.module(stage)
    params = stages.parse(stage, read_params().get(stage, {}), str(PARAMS))
    inputs = {name: DATA / name for name in stages.edges(stage)}
    for name, path in inputs.items():
        if not path.exists():
            raise ValueError(f"{path} is missing; run `dvc repro {name}` (or `dvc pull`) first")
    REPORTS.mkdir(exist_ok=True)
    artefact = DATA / stage
    in_place, resumes = getattr(module, "IN_PLACE", False), getattr(module, "RESUMES", False)
    out = artefact if in_place else DATA / f"{stage}.building"
    if not in_place and not resumes:
        shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)

    begun_s = time.monotonic()
    with tracking.recorded(stage, params.model_dump(), out) as record:
        log = Console(stage, REPORTS, on_curve=record.curve)
        report: Report = module.build(*inputs.values(), out=out, params=params, log=log)
        if not in_place:
            shutil.rmtree(artefact, ignore_errors=True)
            out.rename(artefact)
        report["wall_s"] = round(time.monotonic() - begun_s, 3)
        report.update(record.finish(report, artefact, log.pictures))
    write_report(stage, report)
    return report
