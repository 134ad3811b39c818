"""What a stage is: a module with `Params` and `build`, whose signature is its edges."""

import ast
import importlib
from collections.abc import Callable, Collection, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import Field

from visnet.pipeline.refusals import why_refused

Report = dict[str, str | int | float | bool | None]

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Share = Annotated[float, Field(ge=0, le=1)]
Workers = Annotated[int, Field(ge=0, le=256)]


class Frozen(pydantic.BaseModel):
    """Parameters of one stage: immutable, strictly typed, within bounds, unknown keys refused."""

    model_config = pydantic.ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


Made = TypeVar("Made", bound=Frozen)


def _reads(file: Path) -> list[str]:
    """Return the stages that a stage's module reads: the positional `Path` parameters of its `build`; none is run."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    build = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "build")
    return [arg.arg for arg in build.args.args if arg.annotation and ast.unparse(arg.annotation) == "Path"]


_MODULES = Path(__file__).parents[1] / "stages"
_EDGES = {file.stem: _reads(file) for file in sorted(_MODULES.glob("[a-z]*.py"))}
STAGES = tuple(TopologicalSorter(_EDGES).static_order())  # each after those that it reads


def module(stage: str) -> ModuleType:
    """Import the module of a stage by its name, `ValueError` naming the stages there are."""
    if stage not in STAGES:
        raise ValueError(f"no stage is called {stage!r}; there are {', '.join(STAGES)}")
    return importlib.import_module(f"visnet.stages.{stage}")


def is_served(stage: str) -> bool:
    """Tell whether readers stand in the stage's folder: it is no output of DVC, and nothing in it is changed."""
    return bool(getattr(module(stage), "SERVED", False))


def edges(stage: str) -> list[str]:
    """Return the stages that `stage` reads, in the order of its `build`."""
    return _EDGES[stage]


def choosing(field: str, registry: Mapping[str, ModuleType]) -> Callable[[type[Made]], type[Made]]:
    """Let `field` of a stage's parameters name a module of a registry, and give each module its table `[stage.NAME]`.

    Each module has a `Params` whose fields all have a default. What is registered is allowed, and nothing else.
    """

    def widened(params: type[Made]) -> type[Made]:
        before = params.model_fields[field]
        chosen = ... if before.is_required() else before.default
        fields: dict[str, Any] = {field: (Literal[tuple(registry)], chosen)}
        fields |= {name: (module.Params, module.Params()) for name, module in registry.items()}
        name, where = params.__name__, params.__module__
        return pydantic.create_model(name, __base__=params, __module__=where, __doc__=params.__doc__, **fields)

    return widened


def one_of(names: Collection[str]) -> pydantic.AfterValidator:
    """Allow a text that is among some names."""

    def allowed(value: str) -> str:
        if value not in names:
            raise ValueError(f"allowed are {', '.join(names)}")
        return value

    return pydantic.AfterValidator(allowed)


def parse(stage: str, table: Mapping[str, object], where: str) -> Frozen:
    """Read a stage's parameters from its table in params.toml; `ValueError` in one line names file, field and cure."""
    model: type[Frozen] = module(stage).Params
    try:
        return model.model_validate(dict(table))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        why = why_refused(model, first["type"], first["loc"], first["msg"], first["input"])
        found = "" if first["type"] == "missing" else f" (found {first['input']!r})"
        raise ValueError(f"{where}: [{stage}] {field}: {why}{found}") from None
