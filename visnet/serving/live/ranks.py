"""In which order changes count: a written one is newer than what is known, and older than what the feed says next."""

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from visnet.serving.catalog import Serving
from visnet.serving.product_rows import numbered
from visnet.sources.changefeed.records import Limits, Record, rank, record
from visnet.storage.table import Table

Rank = tuple[int, int, str]  # seq, updated_at, content, as `visnet.sources.changefeed.records.rank`
COLUMNS = ["product_id", "seq", "updated_at", "content"]


class Outranked(ValueError):
    """A change that is older than what is known of its product."""


class Ranks:
    """The rank of each product in the table of a version, and whether the feed numbers its records."""

    def __init__(self, version: Serving) -> None:
        """Read the table; a version of another source than a feed knows none."""
        self._rows = pa.table({})
        self._row: dict[str, int] = {}
        self.numbered = False
        table = None if version.catalog is None else Table(version.catalog)
        if table is None or not set(COLUMNS) <= set(table.columns):
            return
        self._rows = table.read(COLUMNS).combine_chunks()
        self._row = numbered(self._rows["product_id"].to_numpy())
        unlike = pc.not_equal(self._rows["seq"], self._rows["updated_at"])  # null where the record has no time
        self.numbered = bool(pc.any(pc.fill_null(unlike, fill_value=True)).as_py())

    def of(self, product_id: str) -> Rank | None:
        """Return the rank of a product's record, None where there is none."""
        row = self._row.get(product_id)
        if row is None:
            return None
        seq, at, content = (self._rows[name][row].as_py() for name in ("seq", "updated_at", "content"))
        return rank(seq, at, content)


@dataclass(frozen=True)
class Before:
    """What is known of a product when a change of it comes: its rank, and whether its feed numbers its records."""

    rank: Rank | None
    numbered: bool


def ranked(raw: Mapping[str, Any], known: Before, now_us: int, limits: Limits) -> tuple[dict[str, Any], Record]:
    """Give a change its place; return its fields as the feed has them, and as they are read.

    A change that says neither `seq` nor `updated_at` comes right after what is known: its time is now, or a microsecond
    after what is known. Where the feed numbers its records, one without a number has that of the record which is known,
    or 0 where none is, so that it is older than the feed's next one. Errors: `Outranked`, and `Bad` of `record`.
    """
    fields, before = dict(raw), known.rank
    if fields.get("seq") is None:
        if fields.get("updated_at") is None:
            fields["updated_at"] = _iso(now_us if before is None else max(now_us, before[1] + 1))
        if before is not None and before[0] != before[1]:
            fields["seq"] = before[0]
        elif before is None and known.numbered:
            fields["seq"] = 0
    found = record(fields, limits)
    if known.rank is not None and found.rank < known.rank:
        raise Outranked(
            f"product {found.product_id[:200]!r} is known by a newer record: {_said(known.rank)}; "
            f"the one given is {_said(found.rank)}"
        )
    return fields, found


def written(fields: Mapping[str, Any]) -> str:
    """Write a record as a line of a batch."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _iso(at_us: int) -> str:
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (epoch + datetime.timedelta(microseconds=at_us)).isoformat(timespec="microseconds")


def _said(found: Rank) -> str:
    time = "none" if found[1] < 0 else _iso(found[1])
    return f"seq {found[0]}, updated_at {time}"
