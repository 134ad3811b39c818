"""Read one file of records: JSON Lines, CSV or Parquet, the text ones also gzipped.

A record that cannot be used becomes a dead letter and the rest goes on; a file that cannot be read at all is one dead
letter of line 0. Text must be UTF-8. A line of CSV without a line end is taken for cut short, whatever it seems to say.
A file is read a piece at a time, so that what it takes in memory does not grow with it.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from visnet.sources.changefeed.records import UNLIMITED, Limits, Record, record
from visnet.sources.rows import files, text
from visnet.sources.rows.csv_sheet import CsvSheet
from visnet.sources.rows.parquet_sheet import ParquetSheet
from visnet.sources.rows.text import LINE_MAX, Unreadable
from visnet.sources.rows.values import Bad

SUFFIXES = (".jsonl", ".csv", ".parquet", ".jsonl.gz", ".csv.gz")
TEXT_MAX = 500  # characters of a dead letter that are kept
DEAD_KEPT = 1_000  # dead letters of a batch that are kept; all are counted
_NEEDED = ("product_id", "op")


class DeadLetter(NamedTuple):
    """A record that could not be used. line: from 1, a Parquet file's row; 0 = the whole file."""

    line: int
    reason: str
    text: str


class Reading:
    """One file that is being read: iterate it for its usable records; meanwhile it counts, and keeps dead letters.

    dead: the first `DEAD_KEPT` of the dead letters.
    """

    def __init__(self, path: Path, limits: Limits = UNLIMITED) -> None:
        self.path, self.limits = path, limits
        self.upserts = self.deletes = self.dead_letters = 0
        self.dead: list[DeadLetter] = []

    def __iter__(self) -> Iterator[Record]:
        """Yield the records in the file's order; nothing in it raises. `OSError` when it is not there."""
        before: tuple[object, object] = (None, None)  # the row before: files repeat themselves
        found: Record | Bad = Bad()
        try:
            for line, raw, written in _rows(self.path):
                if not _same(before, (raw, written)):
                    before, found = (raw, written), self._record(raw)
                if isinstance(found, Bad):
                    self._add_dead(line, found, raw, written)
                    continue
                self.upserts += found.op == "upsert"
                self.deletes += found.op == "delete"
                yield found
        except Unreadable as error:
            self._add_dead(0, error, "", "")

    def counts(self) -> dict[str, int]:
        """Return how many records there were of each kind."""
        records = self.upserts + self.deletes
        counted = {"upserts": self.upserts, "deletes": self.deletes, "dead_letters": self.dead_letters}
        return {"records": records, **counted}

    def _record(self, raw: "dict[str, Any] | Bad") -> Record | Bad:
        if isinstance(raw, Bad):
            return raw
        try:
            return record(raw, self.limits)
        except Bad as bad:
            return bad

    def _add_dead(self, line: int, reason: Exception, raw: object, written: str | None) -> None:
        self.dead_letters += 1
        if len(self.dead) < DEAD_KEPT:
            shown = _json(raw) if written is None else written
            self.dead.append(DeadLetter(line, str(reason), _shown(shown)))


@dataclass(frozen=True)
class FeedBatch:
    """What one file says: its usable records in the file's order, and the first of the others."""

    records: list[Record]
    dead: list[DeadLetter]
    dead_letters: int = 0

    def counts(self) -> dict[str, int]:
        """Return how many records there are of each kind."""
        upserts = sum(record.op == "upsert" for record in self.records)
        counted = {"upserts": upserts, "deletes": len(self.records) - upserts, "dead_letters": self.dead_letters}
        return {"records": len(self.records), **counted}


def read(path: Path, limits: Limits = UNLIMITED) -> FeedBatch:
    """Read all of a file that memory can hold; nothing in it raises. `OSError` when the file is not there."""
    reading = Reading(path, limits)
    return FeedBatch(list(reading), reading.dead, reading.dead_letters)


_Row = tuple[int, "dict[str, Any] | Bad", str | None]  # line, fields or what is wrong, the text where there is one


def _rows(path: Path) -> Iterator[_Row]:
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise Unreadable(f"not a batch; {', '.join(SUFFIXES)} are")
    if name.endswith((".jsonl", ".jsonl.gz")):
        with text.opened(path) as file:
            yield from _json_lines(file)
        return
    with contextlib.closing(files.opened(path, _NEEDED)) as sheet:
        _check(sheet)
        yield from sheet.records()


def _check(sheet: CsvSheet | ParquetSheet) -> None:
    where = " in its first line" if isinstance(sheet, CsvSheet) else ""
    if missing := [name for name in _NEEDED if name not in sheet.names]:
        raise Unreadable(f"no column {', '.join(missing)}{where}")
    if twice := sorted({name for name in sheet.names if name and sheet.names.count(name) > 1}):
        raise Unreadable(f"two columns are called {', '.join(twice)}{where}")


def _json_lines(file: TextIO) -> Iterator[_Row]:
    for number, (line, whole) in enumerate(text.lines(file), 1):
        if whole and line.isspace():
            continue
        raw: dict[str, Any] | Bad
        try:
            raw = parsed(line) if whole else {}
        except Bad as bad:
            raw = bad
        if not whole:
            raw = Bad(f"a line of over {LINE_MAX} characters")
        yield number, raw if isinstance(raw, dict | Bad) else Bad("not a JSON object"), line


def parsed(text: str) -> Any:
    """Read JSON as its standard has it, no key twice in an object; `Bad` says why it cannot be."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Bad("not JSON") from None


def _same(one: tuple[object, object], other: tuple[object, object]) -> bool:
    """Tell whether two rows say the same: True, 1 and 1.0 are equal in Python, and are not the same."""
    if other[1] is not None:
        return one[1] == other[1]
    return one[0] == other[0] and repr(one[0]) == repr(other[0])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Bad("a key stands twice in an object")
    return found


def _no_number(constant: str) -> None:
    raise Bad("not JSON")  # NaN, Infinity: Python alone reads them


def _json(raw: object) -> str:
    try:
        return json.dumps(raw, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return ""


def _shown(text: str) -> str:
    return text[: TEXT_MAX + 2].rstrip("\r\n")[:TEXT_MAX].encode("utf-8", "replace").decode()
