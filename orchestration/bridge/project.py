"""Read a DVC project: its stages, what each reads of the others, and the versions of its code and data."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]  # what dvc.lock says of one stage: cmd, deps, params, outs


@dataclass(frozen=True)
class Plot:
    """One chart that dvc.yaml asks for: some columns of a stage's CSV over another one."""

    title: str
    file: str
    x: str
    x_label: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Gate:
    """What `meta` of dvc.yaml asks of a stage's report: KEY keeps to KEY_max or KEY_min, or it passed its verdict."""

    key: str
    bound: str  # "max", "min" or "verdict"
    why: str


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml, templates resolved. Paths are as dvc.yaml writes them: relative to `folder`."""

    name: str
    desc: str
    cmd: object
    folder: Path
    reads: Mapping[str, tuple[str, ...]]  # stage -> the paths of its making that this one reads
    sources: Mapping[str, str]  # path -> hash as it is now, "" when missing: what is read and no stage makes
    params: Mapping[str, Mapping[str, object]]  # file -> key -> value as it is now
    outs: tuple[str, ...]
    known_by: tuple[str, ...]  # the outs whose hashes are the data version
    plots: tuple[Plot, ...]
    kinds: tuple[str, ...]  # the icons in the asset graph
    gates: tuple[Gate, ...]

    @property
    def code_version(self) -> str:
        """The version of command, code and parameters as they are in the workspace now."""
        return _digest(self.cmd, self.sources, self.params)

    def locked_code_version(self, row: Row) -> str:
        """The version of command, code and parameters that dvc.lock says the stage last ran with."""
        read = hashes(row.get("deps", ()))
        params = {file: dict(values) for file, values in row.get("params", {}).items()}
        return _digest(row["cmd"], {path: read.get(path, "") for path in self.sources}, params)

    def data_version(self, row: Row) -> str:
        """The version of what the stage made."""
        made = hashes(row.get("outs", ()))
        return _digest({path: made.get(path, "") for path in self.known_by})

    def input_versions(self, rows: Mapping[str, Row], stages: Mapping[str, "Stage"]) -> dict[str, str]:
        """For each stage that this one reads: the data version that it read.

        Where it read something other than what that stage's row now says, the version is one that never equals the
        row's, so that a stage which DVC would run again is stale in Dagster too.
        """
        read = hashes(rows[self.name].get("deps", ()))
        versions = {}
        for name, paths in self.reads.items():
            made = hashes(rows.get(name, {}).get("outs", ()))
            older = {path: read.get(path, "") for path in paths if read.get(path) != made.get(path, read.get(path))}
            known = name in rows and not older
            versions[name] = stages[name].data_version(rows[name]) if known else _digest(name, older)
        return versions


def read_project(root: Path) -> dict[str, Stage]:
    """Read all stages of the DVC project at `root`, each after those that it reads."""
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

    with Repo(str(root)) as repo:
        found = [stage for stage in repo.index.stages if isinstance(stage, PipelineStage)]
        makers = {out.fs_path: _name(stage) for stage in found for out in stage.outs}
        read = {made for stage in found for dep in stage.deps for made in _overlapping(dep.fs_path, makers)}
        asked = {stage.path: stage.dvcfile.plots for stage in {stage.path: stage for stage in found}.values()}
        hashed: dict[str, str] = {}
        stages = {_name(stage): _stage(stage, makers, read, asked[stage.path], hashed) for stage in found}
    order = TopologicalSorter({name: list(stage.reads) for name, stage in stages.items()}).static_order()
    return {name: stages[name] for name in order}


def read_lock(stages: Iterable[Stage]) -> dict[str, Row]:
    """Read the dvc.lock row of every stage that has one."""
    from dvc.utils.serialize import load_yaml  # DVC's own: another YAML reads 1e-05 as text

    files: dict[Path, dict[str, Row]] = {}
    rows = {}
    for stage in stages:
        file = stage.folder / "dvc.lock"
        if file not in files:
            files[file] = (load_yaml(str(file)) or {}).get("stages", {}) if file.exists() else {}
        row = files[file].get(stage.name.rpartition(":")[2])
        if row is not None:
            rows[stage.name] = row
    return rows


def due(stages: Mapping[str, Stage], rows: Mapping[str, Row]) -> dict[str, str]:
    """Return stage -> why DVC would run it, directly: for its own inputs, not for a stage that may change them."""
    why = {}
    for name, stage in stages.items():
        row = rows.get(name)
        if row is None:
            why[name] = "it never ran"
        elif gone := [out for out in stage.outs if not (stage.folder / out).exists()]:
            why[name] = f"{gone[0]} is missing"
        elif stage.code_version != stage.locked_code_version(row):
            why[name] = "its code, parameters or source have changed"
        else:
            read = stage.input_versions(rows, stages).items()
            known = [(other, version) for other, version in read if other in rows]
            changed = [other for other, version in known if version != stages[other].data_version(rows[other])]
            if changed:
                why[name] = f"{', '.join(changed)} changed"
    return why


def hashes(entries: Iterable[Row]) -> dict[str, str]:
    """Return path -> hash of the `deps` or `outs` of a dvc.lock row, whichever kind of hash each has."""
    kinds = ("md5", "etag", "checksum")
    return {entry["path"]: next((entry[kind] for kind in kinds if kind in entry), "") for entry in entries}


def _name(stage: Any) -> str:
    """Return the name by which `dvc repro` knows a stage in the project's root; `addressing` is for where we are."""
    file = stage.path_in_repo
    return str(stage.name if file == "dvc.yaml" else f"{file}:{stage.name}")


