"""Read one file of records: JSON Lines, CSV or Parquet, the text ones also gzipped.

A record that cannot be used becomes a dead letter and the rest goes on; a file that cannot be read at all is one dead
letter of line 0. Text must be UTF-8. A line of CSV without a line end is taken for cut short, whatever it seems to say.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from visnet.feed.records import Bad, Record, record

SUFFIXES = (".jsonl", ".csv", ".parquet", ".jsonl.gz", ".csv.gz")
TEXT_MAX = 500  # characters of a dead letter that are kept
BYTES_MAX = 1 << 30  # of a text, unpacked: a batch is read whole
_NEEDED = ("product_id", "op")


class DeadLetter(NamedTuple):
    """A record that could not be used. line: from 1, a Parquet file's row; 0 = the whole file."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True)
class Batch:
    """What one file says: its usable records in the file's order, and the others."""

    records: list[Record]
    dead: list[DeadLetter]

    def counts(self) -> dict[str, int]:
        """Return how many records there are of each kind."""
        upserts = sum(record.op == "upsert" for record in self.records)
        return {
            "records": len(self.records),
            "upserts": upserts,
            "deletes": len(self.records) - upserts,
            "dead_letters": len(self.dead),
        }


class _Unreadable(Exception):
    """The whole file says nothing; the message is the reason."""


def read(path: Path) -> Batch:
    """Read a file's records; nothing in it raises. `OSError` when the file is not there."""
    records: list[Record] = []
    dead: list[DeadLetter] = []
    try:
        for line, raw, text in _rows(path):
            try:
                if isinstance(raw, Bad):
                    raise raw
                records.append(record(raw))
            except Bad as bad:
                said = json.dumps(raw, ensure_ascii=False, default=str) if text is None else text
                dead.append(DeadLetter(line, str(bad), _shown(said)))
    except _Unreadable as error:
        return Batch([], [DeadLetter(0, str(error), "")])
    return Batch(records, dead)


_Row = tuple[int, "dict[str, Any] | Bad", str | None]  # line, fields or what is wrong, the text where there is one


def _rows(path: Path) -> Iterator[_Row]:
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise _Unreadable(f"not a batch; {', '.join(SUFFIXES)} are")
    if name.endswith(".parquet"):
        return _parquet(path)
    text = _text(path)
    return _csv(text) if name.endswith((".csv", ".csv.gz")) else _json_lines(text)


def _text(path: Path) -> str:
    data = path.read_bytes()
    if path.name.lower().endswith(".gz"):
        try:
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(BYTES_MAX + 1)
        except (OSError, EOFError, zlib.error):
            raise _Unreadable("broken gzip") from None
    if len(data) > BYTES_MAX:
        raise _Unreadable(f"over {BYTES_MAX >> 20} MiB of text; divide it")
    return data.removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape")  # what is not UTF-8 shows in its record


def _json_lines(text: str) -> Iterator[_Row]:
    for number, line in enumerate(io.StringIO(text, newline=""), 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
        except (ValueError, RecursionError):
            yield number, Bad("not JSON"), line
        else:
            yield number, raw if isinstance(raw, dict) else Bad("not a JSON object"), line


class _Lines:
    """The lines of a text, and which comes next: a quote that never ends must not take the rest of the file with it."""

    def __init__(self, text: str) -> None:
        self.lines, self.at = list(io.StringIO(text, newline="")), 0

    def __iter__(self) -> Iterator[str]:
        while self.at < len(self.lines):
            self.at += 1
            yield self.lines[self.at - 1]


def _csv(text: str) -> Iterator[_Row]:
    lines = _Lines(text)
    header = [name.strip() for name in next(csv.reader(lines), [])]
    if missing := [name for name in _NEEDED if name not in header]:
        raise _Unreadable(f"no column {', '.join(missing)} in its first line")
    reader = csv.reader(lines, strict=True)
    while True:
        first, fault, row = lines.at, None, None
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            fault = "not CSV"
        if row is not None and len(row) != len(header) and row:
            fault = f"{len(row)} columns, and the header has {len(header)}"
        if fault is None and lines.lines[lines.at - 1][-1:] not in "\r\n":
            fault = "cut short: no line end"
        if fault:
            lines.at = first + 1
            reader = csv.reader(lines, strict=True)
            yield first + 1, Bad(fault), lines.lines[first]
        elif row:
            yield first + 1, dict(zip(header, row, strict=True)), "".join(lines.lines[first : lines.at])


def _parquet(path: Path) -> Iterator[_Row]:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if missing := [name for name in _NEEDED if name not in file.schema_arrow.names]:
                raise _Unreadable(f"no column {', '.join(missing)}")
            rows = [row for batch in file.iter_batches() for row in batch.to_pylist()]
    except (pa.ArrowException, OSError, ValueError):
        raise _Unreadable("broken Parquet") from None
    for number, row in enumerate(rows, 1):
        yield number, row, None


def _shown(text: str) -> str:
    return text.rstrip("\r\n")[:TEXT_MAX].encode("utf-8", "replace").decode()
