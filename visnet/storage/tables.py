"""Keyed Lance tables of which only differences are written.

Every table has a string key, a `source` column (hash of what the row was made from: equal means nothing to do) and
a `content` column (hash of what the row says: the digest is made of these). Commits are atomic; a kill leaves the last.
"""

import errno
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lance
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from visnet.errors import NotReady

HASH_COLUMNS = [("source", pa.string()), ("content", pa.string())]
HASHED_AT_ONCE = 1 << 16  # rows, so that the memory of a hash does not grow with the table


@dataclass(frozen=True)
class Difference:
    """What must happen to a table so that it holds just the wanted rows."""

    new: list[str]
    changed: list[str]
    gone: list[str]
    same: int

    @property
    def todo(self) -> list[str]:
        """Keys to make, in key order."""
        return sorted([*self.new, *self.changed])


def fingerprint(*parts: object) -> str:
    """Return 32 hex digits that differ when any part differs, `None` and "" included."""
    return hashlib.sha256("\x1f".join(repr(part) for part in parts).encode()).hexdigest()[:32]


def fingerprints(*columns: pa.Array | pa.ChunkedArray) -> list[str]:
    """Return 32 hex digits per row of equally long columns, that differ when any value differs, null and "" included.

    They are fit as keys: of any text, of one length and free of signs, and the same on every machine. Each value is
    preceded by its length in bytes, -1 of a null, so that no two rows are written alike; a float is written by its bits
    (zero has one sign), which no version of Arrow words otherwise. Not the digits of `fingerprint`.
    """
    table = pa.table([_text(column) for column in columns], names=[str(number) for number in range(len(columns))])
    digits = []
    for batch in table.to_batches(max_chunksize=HASHED_AT_ONCE):
        pieces = []
        for text in batch.columns:
            pieces += [pc.cast(pc.fill_null(pc.binary_length(text), -1), pa.string()), pc.fill_null(text, "")]
        said = pc.binary_join_element_wise(*pieces, ":").to_pylist()
        digits += [hashlib.sha256(row.encode()).hexdigest()[:32] for row in said]
    return digits


def is_table(path: Path) -> bool:
    """Tell whether a committed table stands at `path`."""
    return (path / "_versions").is_dir() and any((path / "_versions").iterdir())


def opened(path: Path, version: int | None = None) -> lance.LanceDataset:
    """Open a version of a table, the latest if none is named; `ValueError` when there is no table."""
    if not is_table(path):
        raise NotReady(f"{path}: no table there; run the stage that makes it")
    return lance.dataset(_uri(path), version=version)


def read(path: Path, columns: list[str], where: str | None = None) -> pa.Table:
    """Read columns of the rows that satisfy the SQL condition `where`, in the table's own order."""
    return opened(path).to_table(columns=columns, filter=where)


def wanted(keys: Sequence[str] | pd.Series, sources: Sequence[str] | pd.Series) -> pa.Table:
    """Return the rows that a table should have, as `compare` takes them: unique keys, and the rows' source hashes."""
    return pa.table([pa.array(keys, pa.string()), pa.array(sources, pa.string())], names=["key", "source"])


def compare(path: Path, key: str, wanted: pa.Table) -> Difference:
    """Hold the wanted rows against those the table has."""
    keys, sources = (wanted[name].combine_chunks() for name in ("key", "source"))
    if not is_table(path):
        return Difference(new=keys.to_pylist(), changed=[], gone=[], same=0)
    had = read(path, [key, "source"]).combine_chunks()
    had_keys = had[key].combine_chunks()
    at = pc.index_in(keys, value_set=had_keys)
    there = at.is_valid()
    changed = pc.not_equal(sources.filter(there), had["source"].take(at.drop_null()))
    gone = had_keys.filter(pc.invert(pc.is_in(had_keys, value_set=keys)))
    new, other = keys.filter(at.is_null()).to_pylist(), keys.filter(there).filter(changed).to_pylist()
    return Difference(new, other, sorted(gone.to_pylist()), same=len(keys) - len(new) - len(other))


def restore(path: Path, version: int) -> None:
    """Commit the table as it was at `version`, unless it still is that."""
    if opened(path).version != version:
        lance.dataset(str(path), version=version).restore()  # type: ignore[no-untyped-call]


def is_whole(path: Path) -> bool:
    """Whether each data file that the latest version names is as long as its manifest says; none is read."""
    return all(
        size is None or _length(path / "data" / name) == size
        for fragment in opened(path).get_fragments()
        for name, size in ((file.path, file.file_size_bytes) for file in fragment.metadata.files)
    )


def put(path: Path, key: str, rows: pa.Table, replaced: Iterable[str] = ()) -> None:
    """Commit rows, replacing those whose key is in `replaced` (all others must be new).

    `OSError` when the disk was full and the commit was cut short; `mending` takes it back.
    """
    known = set(replaced)
    if not is_table(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lance.write_dataset(rows, _uri(path), mode="create")
    elif rows.num_rows == 0:
        return
    elif any(k in known for k in rows[key].to_pylist()):
        lance.dataset(_uri(path)).merge_insert(key).when_matched_update_all().when_not_matched_insert_all().execute(
            rows
        )
    else:
        lance.write_dataset(rows, _uri(path), mode="append")
    if not is_whole(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path.absolute()))


def add_columns(path: Path, schema: pa.Schema) -> None:
    """Give a table of an older layout the columns of `schema` that it lacks, null in the rows that stand there."""
    there = opened(path).schema.names
    if lacking := [column for column in schema if column.name not in there]:
        lance.dataset(str(path)).add_columns(pa.schema(lacking))


def delete(path: Path, key: str, gone: list[str], at_once: int = 1000) -> None:
    """Delete rows by key."""
    for start in range(0, len(gone), at_once):
        keys = ", ".join("'" + k.replace("'", "''") + "'" for k in gone[start : start + at_once])
        lance.dataset(_uri(path)).delete(f"{key} IN ({keys})")


def digest(path: Path, key: str) -> str:
    """Return the digest of a table's logical content: equal content, equal digest, on any machine."""
    table = read(path, [key, "content"])
    keys = pc.replace_substring(pc.replace_substring(table[key], "\\", "\\\\"), "\n", "\\n")  # a line is one row
    parts = (keys, pa.scalar("\t"), table["content"], pa.scalar("\n"), pa.scalar(""))
    lines = pc.binary_join_element_wise(*(part.cast(pa.large_string()) for part in parts)).combine_chunks()
    lines = lines.take(pc.sort_indices(lines))  # of bytes, which in UTF-8 is the order of code points
    _, ends, text = lines.buffers()
    size = int(np.frombuffer(ends, np.int64)[len(lines)]) if len(lines) else 0
    return hashlib.sha256(memoryview(text)[:size] if size else b"").hexdigest()[:32]


def _uri(path: Path) -> str:
    return str(path.absolute())  # a relative one with a colon would be taken for an address


def _text(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    if pa.types.is_floating(column.type):
        bits = (np.asarray(column.to_numpy(zero_copy_only=False), np.float64) + 0.0).view(np.int64)
        column = pa.array(bits, mask=np.asarray(column.is_null()))
    return pc.cast(column, pa.string())


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else -1
