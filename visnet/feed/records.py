"""One record of the feed: what it may say, and in which order the records of a product count.

The order is (seq, updated_at, content): the highest wins, whatever came first. A record without `seq` counts as
numbered by its time in microseconds, one without a time as older than any of the same number, and where both are equal
the hash of what the record says decides. That is a total order, so late, repeated and shuffled records are harmless. It
compares a number with a time only where one feed holds both kinds; a feed should number all of its records or none.
"""

import datetime
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

OPS = ("upsert", "delete")
SPLITS = ("", "train", "validation", "test")  # "" = assigned by product
TEXTS = ("category", "colour", "gender", "title")
FIELDS = ("product_id", "op", "photos", "street_photos", *TEXTS, "price", "split", "updated_at", "seq")
ID_LENGTH_MAX = 512
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_INT64 = range(-(2**63), 2**63)
_OLDEST = -(2**63)


class Bad(Exception):
    """A record that cannot be used; the message is its reason, the same for all records with the same fault."""


class Record(NamedTuple):
    """One change of one product. A delete says nothing but who, and when.

    updated_at: microseconds since 1970, None where only `seq` was given. street_boxes: left, top, width, height of each
    street photo in pixels, four None where the whole photo is meant. attributes: JSON of what no other field holds.
    """

    product_id: str
    op: str
    seq: int
    updated_at: int | None
    photos: list[str]
    street_photos: list[str]
    street_boxes: list[float | None]
    category: str
    colour: str
    gender: str
    title: str
    price: float | None
    split: str
    attributes: str
    content: str

    @property
    def rank(self) -> tuple[int, int, str]:
        """The record's place in its product's order; the highest wins."""
        return rank(self.seq, self.updated_at, self.content)


def rank(seq: int, updated_at: int | None, content: str) -> tuple[int, int, str]:
    """Return what the records of a product are ordered by."""
    return seq, _OLDEST if updated_at is None else updated_at, content


def record(raw: Mapping[str, Any]) -> Record:
    """Read one record from its fields as a file gives them; `Bad` says why it cannot be used."""
    product_id = _id(raw.get("product_id"))
    op = _text(raw.get("op"), "op").lower()
    if op not in OPS:
        raise Bad(f"op: {' | '.join(OPS)} is allowed")
    updated_at = _time(raw.get("updated_at"))
    seq = _integer(raw.get("seq"), "seq")
    if seq is None:
        if updated_at is None:
            raise Bad("neither seq nor updated_at")
        seq = updated_at
    said: tuple[Any, ...] = (product_id, op, seq, updated_at, [], [], [], "", "", "", "", None, "", "")
    if op == "upsert":
        photos = [name for name, box in _photos(raw.get("photos"), "photos", boxes=False)]
        street = [pair for pair in _photos(raw.get("street_photos"), "street_photos") if pair[0] not in photos]
        texts = [_text(raw.get(field), field) for field in TEXTS]
        if not photos:
            raise Bad("upsert without photos")
        if not texts[0]:
            raise Bad("upsert without a category")
        split = _text(raw.get("split"), "split")
        if split not in SPLITS:
            raise Bad(f"split: {' | '.join(filter(None, SPLITS))} is allowed")
        boxes = [side for _, box in street for side in box]
        price, more = _number(raw.get("price"), "price"), _attributes(raw)
        said = (*said[:4], photos, [name for name, _ in street], boxes, *texts, price, split, more)
    try:
        content = hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()[:32]
    except UnicodeEncodeError:
        raise Bad("not UTF-8 text") from None
    return Record._make((*said, content))


def _id(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    product_id = _text(value, "product_id")
    if not product_id:
        raise Bad("product_id is missing")
    if len(product_id) > ID_LENGTH_MAX or not product_id.isprintable():
        raise Bad(f"product_id: over {ID_LENGTH_MAX} characters, or one that cannot be printed")
    return product_id


def _text(value: object, field: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Bad(f"{field}: text is wanted")
    return value.strip()


def _integer(value: object, field: str) -> int | None:
    number: int | None = None
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value) if abs(value) < 2**53 else None
    elif isinstance(value, str) and value.strip().removeprefix("-").isdecimal() and len(value) < 32:
        number = int(value)
    if number is None or number not in _INT64:
        raise Bad(f"{field}: a whole number of 64 bits is wanted")
    return number


def _number(value: object, field: str) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise Bad(f"{field}: a number is wanted")


def _time(value: object) -> int | None:
    """Read ISO 8601 (UTC where no zone is given), a datetime, or seconds since 1970, as microseconds."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str) and not _is_number(value):
            value = datetime.datetime.fromisoformat(value.strip())
        if isinstance(value, datetime.datetime):
            moment = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
            return (moment - _EPOCH) // _MICROSECOND
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            moment = _EPOCH + datetime.timedelta(seconds=float(value))  # refuses milliseconds: the year is over 9999
            return (moment - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        pass
    raise Bad("updated_at: ISO 8601 or seconds since 1970 is wanted")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return not text.strip().isdecimal() or len(text.strip()) != 8  # 20260105 is a day


def _photos(value: object, field: str, *, boxes: bool = True) -> list[tuple[str, tuple[float | None, ...]]]:
    """Read paths or addresses, each once: a list, a JSON list in a text, or a text divided by "|"."""
    if isinstance(value, str):
        value = value.strip()
        if value.startswith("["):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise Bad(f"{field}: not a JSON list") from None
        else:
            value = [part for part in value.split("|") if part.strip()]
    if value is None:
        return []
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise Bad(f"{field}: a list is wanted")
    found: dict[str, tuple[float | None, ...]] = {}
    for item in value:
        box: tuple[float | None, ...] = (None,) * 4
        if boxes and isinstance(item, Mapping):
            box, item = _box(item.get("box"), field), item.get("photo")
        if not isinstance(item, str) or not item.strip():
            raise Bad(f"{field}: an entry is no path or address")
        found.setdefault(item.strip(), box)
    return list(found.items())


def _box(value: object, field: str) -> tuple[float | None, ...]:
    if value is None:
        return (None,) * 4
    sides = [_number(side, field) for side in value] if isinstance(value, list | tuple) else []
    if len(sides) != 4 or any(side is None for side in sides) or min(sides[2] or 0, sides[3] or 0) <= 0:
        raise Bad(f"{field}: a box is [left, top, width, height] in pixels, the last two above 0")
    return tuple(sides)


def _attributes(raw: Mapping[str, Any]) -> str:
    more = {key: value for key, value in raw.items() if key not in FIELDS and value is not None and value != ""}
    try:
        return json.dumps(more, sort_keys=True, ensure_ascii=False, default=str) if more else ""
    except (TypeError, ValueError, RecursionError):
        raise Bad("a further field that JSON cannot hold") from None
