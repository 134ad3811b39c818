"""The grammar of a filter: what is asked of a product's columns, as JSON, and for which products it holds.

A product that lacks a value is found neither by what is asked of that column nor by a `not` of it, as in SQL. Where a
product has a list of values, one of them is enough.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Annotated, Any, Protocol

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError
from pydantic import model_validator as validator
from pydantic_core import PydanticCustomError

from visnet.serving.app.problems import Refusal

MOST_CHARACTERS = 16_384  # of a filter's JSON
MOST_VALUES = 256  # of an `in`
MOST_PARTS = 64  # of a filter, all together
DEEPEST = 8  # parts within parts
KINDS = ("equals", "in", "range", "below", "and", "or", "not")
ALLOWED = (
    'allowed is {"column": NAME, "equals": VALUE}, {"column": NAME, "in": [VALUES]}, '
    '{"column": NAME, "range": {"min": NUMBER, "max": NUMBER}}, {"column": NAME, "below": PATH}, '
    '{"and": [FILTERS]}, {"or": [FILTERS]} or '
    f'{{"not": FILTER}}: {MOST_PARTS} of them, {DEEPEST} deep, {MOST_VALUES} values each, '
    f"{MOST_CHARACTERS:,} characters"
)


def _shown_by(example: dict[str, Any]) -> ConfigDict:
    extra: dict[str, Any] = {"examples": [example]}
    return ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, json_schema_extra=extra)


def _plain(value: object) -> str | float:
    """Have numbers be floats, and true and false the texts by which a catalog says them."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and abs(value) <= 1e300:
        return float(value)
    if isinstance(value, str):
        return value
    raise PydanticCustomError("value", "wanted is a text, a number, true or false")


Name = Annotated[str, Field(min_length=1, max_length=1_000)]
Value = Annotated[str | float, BeforeValidator(_plain, json_schema_input_type=str | float | bool)]


class Equals(BaseModel):
    """Holds where a column has a value."""

    model_config = _shown_by({"column": "colour", "equals": "red"})

    column: Name
    equals: Value


class In(BaseModel):
    """Holds where a column has one of several values."""

    model_config = _shown_by({"column": "colour", "in": ["red", "blue"]})

    column: Name
    values: Annotated[tuple[Value, ...], Field(alias="in", min_length=1, max_length=MOST_VALUES, strict=False)]


class Bounds(BaseModel):
    """The least and the most that a number may be, each included, one of them at least."""

    model_config = _shown_by({"min": 10, "max": 30})

    min: float | None = None
    max: float | None = None

    @validator(mode="after")
    def _bounded(self) -> "Bounds":
        if self.min is None and self.max is None:
            raise PydanticCustomError("bounds", "wanted is min, max or both")
        return self


class Range(BaseModel):
    """Holds where a column has a number within bounds."""

    model_config = _shown_by({"column": "price", "range": {"min": 10, "max": 30}})

    column: Name
    range: Bounds


class Below(BaseModel):
    """Holds where a column has a path, or one below it: "Women" holds of "Women/Dresses", and not of "Womenswear"."""

    model_config = _shown_by({"column": "category", "below": "Women/Western Wear"})

    column: Name
    below: Annotated[str, Field(min_length=1)]


class And(BaseModel):
    """Holds where all of its parts do."""

    model_config = _shown_by(
        {"and": [{"column": "colour", "in": ["red", "blue"]}, {"column": "price", "range": {"min": 10, "max": 30}}]}
    )

    parts: Annotated[tuple["Filter", ...], Field(alias="and", min_length=1, max_length=MOST_PARTS, strict=False)]


class Or(BaseModel):
    """Holds where at least one of its parts does."""

    model_config = _shown_by({"or": [{"column": "colour", "equals": "red"}, {"column": "price", "range": {"max": 5}}]})

    parts: Annotated[tuple["Filter", ...], Field(alias="or", min_length=1, max_length=MOST_PARTS, strict=False)]


class Not(BaseModel):
    """Holds where its part does not, but for products that lack what the part asks of."""

    model_config = _shown_by({"not": {"column": "colour", "equals": "red"}})

    part: Annotated["Filter", Field(alias="not")]


def _kind(value: object) -> str | None:
    """Tell which part of the grammar is meant, by the one word that only it has."""
    found = [kind for kind in KINDS if isinstance(value, dict) and kind in value]
    return found[0] if len(found) == 1 else None


