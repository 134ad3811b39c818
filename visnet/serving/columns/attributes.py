"""What a shop says of a product beyond what every product has, as a page shows it."""

import json
from collections.abc import Mapping
from typing import Any


def shown_attributes(said: Mapping[str, Any]) -> dict[str, str]:
    """Return what a shop's record says as a page shows it: its fields, and those in its JSON of `attributes`."""
    own = parsed_attributes(said.get("attributes"))
    fields = {name: value for name, value in said.items() if name != "attributes"}
    return {name: text for name, value in {**own, **fields}.items() if (text := as_text(value))}


def parsed_attributes(text: str | None) -> Mapping[str, Any]:
    """Read what a record says beyond the fields that all have, {} where that is none."""
    try:
        read = json.loads(text or "{}")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def as_text(value: Any) -> str:
    """Say a value as a page shows it, "" for none."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, list) and not any(isinstance(one, list | dict) for one in value):
        return ", ".join(filter(None, map(as_text, value)))
    return "" if value in ([], {}) else json.dumps(value, ensure_ascii=False, default=str)
