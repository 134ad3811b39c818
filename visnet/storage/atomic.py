"""Write a file whole or not at all: beside its place, onto the disk, then renamed; readers see the old or the new one.

The name that a killed write leaves begins with a dot and ends in `.building`; the next write of the file takes it over.
"""

import contextlib
import ctypes
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

BUILDING = ".building"
DELETING = ".deleting"
# What a kernel, file system or C library answers that cannot let two names change places.
NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Lend a path to write to; the file that is there at the end becomes `path`.

    An exception leaves `path` as it was, and nothing beside it. Folders on the way are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}{BUILDING}")
    try:
        yield building
        move(building, path)
    except BaseException:
        building.unlink(missing_ok=True)
        raise


def put_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, whole or not at all."""
    with writing(path) as building:
        building.write_text(text, encoding="utf-8")


def put_json(path: Path, content: object) -> None:
    """Write a JSON file, whole or not at all."""
    put_text(path, json.dumps(content, indent=1) + "\n")


def move(source: Path, target: Path) -> None:
    """Give a file, or a folder where none is, its final name; what it holds is on the disk already or is put there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sync(source)
    os.replace(source, target)
    sync(target.parent)


def point(link: Path, target: Path) -> None:
    """Have a symbolic link lead to `target` from now on, in one step; `link` need not be there."""
    building = link.with_name(f".{link.name}{BUILDING}")
    building.unlink(missing_ok=True)
    building.symlink_to(target)
    if link.is_dir() and not link.is_symlink():
        remove(link)  # in a copy that followed the link: a link cannot replace a folder
    os.replace(building, link)
    sync(link.parent)


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
    move(successor, folder)


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


def sync(path: Path) -> None:
    """Have the disk hold a file's bytes, or a folder's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
