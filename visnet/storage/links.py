"""Files that come into another folder: linked instead of copied where that can be, and on the disk afterwards."""

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from visnet.storage import atomic
from visnet.storage.table import Table

# What a file system answers that has no hard links, none to there, or no more of this file.
NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP}


@dataclass(frozen=True)
class Transfer:
    """What came into a folder, in files and bytes: by a link, or as a copy."""

    files: int = 0
    linked_bytes: int = 0
    copied_bytes: int = 0

    def __add__(self, other: "Transfer") -> "Transfer":
        return Transfer(
            self.files + other.files,
            self.linked_bytes + other.linked_bytes,
            self.copied_bytes + other.copied_bytes,
        )


def link_or_copy(source: Path, target: Path) -> Transfer:
    """Link a file that nobody writes to any more, or copy it where that cannot be; it is on the disk afterwards."""
    target.parent.mkdir(parents=True, exist_ok=True)
    linked = copied = 0
    try:
        os.link(source, target)
        linked = target.stat().st_size
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        copied = Path(shutil.copyfile(source, target)).stat().st_size
    atomic.sync(target)
    return Transfer(1, linked, copied)


def link_or_copy_table(source: Path, target: Path) -> Transfer:
    """Bring the latest version of a Lance table: its manifest and the files that this names, and nothing older.

    Lance never writes to a file twice, so that the links stay what they are while the table at `source` goes on.
    """
    wanted = Table(source).files()
    brought = sum((link_or_copy(source / path, target / path) for path in wanted), Transfer())
    for folder in sorted({target, *(Path(target / path).parent for path in wanted)}):
        atomic.sync(folder)
    return brought
