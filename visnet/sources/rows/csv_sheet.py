"""CSV, as strictly as it can be read: a quote that does not fit is that row's fault, and the next line is a row again.

Cells are quoted by `"`, and a quote in a quoted cell is written twice. A quoted cell may hold line ends, but for lines
that each have as many columns as the header: then a stray quote has opened at one of them and closed at another.
"""

import csv
from collections import deque
from collections.abc import Collection, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from visnet.sources.rows import text
from visnet.sources.rows.text import LINE_MAX, Unreadable
from visnet.sources.rows.values import Bad

DELIMITERS = ",\t;|"
COLUMNS_MAX = 10_000
LINES_MAX = 1000  # of one row
AGAIN_MAX = 1_000_000  # lines that are read a second time, before quotes are held to fit nowhere
AT_ONCE = 65_536  # rows of a table
NOT_UTF8 = f"not UTF-8 text; {text.CURE}, or convert it: iconv -f WINDOWS-1252 -t UTF-8"
_FAULTS = {
    "unexpected end of data": "a quote is opened and never closed",
    "expected after": "text after a closing quote; within a cell a quote is written twice",
}


class _Lines:
    """The lines of a file; those of the row that is being read can be given back."""

    def __init__(self, file: TextIO) -> None:
        self.fresh, self.back = text.lines(file), deque[str]()
        self.row: list[str] = []
        self.again = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.back:
            line, whole = self.back.popleft(), True
        else:
            line, whole = next(self.fresh)
        self.row.append(line)
        if not whole:
            raise csv.Error(f"a line of over {LINE_MAX} characters")
        if "\0" in line:
            raise csv.Error("a NUL character")
        if len(self.row) > LINES_MAX:
            raise csv.Error(f"a quote is opened and not closed in {LINES_MAX} lines")
        return line

    def give_back(self) -> None:
        """Have all but the first line of this row come again."""
        self.back.extendleft(reversed(self.row[1:]))
        self.again += len(self.row) - 1
        if self.again > AGAIN_MAX:
            raise Unreadable("quotes that are opened and never closed, in too many of its lines")


class CsvSheet:
    """One CSV file. names: of its columns, "" where its header has none."""

    def __init__(self, path: Path, wanted: Collection[str]) -> None:
        """Read the header, under the delimiter by which most of the `wanted` names are found, then most columns."""
        csv.field_size_limit(LINE_MAX)
        self.file = text.opened(path)
        self.lines = _Lines(self.file)
        self.before = 0  # lines before the row that comes next
        try:
            self._read_header(wanted)
        except Unreadable:
            self.file.close()
            raise

    def _read_header(self, wanted: Collection[str]) -> None:
        first = self._first()
        if first.rstrip("\r\n").strip('"').lower()[:4] == "sep=":  # which Excel takes for the delimiter, not for a row
            self.before, first = 1, self._first()
        self.delimiter = max(DELIMITERS, key=lambda mark: _found(first, mark, wanted))
        self.lines.back.append(first)
        try:
            header = next(csv.reader(self.lines, delimiter=self.delimiter, strict=True), [])
        except csv.Error as error:
            raise Unreadable(f"its header: {_reason(error)}") from None
        self.before += len(self.lines.row)
        self.width = len(header)
        self.names = [name.strip() for name in header]
        while self.names and not self.names[-1]:  # lines that end with a delimiter
            self.names.pop()
        if not all(map(text.is_utf8, self.names)):
            raise Unreadable(f"its header: {NOT_UTF8}")
        if self.width > COLUMNS_MAX:
            raise Unreadable(f"{self.width} columns; {COLUMNS_MAX} can be read")

    def rows(self, *, ended: bool = False) -> Iterator[tuple[int, list[str] | Bad, str]]:
        """Yield the line at which a row starts, its cells or what is wrong with it, and its text; empty lines are none.

        ended: a last line without a line end is taken for cut short, whatever it seems to say.
        """
        lines, count = self.lines, len(self.names)
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        while True:
            row: list[str] = []
            lines.row = row
            fault, cells = "", []
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                fault = _reason(error)
            if not fault and len(cells) != count and cells:
                if any(cells[self.width :]) or len(cells) < count:
                    fault = f"{len(cells)} columns, and the header has {count}" if "".join(cells).strip() else ""
                    cells = []
                cells = cells[:count]
            if len(row) > 1 and not fault and self._are_rows(row):
                fault = f"a quote is opened here and closed {len(row) - 1} lines on, and each line is a row by itself"
            if ended and not fault and row[-1][-1] not in "\r\n":
                fault = "cut short: no line end"
            if fault:
                lines.give_back()
                reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
                yield self.before + 1, Bad(fault), row[0]
                self.before += 1
                continue
            if cells:
                yield self.before + 1, cells, row[0] if len(row) == 1 else "".join(row)
            self.before += len(row)

    def records(self) -> Iterator[tuple[int, dict[str, Any] | Bad, str]]:
        """Yield rows as a feed has them: by name, and each line must be ended."""
        for line, cells, written in self.rows(ended=True):
            yield line, cells if isinstance(cells, Bad) else dict(zip(self.names, cells, strict=True)), written

    def tables(self, columns: Collection[str]) -> Iterator[pa.Table]:
        """Yield the rows as tables of these columns, as text; the first row that is at fault raises `Unreadable`."""
        names = list(columns)
        pick = itemgetter(*(self.names.index(name) for name in (*names, names[0])))  # of one name it gives no tuple
        row, picked = 0, []
        for line, cells, _ in self.rows():
            row += 1
            if isinstance(cells, Bad):
                raise Unreadable(f"row {row} (line {line}): {cells}")
            picked.append(pick(cells))
            if len(picked) == AT_ONCE:
                yield self._table(names, picked, row)
                picked = []
        if picked:
            yield self._table(names, picked, row)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _are_rows(self, lines: list[str]) -> bool:
        alone = (next(csv.reader([line], delimiter=self.delimiter), []) for line in lines)
        return self.width > 1 and all(len(cells) == self.width for cells in alone)

    def _first(self) -> str:
        try:
            return next(self.lines, "")
        except csv.Error as error:
            raise Unreadable(f"its first line: {_reason(error)}") from None
        finally:
            self.lines.row = []

    def _table(self, names: list[str], picked: list[tuple[str, ...]], row: int) -> pa.Table:
        columns = []
        for name, values in zip(names, zip(*picked, strict=True), strict=False):
            try:
                columns.append(pa.array(values, pa.string()))
            except (UnicodeEncodeError, pa.ArrowInvalid):
                at = next(i for i, value in enumerate(values) if not text.is_utf8(value))
                raise Unreadable(f"row {row - len(picked) + at + 1}: {name}: {NOT_UTF8}") from None
        return pa.table(columns, names=names)


def _found(first: str, mark: str, wanted: Collection[str]) -> tuple[int, int]:
    names = [name.strip() for name in next(csv.reader([first], delimiter=mark), [])]
    return len(set(wanted).intersection(names)), len(names)


def _reason(error: csv.Error) -> str:
    if "field limit" in str(error):
        return f"a cell of over {LINE_MAX} characters"
    return next((reason for found, reason in _FAULTS.items() if found in str(error)), str(error))
