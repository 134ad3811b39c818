"""What a stage is: a module with `Params` and `build`, whose signature is its edges."""

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pydantic

STAGES = (
    "raw_images",
    "crops",
    "triplets",
    "trained_model",
    "catalog_embeddings",
    "knn_results",
    "evaluation",
    "publish",
)

Report = dict[str, str | int | float | bool | None]


class Frozen(pydantic.BaseModel):
    """Parameters of one stage: immutable, strictly typed, unknown keys refused."""

    model_config = pydantic.ConfigDict(frozen=True, strict=True, extra="forbid")


def module(stage: str) -> ModuleType:
    """Import the module of a stage by its name, `ValueError` naming the stages there are."""
    if stage not in STAGES:
        raise ValueError(f"no stage is called {stage!r}; there are {', '.join(STAGES)}")
    return importlib.import_module(f"visnet.stages.{stage}")


def edges(stage: str) -> list[str]:
    """Return the stages that `stage` reads, from the `Path` parameters of its `build`."""
    parameters = inspect.signature(module(stage).build).parameters.values()
    return [p.name for p in parameters if p.annotation is Path and p.kind is p.POSITIONAL_OR_KEYWORD]


def parse(stage: str, table: Mapping[str, object], where: str) -> Frozen:
    """Read a stage's parameters from its table in params.toml; `ValueError` in one line names file, field and cure."""
    model: type[Frozen] = module(stage).Params
    try:
        return model.model_validate(dict(table))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            known = _fields(model, first["loc"][:-1])
            said = f"unknown key; known are {', '.join(known)}"
        raise ValueError(f"{where}: [{stage}] {field}: {said} (found {first['input']!r})") from None


def _fields(model: type[pydantic.BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for name in path:
        if isinstance(name, int) or name not in model.model_fields:
            continue  # a union's tag or a list's index: not a field
        annotation = model.model_fields[name].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, pydantic.BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)
