"""Parquet, a piece at a time: what a small file unpacks to is known, and bounded, before memory is taken for it.

Texts stay coded while they are read, as a file may hold a long text once and name it in millions of rows.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from visnet.sources.rows.text import Unreadable
from visnet.sources.rows.values import Bad

COLUMNS_MAX = 10_000
CHUNK_MAX = {"table": 1 << 30, "records": 256 << 20}  # bytes, unpacked, of one column in one row group
VALUES_MAX = 20_000_000  # entries of one column of lists in one row group
FIXED_MAX = 1 << 16  # bytes of a value of a type of fixed length
RECORD_MAX = 4 << 20  # bytes of one record
PIECE_BYTES = 8 << 20  # of the records that are unpacked together
AT_ONCE = {"table": 65_536, "records": 1_000}  # rows that are read together
_CELL = 64  # bytes that a value costs in Python, whatever it holds


class ParquetSheet:
    """One Parquet file. names: of its columns."""

    def __init__(self, path: Path) -> None:
        """Read what the file says of itself; `Unreadable` when that is too much, or nothing."""
        self.file = path.open("rb")
        try:
            about = pq.read_metadata(self.file)
            coded = [
                column.path
                for column in map(about.schema.column, range(about.num_columns))
                if column.physical_type == "BYTE_ARRAY" and column.logical_type.type != "DECIMAL"
            ]
            self.parquet = pq.ParquetFile(
                self.file, metadata=about, read_dictionary=coded, pre_buffer=False, buffer_size=1 << 20
            )
            self.plain = pq.ParquetFile(self.file, metadata=about).schema_arrow
            self.names = list(self.plain.names)
        except (pa.ArrowException, OSError, ValueError) as error:
            self.file.close()
            raise _reason(error) from None
        self.about = about

    def records(self) -> Iterator[tuple[int, dict[str, Any] | Bad, None]]:
        """Yield rows as a feed has them: number from 1, and the values by name or what is wrong with the row."""
        self._check(self.names, "records")
        row = 0
        for batch in self._batches(self.names, AT_ONCE["records"]):
            sizes = sum((_sizes(column) for column in batch.columns), np.zeros(batch.num_rows, np.int64))
            ends = np.cumsum(sizes)
            at = 0
            while at < batch.num_rows:
                if sizes[at] > RECORD_MAX:
                    yield row + at + 1, Bad(f"a record of over {RECORD_MAX >> 20} MiB"), None
                    at += 1
                    continue
                last = int(np.searchsorted(ends, ends[at] - sizes[at] + PIECE_BYTES, "right"))
                too_large = np.flatnonzero(sizes[at:last] > RECORD_MAX)
                last = at + int(too_large[0]) if len(too_large) else last
                for number, values in enumerate(_python(_plain(batch.slice(at, last - at), self.plain)), row + at + 1):
                    yield number, values, None
                at = last
            row += batch.num_rows

    def tables(self, columns: Collection[str]) -> Iterator[pa.Table]:
        """Yield the rows as tables of these columns, texts coded."""
        names = list(columns)
        self._check(names, "table")
        for batch in self._batches(names, AT_ONCE["table"]):
            yield pa.table(batch.columns, names=batch.schema.names).select(names)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _batches(self, names: list[str], count: int) -> Iterator[pa.RecordBatch]:
        try:
            for group in range(self.about.num_row_groups):  # one by one: each has a code of its own
                yield from self.parquet.iter_batches(count, [group], names, use_threads=False)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _reason(error) from None

    def _check(self, names: Collection[str], use: str) -> None:
        if len(names) > COLUMNS_MAX:
            raise Unreadable(f"{len(names)} columns; {COLUMNS_MAX} can be read")
        wanted = set(names)
        for group in map(self.about.row_group, range(self.about.num_row_groups)):
            for i in range(group.num_columns):
                chunk, column = group.column(i), self.about.schema.column(i)
                name = column.path.partition(".")[0]
                if name not in wanted and column.path not in wanted:
                    continue
                if chunk.total_uncompressed_size > CHUNK_MAX[use]:
                    raise Unreadable(
                        f"column {name}: over {CHUNK_MAX[use] >> 20} MiB in a row group; write smaller ones"
                    )
                if column.max_repetition_level and chunk.num_values > VALUES_MAX:
                    raise Unreadable(f"column {name}: over {VALUES_MAX} entries in a row group; write smaller ones")
                if column.physical_type == "FIXED_LEN_BYTE_ARRAY" and column.length > FIXED_MAX:
                    raise Unreadable(f"column {name}: values of {column.length} bytes; {FIXED_MAX} can be read")


def _reason(error: Exception) -> Exception:
    """Return the file's fault, or the error itself where it is the machine's."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
        return error
    if isinstance(error, pa.ArrowNotImplementedError):
        return Unreadable(f"Parquet that cannot be read: {str(error).splitlines()[0]}")
    return Unreadable("broken Parquet")


def _sizes(array: pa.Array) -> NDArray[np.int64]:
    """Return about how many bytes each value takes in Python, without unpacking one."""
    kind, count = array.type, len(array)
    sizes = np.full(count, _CELL, np.int64)
    if pa.types.is_dictionary(kind):
        return sizes + _lengths(array)
    if pa.types.is_struct(kind):
        return sum((_sizes(field) for field in array.flatten()), sizes)
    if pa.types.is_fixed_size_list(kind):
        inner = _sizes(array.values).reshape(-1, kind.list_size) if kind.list_size else np.zeros((count, 0), np.int64)
        return sizes + inner[array.offset : array.offset + count].sum(axis=1)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        ends = np.concatenate([[0], np.cumsum(_sizes(array.values))])
        offsets = array.offsets.to_numpy()
        return sizes + ends[offsets[1:]] - ends[offsets[:-1]]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        return sizes + pc.fill_null(pc.binary_length(array), 0).to_numpy(zero_copy_only=False)
    return sizes


def _lengths(array: pa.DictionaryArray) -> NDArray[np.int64]:
    """Return the lengths of coded texts; only those that are named are looked at, since every piece has all of them."""
    large = pa.types.is_large_string(array.dictionary.type) or pa.types.is_large_binary(array.dictionary.type)
    offsets = np.frombuffer(array.dictionary.buffers()[1] or b"", np.int64 if large else np.int32)
    if not len(array.dictionary):
        return np.zeros(len(array), np.int64)
    at = pc.fill_null(array.indices, 0).to_numpy(zero_copy_only=False) + array.dictionary.offset
    return (offsets[at + 1] - offsets[at]).astype(np.int64)


def _plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Unpack the coded texts, which Python then reads four times as fast; what Arrow cannot unpack stays coded."""
    columns = []
    for column, field in zip(batch.columns, schema, strict=True):
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowException:
            columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=schema.names)


def _python(batch: pa.RecordBatch) -> list[dict[str, Any] | Bad]:
    """Return the rows by name; one that Python cannot hold, text that is not UTF-8 say, costs only itself."""
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError, RecursionError) as error:  # pa.ArrowInvalid is a ValueError
        if batch.num_rows > 1:
            half = batch.num_rows // 2
            return _python(batch.slice(0, half)) + _python(batch.slice(half))
        return [Bad("not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "a value out of range")]
