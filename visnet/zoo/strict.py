"""Call something with the values of a TOML table, and refuse every key and type that it does not know."""

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Any, Literal, TypeVar

Made = TypeVar("Made")

_WORDS = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def call(make: Callable[..., Made], table: Mapping[str, object], where: str) -> Made:
    """Return `make(**arguments(make, table, where))`; a `ValueError` of `make` itself is said with `where`, too."""
    values = arguments(make, table, where)
    try:
        return make(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def arguments(make: Callable[..., Any], table: Mapping[str, object], where: str) -> dict[str, Any]:
    """Check a table against the keyword parameters of `make`; `ValueError` names key and cure."""
    hints = typing.get_type_hints(make.__init__ if inspect.isclass(make) else make, include_extras=True)
    known = {p.name: p for p in inspect.signature(make).parameters.values() if p.kind is p.KEYWORD_ONLY}
    for key in table:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}{nearest(key, known)}")
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in table:
            raise ValueError(f"{where}: lacks {name!r}, {_described(hints[name])}")
    return {key: _value(table[key], hints[key], f"{where}: {key}") for key in table}


def nearest(word: str, known: Collection[str]) -> str:
    """Say which known words are meant, or all of them: the tail of an error line."""
    close = difflib.get_close_matches(word, list(known), n=3)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}? allowed are {', '.join(sorted(known))}"
    return f"; allowed are {', '.join(sorted(known)) or 'none'}"


def _value(value: object, hint: Any, where: str) -> Any:
    if (choices := _choices(hint)) is not None:
        if isinstance(value, Hashable) and value in choices:
            return value
    elif typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_value(item, typing.get_args(hint)[0], where) for item in value)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif inspect.isclass(hint) and not isinstance(hint, types.GenericAlias) and type(value) is hint:
        return value
    raise ValueError(f"{where} must be {_described(hint)}, is {value!r}")


def _choices(hint: Any) -> Collection[Any] | None:
    """Return what a `Literal` allows, or `Annotated[str, REGISTRY]`; None of another hint."""
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    if typing.get_origin(hint) is typing.Annotated and isinstance(hint.__metadata__[0], Mapping):
        registry: Mapping[Any, Any] = hint.__metadata__[0]
        return registry
    return None


def _described(hint: Any) -> str:
    if (choices := _choices(hint)) is not None:
        return "one of " + ", ".join(repr(choice) for choice in choices)
    if typing.get_origin(hint) is tuple:
        return f"a list, each {_described(typing.get_args(hint)[0])}"
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))
