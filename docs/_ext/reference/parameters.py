"""Every parameter of every stage, from the stages' `Params`, and what the shipped files say of them."""

import inspect
import json
import re
import tomllib
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo

from reference.markdown import code, paragraphs, table, text
from visnet.pipeline import stage as stages
from visnet.pipeline.refusals import bounds
from visnet.runs import runner

ROOT = Path(__file__).resolve().parents[3]
INTRODUCTION = """# Parameters

A table of params.toml is a stage's; an optional stage has a file of its own, `STAGE.toml`. Types are strict, a key
that is unknown is refused, and what is left out has the default; "needed" is what cannot be left out, and "shipped"
what the file in the repository says, where that is another value. What is refused is said in one line, with file,
table and field.
"""
WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", types.NoneType: "null"}
HEADS = ("field", "value", "default", "what it is")


def page() -> str:
    """Return the page of parameters, stage by stage in the order of the line."""
    parts = [INTRODUCTION]
    for stage in stages.STAGES:
        file = runner.params_file(stage, ROOT / "params.toml")
        shipped = tomllib.loads(file.read_text(encoding="utf-8")).get(stage, {})
        model = stages.module(stage).Params
        parts.append(f"## {stage}\n\nIn `{file.name}`.\n")
        parts += _tables(model, stage, shipped, _comments(file, stage), {})
    return "\n".join(parts)


def fields(model: type[pydantic.BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a table by the names that stand in a file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _tables(
    model: type[pydantic.BaseModel],
    name: str,
    shipped: dict[str, Any],
    comments: dict[str, str],
    known: dict[type[pydantic.BaseModel], str],
) -> list[str]:
    inner = {key: nested for key, field in fields(model).items() if (nested := _model(field.annotation))}
    parts = [f"### `[{name}]`\n"] if "." in name else []
    parts.append(f"{paragraphs(inspect.getdoc(model) or '')}\n")
    rows = []
    for key, field in fields(model).items():
        if key not in inner:
            default = "needed" if field.is_required() else code(_toml(field.get_default(call_default_factory=True)))
            given = code(_toml(shipped[key])) if key in shipped else default
            default += "" if given == default else f"; shipped {given}"
            value = ", ".join(part for part in (_type(field.annotation), _grouped(bounds(field))) if part)
            rows.append((code(key), text(value), default, text(field.description or comments.get(key, ""))))
    parts.append(table(HEADS, rows))
    for key, nested in inner.items():
        if nested in known:
            parts.append(f"### `[{name}.{key}]`\n\nAs `[{known[nested]}]`.\n")
        else:
            known[nested] = f"{name}.{key}"
            parts += _tables(nested, f"{name}.{key}", shipped.get(key, {}), {}, known)
    return parts


def _model(annotation: object) -> type[pydantic.BaseModel] | None:
    is_model = inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel)
    return annotation if is_model else None  # type: ignore[return-value]


def _type(annotation: Any) -> str:
    """Say a type in a reader's words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return " or ".join(code(json.dumps(choice)) for choice in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(part) for part in inner)
    if origin in (list, tuple):
        return f"list of {_type(inner[0])}"
    return WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _grouped(said: str) -> str:
    """Write large numbers with commas."""
    return re.sub(r"\d{5,}", lambda found: f"{int(found[0]):,}", said)


def _toml(value: object) -> str:
    return "null" if value is None else json.dumps(value, ensure_ascii=False)


def _comments(file: Path, stage: str) -> dict[str, str]:
    """Return what the shipped file says behind the fields of a table, by field."""
    section = re.search(rf"(?ms)^\[{stage}\]\n(.*?)(?=^\[|\Z)", file.read_text(encoding="utf-8"))
    return dict(re.findall(r"(?m)^(\w+) = .*?\s#\s(.*)$", section[1])) if section else {}
