"""A project that cannot be read, as after a typing error: what is wrong in one line, and what was last read of it."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestration.bridge.project import Gate, Plot, Stage, read_project

KEPT = "project.json"  # in Dagster's home


class Unreadable(ValueError):
    """What is wrong with the files of the project, in one line."""


@dataclass(frozen=True)
class Project:
    """The stages as they were when they could last be read, and what is wrong with the files now, "" for nothing."""

    stages: Mapping[str, Stage]
    problem: str = ""


def read(root: Path) -> Mapping[str, Stage]:
    """Read the stages; `Unreadable` says file, line and fault."""
    from dvc.exceptions import DvcException
    from tomlkit.exceptions import TOMLKitError

    try:
        return read_project(root)
    except DvcException as error:
        message = _fault(error)
        if ":?: " in message:  # DVC's parser named no line
            message = _toml_fault(root) or message
        raise Unreadable(message) from error
    except (TOMLKitError, ValueError, OSError) as error:  # DVC lets through what its parsers say of a key given twice
        raise Unreadable(_toml_fault(root) or " ".join(str(error).split())) from error


def read_or_recall(root: Path) -> Project:
    """Read the stages, or recall them: pages that show yesterday's graph are better than pages that show none."""
    kept = Path(os.environ.get("DAGSTER_HOME", root / ".dagster")) / KEPT
    try:
        stages = read(root)
    except Unreadable as error:
        if not kept.exists():
            raise
        return Project({row["name"]: _stage(row) for row in json.loads(kept.read_text(encoding="utf-8"))}, str(error))
    if kept.parent.exists():
        text = json.dumps([asdict(stage) for stage in stages.values()], default=str)
        if not kept.exists() or kept.read_text(encoding="utf-8") != text:
            building = kept.with_suffix(f".{os.getpid()}")
            building.write_text(text, encoding="utf-8")
            building.replace(kept)
    return Project(stages)


def _stage(row: dict[str, Any]) -> Stage:
    lists = {key: tuple(row[key]) for key in ("outs", "known_by", "kinds")}
    reads = {name: tuple(paths) for name, paths in row["reads"].items()}
    plots = tuple(Plot(**{**plot, "columns": tuple(plot["columns"])}) for plot in row["plots"])
    gates = tuple(Gate(**gate) for gate in row["gates"])
    return Stage(**{**row, **lists, "reads": reads, "plots": plots, "gates": gates, "folder": Path(row["folder"])})


def _fault(error: BaseException) -> str:
    """Return DVC's word on what it cannot read, with the file and line that its parser names."""
    message, cause = " ".join(str(error).split()), error.__cause__ or error.__context__
    why = str(cause or "")
    if message.startswith("unable to read") and (file := re.search(r"'(.+?)'", message)):
        line = re.search(r"line (\d+)", why)
        text = " ".join(re.sub(r'in "<unicode string>".*', "", why, flags=re.DOTALL).split())
        return f"{file[1]}:{line[1] if line else '?'}: {text}"
    return f"{message}: {' '.join(why.split())}" if message.endswith("validation failed") and why else message


def _toml_fault(root: Path) -> str:
    """Return what is wrong with the first TOML file of a project that cannot be read, with its line; "" for nothing."""
    for file in sorted(root.glob("*.toml")):
        try:
            tomllib.loads(file.read_bytes().decode())
        except UnicodeDecodeError as error:
            return f"{file.name}:{error.object[: error.start].count(10) + 1}: not UTF-8; save it as UTF-8"
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"at line (\d+)", str(error))
            return f"{file.name}:{line[1] if line else '?'}: {error}"
        except OSError as error:
            return f"{file.name}: {error.strerror}"
    return ""
