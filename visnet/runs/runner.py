"""Run one stage as DVC asks for it: parameters in, artefact, report and pictures out, the training recorded."""

import contextlib
import functools
import os
import shutil
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from visnet.errors import NotReady
from visnet.pipeline import os_faults
from visnet.pipeline import stage as stages
from visnet.pipeline.launch import Launch
from visnet.pipeline.log import SILENT, Log
from visnet.pipeline.peers import Peers, joined
from visnet.pipeline.reports import DATA, LINE, Place, write_metrics, write_report
from visnet.pipeline.stage import Frozen, Report
from visnet.runs.console import Console
from visnet.storage import atomic, integrity, links, locks, repair
from visnet.tracking import recorder

PARAMS = Path("params.toml")
TABLES = DATA / "tables"  # whose lock every run shares, so that a compaction waits for all of them
LAUNCHER = "VISNET_LAUNCHER"  # the process whose training on several devices starts others, which run this again
SHARED = "the hosts of a training share one folder"

Tables = Mapping[str, Mapping[str, Any]]


def read_params(path: Path = PARAMS) -> dict[str, dict[str, Any]]:
    """Read params.toml, and beside it the files of optional stages (`STAGE.toml`), whose tables no params.toml needs.

    `ValueError` names the file and line, or the table that no stage reads.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file here ({Path.cwd()}); run in the folder that holds {path} and dvc.yaml")
    tables = _tables(path)
    for stage in stages.STAGES:
        if (own := params_file(stage, path)) != path:
            if stage in tables:
                raise ValueError(f"{path}: [{stage}] has its place in {own}; DVC looks there")
            tables |= _tables(own)
    return tables


def params_file(stage: str, path: Path = PARAMS) -> Path:
    """Return where the table of a stage stands: `STAGE.toml` where there is one, else params.toml."""
    own = path.with_name(f"{stage}.toml")
    return own if own.exists() else path


def _tables(path: Path) -> dict[str, dict[str, Any]]:
    data = path.read_bytes()
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(
            f"{path}: begins with a byte order mark, which DVC does not read; save it as UTF-8 without one (BOM)"
        )
    try:
        tables = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text at byte {error.start}; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not TOML: {error}") from None
    for name, table in tables.items():
        if name not in stages.STAGES or not isinstance(table, dict):
            raise ValueError(f"{path}: [{name}] is no stage's table; allowed are {', '.join(stages.STAGES)}")
    return tables


def run(stage: str, place: Place = LINE, tables: Tables | None = None) -> Report:
    """Run `stage` in this folder; `ValueError` for what a user can mend, with nothing half-written.

    `tables` are the parameters of all stages, those of params.toml where left out. What the stage makes is locked, what
    it reads stays as it is meanwhile; a second run at once is refused. Of the processes that torchrun has started for a
    training, on one host or several, the first does that; the others help it, and end as it does.
    """
    if (peers := joined()) is None:
        return _run(stage, place, tables, None)
    with peers.ending(os_faults.explained):
        return _run(stage, place, tables, peers)


def _run(stage: str, place: Place, tables: Tables | None, peers: Peers | None) -> Report:
    module = stages.module(stage)
    tables = read_params() if tables is None else tables
    params = stages.parse(stage, tables.get(stage, {}), str(params_file(stage)))
    if launch := Launch.found():
        _check(launch, stage, params)
    inputs = {name: place.artefact(name) for name in stages.edges(stage)}
    for name, path in inputs.items():
        if not path.exists():
            raise NotReady(
                f"{path} is missing; run `dvc repro {name}` (or `dvc checkout` if it was there before, or `dvc pull`)"
            )
    artefact = place.artefact(stage)
    out = artefact if getattr(module, "IN_PLACE", False) else artefact.with_name(f"{stage}.building")
    building = functools.partial(module.build, *inputs.values(), out=out, params=params)
    if helps():
        helped: Report = building(log=SILENT)
        return helped
    if peers is not None and peers.rank:
        _help(peers, params, out, functools.partial(building, log=SILENT))
    if launch is None:
        os.environ[LAUNCHER] = str(os.getpid())
        os.environ.pop("LOCAL_RANK", None)  # of whatever launched us: to Lightning it would say that we help, too
    with contextlib.ExitStack() as locked:
        locked.enter_context(locks.held(TABLES, shared=True))
        locked.enter_context(locks.held(artefact))
        for path in () if place.apart else inputs.values():  # an experiment of hours keeps nobody from the line
            locked.enter_context(locks.held(path, shared=True))
        for path in (*inputs.values(), *[artefact] * artefact.is_dir()):  # nothing is built on what a disk has lost
            integrity.check(path)
        if peers is not None:
            peers.agree("here", params.model_dump(mode="json"), SHARED)
        return _make(stage, place, tables, params, inputs, out)


def _check(launch: Launch, stage: str, params: Frozen) -> None:
    """Refuse a stage that torchrun's processes cannot make together."""
    devices = getattr(params, "devices", None)
    if devices is None and launch.ranks > 1:
        raise ValueError(
            f"{stage} is made by one process, and torchrun has started {launch.ranks}; run it without torchrun"
        )
    try:
        launch.check(1 if devices is None else devices)
    except ValueError as error:
        raise ValueError(f"{params_file(stage)}: [{stage}] {error}") from None


