"""One table in few files again, without the versions and leftovers that nobody reads."""

from dataclasses import dataclass

import pyarrow as pa

from visnet.storage import repair
from visnet.storage.table import Table

DELETED_SHARE = 0.05  # of a file's rows: more, and the file is written anew without them
WIDE_ROWS = 256  # rows in memory at a time where they hold photos


@dataclass(frozen=True)
class Size:
    """What a table takes."""

    rows: int
    files: int
    bytes: int
    versions: int


def size(table: Table) -> Size:
    """Measure a table as it is stored, with all that no version names."""
    latest, there = table.opened(), table.stored()
    return Size(latest.count_rows(), len(there), sum(there.values()), len(latest.versions()))


def compact(table: Table) -> int:
    """Write a table's small files together, and remove all that its latest version does not name.

    Returns how many files a killed writer had left. Nobody may write meanwhile, nor read an older version. Raises
    `OSError` when there is no room, `RuntimeError` if the content should differ afterwards: the table is as it was.
    """
    before, content = table.version, (table.count(), table.digest())
    kinds = [field.type for field in table.opened().schema]
    wide = any(pa.types.is_large_binary(kind) or pa.types.is_binary(kind) for kind in kinds)
    table.compact(DELETED_SHARE, WIDE_ROWS if wide else None)
    try:
        table.check_whole()
    except OSError:
        repair.take_back(table)
        raise
    if (table.count(), table.digest()) != content:
        table.restore(before)
        raise RuntimeError(f"{table.path}: not the same content after compaction; its version {before} was put back")
    return table.forget_older()
