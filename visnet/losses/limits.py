"""What a loss's parameters may be."""

import math
from typing import Any, get_args


def within(
    name: str, value: float, *, above: float | None = None, least: float = -math.inf, below: float = math.inf
) -> None:
    """Refuse a parameter that is no number or out of its limits; `ValueError` names it and what is allowed."""
    low = least if above is None else above
    if low <= value < below and value != above:
        return
    allowed = f"{'at least' if above is None else 'above'} {low:g}"
    raise ValueError(
        f"{name} must be {allowed} and {'finite' if below == math.inf else f'below {below:g}'}, is {value:g}"
    )


def one_of(name: str, value: str, choices: Any) -> None:
    """Refuse a word that a `Literal` does not list; `ValueError` lists them."""
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, get_args(choices)))}, is {value!r}")
