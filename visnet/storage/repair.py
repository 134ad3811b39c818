"""What a full disk leaves of a table: commits whose files were cut short are found, and taken back.

Lance 14 may lose the error of the last write to a data file, and commit as if all of it were there. `tables.put` raises
then; what a kill leaves before it can is found here.
"""

import errno
import os
import shutil
from pathlib import Path

from visnet.storage import tables

Marks = dict[Path, tuple[int, int]]  # table -> its folder's inode and its version


def mend(folder: Path) -> list[Path]:
    """Take back the commits that were cut short, in all tables of a folder; return the tables that had any."""
    cut = []
    for table in sorted(folder.glob("*.lance")):
        while tables.is_table(table) and not tables.is_whole(table):
            cut.append(table)
            _back_to(table, tables.opened(table).version - 1)
    return sorted(set(cut))


def marks(folder: Path) -> Marks:
    """Note where the tables of a folder stand."""
    found = [table for table in sorted(folder.glob("*.lance")) if tables.is_table(table)]
    return {table: (table.stat().st_ino, tables.opened(table).version) for table in found}


def check(folder: Path, before: Marks) -> None:
    """Raise `OSError` (no space left) if a commit since `before` was cut short, with all tables as they were then."""
    cut = mend(folder)
    if not cut:
        return
    for table in sorted(folder.glob("*.lance")):
        inode, version = before.get(table, (None, 0))
        if inode is None:
            shutil.rmtree(table)
        elif table.stat().st_ino == inode:
            _back_to(table, version)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(cut[0].absolute()))


def _back_to(table: Path, version: int) -> None:
    """Forget newer versions, by their manifests alone: that needs no room."""
    (table / "_versions" / "latest_version_hint.json").unlink(missing_ok=True)
    for manifest in (table / "_versions").glob("*.manifest"):
        if 2**64 - 1 - int(manifest.stem) > version:  # so named that the newest comes first
            manifest.unlink()
