"""What a full disk leaves of a table: commits whose files were cut short are found, and taken back.

Lance 14 may lose the error of the last write to a data file, and commit as if all of it were there. `Table.put` raises
then; what a kill leaves before it can is found here.
"""

import errno
import os
import shutil
from pathlib import Path

from visnet.storage.table import Table, tables_of

Snapshot = dict[Path, tuple[int, int]]  # table -> its folder's inode and its version


def repair(folder: Path) -> list[Path]:
    """Take back the commits that were cut short, in all tables of a folder; return the tables that had any."""
    return [table.path for table in tables_of(folder) if take_back(table)]


def take_back(table: Table) -> bool:
    """Take back a table's latest commits as long as they are cut short; say whether there were any."""
    cut = False
    while table.exists() and not table.is_whole():
        cut = True
        table.forget_newer(table.version - 1)
    return cut


def snapshot(folder: Path) -> Snapshot:
    """Note which tables a folder has, and their versions."""
    return {table.path: (table.path.stat().st_ino, table.version) for table in tables_of(folder)}


def check(folder: Path, before: Snapshot) -> None:
    """Raise `OSError` (no space left) if a commit since `before` was cut short, with all tables as they were then."""
    cut = repair(folder)
    if not cut:
        return
    for path in sorted(folder.glob("*.lance")):
        inode, version = before.get(path, (None, 0))
        if inode is None:
            shutil.rmtree(path)
        elif path.stat().st_ino == inode:
            Table(path).forget_newer(version)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(cut[0].absolute()))
