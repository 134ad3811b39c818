"""One record of the feed: what it may say, and in which order the records of a product count.

The order is (seq, updated_at, content): the highest wins, whatever came first. A record without `seq` counts as
numbered by its time in microseconds, one without a time as older than any of the same number, and where both are equal
the hash of what the record says decides. That is a total order, so late, repeated and shuffled records are harmless. It
compares a number with a time only where one feed holds both kinds; a feed should number all of its records or none.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from visnet.sources.listing import SPLITS
from visnet.sources.rows import values
from visnet.sources.rows.values import Bad

OPS = ("upsert", "delete")
TEXTS = ("category", "colour", "gender", "title")
FIELDS = ("product_id", "op", "photos", "street_photos", *TEXTS, "price", "split", "updated_at", "seq")
TEXT_MAX = {"category": 1_000, "colour": 1_000, "gender": 1_000, "title": 10_000}  # characters
PHOTOS_MAX = 1_000  # of a record, of either side
LOCATOR_MAX = 4_096  # characters of a path or an address
ATTRIBUTES_MAX = 65_536  # characters of the JSON that holds all further fields
SEQ_MAX = 2**63 - 1
_OLDEST = -(2**63)
_NO_BOX = (None,) * 4


class Limits(NamedTuple):
    """The highest rank that a record may claim: one from far in the future would freeze its product for as long.

    updated_at: microseconds since 1970. seq: also of a feed that numbers by a clock.
    """

    updated_at: int = SEQ_MAX
    seq: int = SEQ_MAX

    @classmethod
    def ahead(cls, now_s: float, clock_skew_max_s: float, seq_max: int = SEQ_MAX) -> "Limits":
        """Return the limits at a time: so many seconds ahead of it; no clock counts in more than nanoseconds."""
        latest_s = int(now_s + clock_skew_max_s)
        return cls(latest_s * 10**6, min(seq_max, latest_s * 10**9))


UNLIMITED = Limits()


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


def record(raw: Mapping[str, Any], limits: Limits = UNLIMITED) -> Record:
    """Read one record from its fields as a file gives them; `Bad` says why it cannot be used."""
    product_id = values.identifier(raw.get("product_id"), "product_id")
    op = values.text(raw.get("op"), "op").lower()
    if op not in OPS:
        raise Bad(f"op: {' | '.join(OPS)} is allowed")
    updated_at = values.moment(raw.get("updated_at"), "updated_at")
    if updated_at is not None and updated_at > limits.updated_at:
        raise Bad("updated_at: further ahead of this machine's clock than clock_skew_max_s")
    seq = values.whole(raw.get("seq"), "seq")
    if seq is None:
        if updated_at is None:
            raise Bad("neither seq nor updated_at")
        seq = updated_at
    elif seq > limits.seq:
        raise Bad("seq: over seq_max, or what a clock could have counted by now")
    fields: tuple[Any, ...] = (product_id, op, seq, updated_at, [], [], [], "", "", "", "", None, "", "")
    if op == "upsert":
        photos = [name for name, box in _photos(raw.get("photos"), "photos", boxes=False)]
        street = [pair for pair in _photos(raw.get("street_photos"), "street_photos") if pair[0] not in photos]
        texts = [_text(raw.get(field), field) for field in TEXTS]
        if not photos:
            raise Bad("upsert without photos")
        if not texts[0]:
            raise Bad("upsert without a category")
        split = values.text(raw.get("split"), "split")
        if split not in SPLITS:
            raise Bad(f"split: {' | '.join(filter(None, SPLITS))} is allowed")
        boxes = [side for _, box in street for side in box]
        price, more = values.number(raw.get("price"), "price"), _attributes(raw)
        fields = (*fields[:4], photos, [name for name, _ in street], boxes, *texts, price, split, more)
    try:
        content = hashlib.sha256(json.dumps(fields, ensure_ascii=False).encode()).hexdigest()[:32]
    except UnicodeEncodeError:
        raise Bad("not UTF-8 text") from None
    return Record._make((*fields, content))


def _text(value: object, field: str) -> str:
    found = values.text(value, field)
    if len(found) > TEXT_MAX[field]:
        raise Bad(f"{field}: over {TEXT_MAX[field]} characters")
    return found


def _photos(value: object, field: str, *, boxes: bool = True) -> list[tuple[str, tuple[float | None, ...]]]:
    """Read paths or addresses, each once: a list, a JSON list in a text, or a text divided by "|"."""
    if isinstance(value, str | bytes):
        value = values.text(value, field)
        if value.startswith("["):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise Bad(f"{field}: not a JSON list") from None
        else:
            value = [part for part in value.split("|") if part.strip()]
    if values.is_missing(value):
        return []
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise Bad(f"{field}: a list is wanted")
    found: dict[str, tuple[float | None, ...]] = {}
    for item in value:
        box: tuple[float | None, ...] = _NO_BOX
        if boxes and isinstance(item, Mapping):
            box, item = _box(item.get("box"), field), item.get("photo")
        name = values.text(item, field) if isinstance(item, str | bytes) else ""
        if not name:
            raise Bad(f"{field}: an entry is no path or address")
        if len(name) > LOCATOR_MAX:
            raise Bad(f"{field}: a path or address of over {LOCATOR_MAX} characters")
        found.setdefault(name, box)
    if len(found) > PHOTOS_MAX:
        raise Bad(f"{field}: over {PHOTOS_MAX} of one product")
    return list(found.items())


def _box(value: object, field: str) -> tuple[float | None, ...]:
    if value is None:
        return _NO_BOX
    sides = [values.number(side, field) for side in value] if isinstance(value, list | tuple) else []
    if len(sides) != 4 or any(side is None for side in sides) or min(sides[2] or 0, sides[3] or 0) <= 0:
        raise Bad(f"{field}: a box is [left, top, width, height] in pixels, the last two above 0")
    return tuple(sides)


def _attributes(raw: Mapping[str, Any]) -> str:
    more = {key: value for key, value in raw.items() if key and key not in FIELDS and not values.is_missing(value)}
    try:
        found = json.dumps(more, sort_keys=True, ensure_ascii=False, default=str, allow_nan=False) if more else ""
    except (TypeError, ValueError, RecursionError):
        raise Bad("a further field that JSON cannot hold") from None
    if len(found) > ATTRIBUTES_MAX:
        raise Bad(f"further fields of over {ATTRIBUTES_MAX} characters")
    return found