Filter = Annotated[
    Annotated[Equals, Tag("equals")]
    | Annotated[In, Tag("in")]
    | Annotated[Range, Tag("range")]
    | Annotated[Below, Tag("below")]
    | Annotated[And, Tag("and")]
    | Annotated[Or, Tag("or")]
    | Annotated[Not, Tag("not")],
    Discriminator(_kind, custom_error_type="kind", custom_error_message=f"wanted is one of {', '.join(KINDS)}"),
]
for _of_filters in (And, Or, Not):
    _of_filters.model_rebuild()
_GRAMMAR: TypeAdapter[Filter] = TypeAdapter(Filter)
# How the documentation has a field of text that holds a filter.
DOCUMENTED: dict[str, Any] = {
    "description": (
        "which products may answer, as JSON: `equals`, `in`, `range` and `below` (a path and all below it) ask of a "
        "column of the catalog, which `/v1/catalog` lists; of a list one value is enough. `and`, `or` and `not` join "
        "them. A product that lacks a value is found neither by what is asked of that column nor by a `not` of it, as "
        "in SQL."
    ),
    "examples": [
        '{"column": "colour", "equals": "red"}',
        '{"and": [{"column": "colour", "in": ["red", "blue"]}, {"column": "price", "range": {"min": 10, "max": 30}}]}',
        '{"column": "category", "below": "Women/Western Wear"}',
    ],
    "json_schema_extra": {
        "contentMediaType": "application/json",
        "contentSchema": {"$id": "urn:visnet:filter", **_GRAMMAR.json_schema()},
    },
}


def parsed(text: str | None) -> Filter | None:
    """Read a filter from its JSON, None where there is none; refused with 422, which says what is allowed."""
    if not text:
        return None
    if len(text) > MOST_CHARACTERS:
        raise Refusal(422, f"filter: {len(text):,} characters; {ALLOWED}")
    try:
        found = _GRAMMAR.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part, _ in itertools.groupby(("filter", *first["loc"])))
        raise Refusal(422, f"{where[:200]}: {first['msg']}; {ALLOWED}") from None
    depths = list(_depths(found))
    if len(depths) > MOST_PARTS or max(depths) > DEEPEST:
        raise Refusal(422, f"filter: {len(depths)} parts, {max(depths)} deep; {ALLOWED}")
    return found


def _depths(asked: Filter, depth: int = 1) -> Iterator[int]:
    yield depth
    parts = (asked.part,) if isinstance(asked, Not) else asked.parts if isinstance(asked, And | Or) else ()
    for part in parts:
        yield from _depths(part, depth + 1)


class AskedColumn(Protocol):
    """A column of N products that filters ask of: [N] bool each, false where there is no value."""

    @property
    def known(self) -> np.ndarray:
        """Say which have a value."""

    def among(self, values: Sequence[str | float]) -> np.ndarray:
        """Say which have one of the values; `ValueError` where the column cannot have such values."""

    def between(self, least: float, most: float) -> np.ndarray:
        """Say which are numbers within bounds, these included; `ValueError` where the column is not of numbers."""

    def below(self, path: str) -> np.ndarray:
        """Say which have a path, or one below it; `ValueError` where the column is of numbers."""


def truth(asked: Filter, column: Callable[[str], AskedColumn]) -> tuple[np.ndarray, np.ndarray]:
    """Say for which products a filter holds, and for which it does not, [N] bool each; for the others neither is known.

    column: gives a column by its name, or refuses an unknown one.
    """
    match asked:
        case Not():
            return truth(asked.part, column)[::-1]
        case And() | Or():
            yes, no = zip(*(truth(part, column) for part in asked.parts), strict=True)
            every, some = (np.logical_and, np.logical_or) if isinstance(asked, And) else (np.logical_or, np.logical_and)
            return reduce(every, yes), reduce(some, no)
        case _:
            own = column(asked.column)
            try:
                holds = _holds(asked, own)
            except ValueError as error:
                raise Refusal(422, f"filter: {error}") from None
    return holds, own.known & ~holds


def _holds(asked: Range | Below | Equals | In, column: AskedColumn) -> np.ndarray:
    match asked:
        case Range():
            least, most = asked.range.min, asked.range.max
            return column.between(-math.inf if least is None else least, math.inf if most is None else most)
        case Below():
            return column.below(asked.below)
        case _:
            return column.among([asked.equals] if isinstance(asked, Equals) else asked.values)
