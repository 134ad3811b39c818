"""Folders as readers meet them: files linked instead of copied, made durable, replaced and removed in one step."""

import ctypes
import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from visnet.storage import tables

# What a file system answers that has no hard links, none to there, or no more of this file.
NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP}
DELETING = ".deleting"
# What a kernel, file system or C library answers that cannot let two names change places.
NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


@dataclass(frozen=True)
class Brought:
    """What came into a folder, in files and bytes: by a link, or as a copy."""

    files: int = 0
    linked_bytes: int = 0
    copied_bytes: int = 0

    def __add__(self, other: "Brought") -> "Brought":
        return Brought(
            self.files + other.files,
            self.linked_bytes + other.linked_bytes,
            self.copied_bytes + other.copied_bytes,
        )


def bring(source: Path, target: Path) -> Brought:
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
    sync(target)
    return Brought(1, linked, copied)


def bring_table(source: Path, target: Path) -> Brought:
    """Bring the latest version of a Lance table: its manifest and the files that this names, and nothing older.

    Lance never writes to a file twice, so that the links stay what they are while the table at `source` goes on.
    """
    table = tables.opened(source)
    named = table.tracked_files(min_version=table.version).read_all()
    wanted = sorted(
        path
        for path, version in zip(named["path"].to_pylist(), named["version"].to_pylist(), strict=True)
        if version == table.version
    )
    brought = sum((bring(source / path, target / path) for path in wanted), Brought())
    for folder in sorted({target, *(Path(target / path).parent for path in wanted)}):
        sync(folder)
    return brought


def sync(path: Path) -> None:
    """Have the disk hold a file's bytes, or a folder's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(folder: Path) -> None:
    """Remove a folder so that a kill leaves it whole, or under a name that nobody reads (see `clean`)."""
    doomed = folder.with_name(f".{folder.name}{DELETING}")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed)


def replace(folder: Path, successor: Path) -> None:
    """Put `successor` in the place of `folder`, which need not be there; at every moment one of them is.

    Where the system cannot let two names change places, there is a moment in which neither is.
    """
    if folder.exists():
        try:
            _exchange(folder, successor)
        except OSError as error:
            if error.errno not in NO_EXCHANGE:
                raise
            remove(folder)
        else:
            shutil.rmtree(successor)
            return
    successor.rename(folder)
    sync(folder.parent)


def _exchange(one: Path, other: Path) -> None:
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(one))
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one))


def clean(parent: Path, *endings: str) -> int:
    """Remove what killed runs left in a folder, by the endings of its hidden names; return how many there were."""
    left = [path for ending in (DELETING, *endings) for path in parent.glob(f".*{ending}")]
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return len(left)
