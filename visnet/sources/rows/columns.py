"""A column of a table as the values it says, by the same conversions as a single cell: `visnet.sources.rows.values`."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from visnet.sources.rows.values import Bad

Convert = Callable[[object, str], Any]


def converted(column: pa.ChunkedArray, convert: Convert, field: str, kind: pa.DataType) -> tuple[pa.Array, pa.Array]:
    """Return the values and, where one is bad, the reason; each different value of a chunk is looked at once."""
    values, reasons = [pa.array([], kind)], [pa.array([], pa.string())]
    for chunk in column.chunks:
        coded = chunk if pa.types.is_dictionary(chunk.type) else _coded(chunk)
        used = coded.indices.unique().drop_null()  # of a whole file's values a piece may use a few
        found = [_read(value, convert, field) for value in [*_python(coded.dictionary.take(used)), None]]
        at = pc.index_in(coded.indices, used).fill_null(len(used))
        values.append(pa.array([value for value, _ in found], kind).take(at))
        if any(reason for _, reason in found):
            reasons.append(pa.array([reason for _, reason in found], pa.string()).take(at))
        else:
            reasons.append(pa.nulls(len(at), pa.string()))
    return pa.concat_arrays(values), pa.concat_arrays(reasons)


def _coded(chunk: pa.Array) -> pa.DictionaryArray:
    if pa.types.is_nested(chunk.type):
        raise ValueError(f"texts or numbers are wanted, not {chunk.type}")
    return chunk.dictionary_encode()


def _python(values: pa.Array) -> list[object]:
    try:
        return list(values.to_pylist())
    except (ValueError, OverflowError) as error:
        if len(values) > 1:
            half = len(values) // 2
            return _python(values.slice(0, half)) + _python(values.slice(half))
        return [Bad("not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "a value out of range")]


def _read(value: object, convert: Convert, field: str) -> tuple[Any, str | None]:
    try:
        if isinstance(value, Bad):
            raise Bad(f"{field}: {value}")
        return convert(value, field), None
    except Bad as bad:
        return None, str(bad)
