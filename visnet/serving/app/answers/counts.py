"""What values products have in a column: how often each text, and how far numbers reach."""

from typing import Annotated

from pydantic import Field

from visnet.serving.app.answers.reply import Reply


class Count(Reply):
    """How many products have a value."""

    value: str
    count: int


class Bin(Reply):
    """How many products have a number from `min` on and below `max`; in the last bin, up to it."""

    min: float
    max: float
    count: int


class Numbers(Reply):
    """How far numbers reach, null where there are none, and how they are spread, in at most 10 bins of equal width."""

    min: float | None
    max: float | None
    histogram: list[Bin]


Facets = Annotated[
    dict[str, list[Count] | Numbers], Field(description="by column: the 100 most frequent texts, or how numbers spread")
]