def _help(peers: Peers, params: Frozen, out: Path, building: Callable[[], object]) -> NoReturn:
    """Help process 0 once it trains, if it does, and end as it does."""
    peers.agree("here", params.model_dump(mode="json"), SHARED)
    word, _ = peers.told(0, "begin")
    if word == "begin":
        if not out.is_dir():
            raise NotReady(f"{out.absolute()} is not here, though process 0 has made it; {SHARED}")
        with contextlib.suppress(SystemExit):
            building()
        peers.told(0, "ended")
    raise SystemExit(0)


def helps() -> bool:
    """Tell whether this is one of several processes of a training, which helps and leaves no trace."""
    return os.environ.get(LAUNCHER) == str(os.getppid()) and int(os.environ.get("LOCAL_RANK", "0")) > 0


def _make(stage: str, place: Place, tables: Tables, params: Frozen, inputs: Mapping[str, Path], out: Path) -> Report:
    module, artefact = stages.module(stage), place.artefact(stage)
    in_place, resumes = out == artefact, getattr(module, "RESUMES", ())
    shown = place.reports / f"{stage}.building"  # until all of it is there, what is shown is of the run before
    place.reports.mkdir(parents=True, exist_ok=True)
    for folder in [shown] if in_place or resumes else [shown, out]:
        shutil.rmtree(folder, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)

    repair.repair(out)  # what a run left that a full disk and then a kill ended
    before = repair.snapshot(out)
    begun_s = time.monotonic()
    with contextlib.ExitStack() as undone:
        shown.mkdir()
        undone.callback(shutil.rmtree, shown, ignore_errors=True)
        record = undone.enter_context(recorder.recorded(stage, params, out, place, tables))
        console = Console(stage, shown, on_curve=record.curve)
        log: Log = console
        try:
            with integrity.released(out) if in_place else contextlib.nullcontext():
                report: Report = module.build(*inputs.values(), out=out, params=params, log=log)
        except (ValueError, OSError):
            repair.check(out, before)  # a full disk is said to be that, whatever could not be read because of it
            with contextlib.suppress(OSError):  # refused: an empty folder would only make one wonder
                out.rmdir()
            raise
        repair.check(out, before)
        report.update(record.judge(report, out))
        if not in_place:
            atomic.replace(artefact, _finished(out, resumes) if resumes else out)
        report["wall_s"] = round(time.monotonic() - begun_s, 3)
        report.update(record.finish(report, artefact, console.pictures))
        if not stages.is_served(stage):
            integrity.record(artefact)
        for path in sorted(shown.iterdir()):
            atomic.move(path, place.reports / path.name)
        write_report(stage, report, place.reports)
        write_metrics(stage, report, getattr(module, "METRICS", ()), place.reports)
    if resumes:
        shutil.rmtree(out)  # last of all: a kill before this costs nothing that was learnt
    return report


def _finished(out: Path, resumes: Sequence[str]) -> Path:
    """Return a folder of links to all of `out` but what only a resumed run needs."""
    finished = out.with_name(f".{out.name}")
    shutil.rmtree(finished, ignore_errors=True)
    finished.mkdir()
    for path in sorted(out.rglob("*")):
        inner = path.relative_to(out)
        if path.is_file() and inner.parts[0] not in resumes:
            links.link_or_copy(path, finished / inner)
    return finished
