"""Hashes of what rows are made from and of what they say, the same on every machine."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

HASH_COLUMNS = [("source", pa.string()), ("content", pa.string())]
HASHED_AT_ONCE = 1 << 16  # rows, so that the memory of a hash does not grow with the table


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
        lines = pc.binary_join_element_wise(*pieces, ":").to_pylist()
        digits += [hashlib.sha256(line.encode()).hexdigest()[:32] for line in lines]
    return digits


def fingerprint_of_texts(*texts: str | None) -> str:
    """Return what `fingerprints` gives of one row of texts, at once: a column costs it a hundred times as much."""
    pieces = (f"{-1 if text is None else len(text.encode())}:{text or ''}" for text in texts)
    return hashlib.sha256(":".join(pieces).encode()).hexdigest()[:32]


def content_digest(keys: pa.ChunkedArray, contents: pa.ChunkedArray) -> str:
    """Return the digest of a table's logical content, from the keys of its rows and what each says, in any order."""
    keys = pc.replace_substring(pc.replace_substring(keys, "\\", "\\\\"), "\n", "\\n")  # a line is one row
    parts = (keys, pa.scalar("\t"), contents, pa.scalar("\n"), pa.scalar(""))
    lines = pc.binary_join_element_wise(*(part.cast(pa.large_string()) for part in parts)).combine_chunks()
    lines = lines.take(pc.sort_indices(lines))  # of bytes, which in UTF-8 is the order of code points
    _, ends, text = lines.buffers()
    size = int(np.frombuffer(ends, np.int64)[len(lines)]) if len(lines) else 0
    return hashlib.sha256(memoryview(text)[:size] if size else b"").hexdigest()[:32]


def _text(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    if pa.types.is_floating(column.type):
        bits = (np.asarray(column.to_numpy(zero_copy_only=False), np.float64) + 0.0).view(np.int64)
        column = pa.array(bits, mask=np.asarray(column.is_null()))
    return pc.cast(column, pa.string())