def _stage(
    stage: Any, makers: Mapping[str, str], read: set[str], plots: Iterable[Any], hashed: dict[str, str]
) -> Stage:
    """Return what a stage of DVC is; `hashed` keeps what several stages read, so that it is hashed once."""
    reads: dict[str, tuple[str, ...]] = {}
    sources, params = {}, {}
    for dep in stage.deps:
        if hasattr(dep, "read_params"):
            params[dep.def_path] = dict(dep.read_params())
            continue
        of = {makers[made] for made in _overlapping(dep.fs_path, makers)} - {_name(stage)}
        for name in sorted(of):
            reads[name] = (*reads.get(name, ()), dep.def_path)
        if not of:
            if dep.fs_path not in hashed:
                hashed[dep.fs_path] = str(dep.get_hash().value or "") if dep.exists else ""
            sources[dep.def_path] = hashed[dep.fs_path]
    outs = [out.def_path for out in stage.outs]
    # Others' inputs say best what is new for them; a report of wall times must not make the line stale.
    known_by = [out.def_path for out in stage.outs if out.fs_path in read]
    known_by = known_by or [out.def_path for out in stage.outs if out.use_cache] or outs
    return Stage(
        name=_name(stage),
        desc=stage.desc or "",
        cmd=stage.cmd,
        folder=Path(stage.path).parent,
        reads=reads,
        sources=sources,
        params=params,
        outs=tuple(outs),
        known_by=tuple(known_by),
        plots=tuple(_plots(plots, set(outs))),
        kinds=tuple(map(str, (stage.meta or {}).get("kinds", ()))),
        gates=tuple(_gates(stage)),
    )


def _gates(stage: Any) -> Iterable[Gate]:
    """Read the gates of a stage; `ValueError` names the one that cannot be read, and what is allowed."""
    for key, asked in ((stage.meta or {}).get("gates") or {}).items():
        if not isinstance(asked, Mapping) or len(asked) != 1 or not asked.keys() <= {"max", "min", "verdict"}:
            raise ValueError(
                f"dvc.yaml: {stage.name}: meta.gates.{key} is {asked!r}; allowed is one of max, min and verdict, "
                "with the sentence that is shown"
            )
        ((bound, why),) = asked.items()
        yield Gate(key, bound, str(why))


def _plots(asked: Iterable[Any], outs: set[str]) -> Iterable[Plot]:
    for entry in asked:
        for title, chart in entry.items() if isinstance(entry, Mapping) else ():
            y = (chart or {}).get("y")
            for file, columns in y.items() if isinstance(y, Mapping) else ():
                if file in outs and isinstance(x := chart.get("x"), str):
                    label = str(chart.get("x_label", x))
                    yield Plot(title, file, x, label, tuple([columns] if isinstance(columns, str) else columns))


def _overlapping(path: str, others: Iterable[str]) -> list[str]:
    ours = path + os.sep
    return [other for other in others if ours.startswith(other + os.sep) or (other + os.sep).startswith(ours)]


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
