"""Why a parameter is refused, and what is allowed: pydantic's errors in a user's words."""

import difflib
from collections.abc import Sequence
from typing import Literal, get_args, get_origin

import pydantic
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

_BOUNDS = {Ge: "at least", Gt: "above", Le: "at most", Lt: "below"}
_OUT_OF_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number")
_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "a table",
}


def why_refused(
    model: type[pydantic.BaseModel], kind: str, path: Sequence[int | str], message: str, given: object = None
) -> str:
    """Say what is wrong with the field at `path` of a model, and what is allowed; kind and message are pydantic's."""
    if kind == "extra_forbidden":
        known = list(found.model_fields) if (found := _within(model, path[:-1])) else []
        near = difflib.get_close_matches(str(path[-1]), known, 1)
        return f"unknown key; known are {', '.join(known)}" + (f"; is {near[0]!r} meant?" if near else "")
    if kind == "missing":
        return "is needed"
    field = _field(model, path)
    if kind == "literal_error" and field:
        allowed = [str(choice) for choice in _choices(field.annotation)]
        near = difflib.get_close_matches(str(given), allowed, 1)
        return f"allowed are {', '.join(allowed)}" + (f"; is {near[0]!r} meant?" if near else "")
    if kind in _OUT_OF_BOUNDS and field:
        return f"must be {bounds(field) or 'a finite number'}"
    if kind == "too_short":
        return "must not be empty"
    return f"must be {_TYPES[kind]}" if kind in _TYPES else message.removeprefix("Value error, ")


def bounds(field: FieldInfo) -> str:
    """Say what a field's value must be, "" where it has no bounds: `at least 1 and at most 2048`."""
    parts = []
    for bound in [*field.metadata, *_nested(field.annotation)]:
        for kind, word in _BOUNDS.items():
            if isinstance(bound, kind):
                parts.append(f"{word} {getattr(bound, kind.__name__.lower())}")
    return " and ".join(parts)


def _nested(annotation: object) -> list[object]:
    """List what is said of the parts of a type: of a number that may be left out."""
    found = [*getattr(annotation, "__metadata__", ())]
    for part in get_args(annotation) if get_origin(annotation) is not Literal else ():
        found += _nested(part)
    return found


def _field(model: type[pydantic.BaseModel], path: Sequence[int | str]) -> FieldInfo | None:
    names = [name for name in path if isinstance(name, str)]
    inner = _within(model, names[:-1])
    return inner.model_fields.get(names[-1]) if inner and names else None


def _within(model: type[pydantic.BaseModel], path: Sequence[int | str]) -> type[pydantic.BaseModel] | None:
    for name in path:
        if isinstance(name, int) or name not in model.model_fields:
            continue  # a union's tag or a list's index: not a field
        annotation = model.model_fields[name].annotation
        candidates = [annotation, *get_args(annotation)]
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, pydantic.BaseModel)]
        if not inner:
            return None
        model = inner[0]
    return model


def _choices(annotation: object) -> list[object]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [choice for part in get_args(annotation) for choice in _choices(part)]
