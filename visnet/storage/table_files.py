"""The files of a table's folder, on the disk or in an object store, and what Lance refuses there in a line of ours."""

import contextlib
import errno
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from visnet.errors import Conflict, NotReady
from visnet.storage import lease
from visnet.storage.object_store import ObjectStore, is_url

FEW = 4  # objects that are asked for one by one
FIRST = "first.lease"  # in a table's folder, where Lance does not look at it


class TableFiles(Protocol):
    """Files of a folder, by their paths in it, with `/`."""

    def names(self, folder: str) -> Iterator[str]:
        """List the files of a folder in it, which need not be there, and of the folders in that."""

    def lengths(self, names: Iterable[str]) -> dict[str, int]:
        """Return the bytes of each file, -1 for one that is missing."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are not there are no error."""


class LocalFiles:
    """Files on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self, folder: str) -> Iterator[str]:
        """List the files of a folder in it, which need not be there, and of the folders in that."""
        found = (self._folder / folder).rglob("*")
        return (file.relative_to(self._folder).as_posix() for file in found if file.is_file())

    def lengths(self, names: Iterable[str]) -> dict[str, int]:
        """Return the bytes of each file, -1 for one that is missing."""
        files = {name: self._folder / name for name in names}
        return {name: file.stat().st_size if file.exists() else -1 for name, file in files.items()}

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are not there are no error."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)


class RemoteFiles:
    """Files in an object store."""

    def __init__(self, url: str) -> None:
        self._store = ObjectStore(url)

    def names(self, folder: str) -> Iterator[str]:
        """List the files of a folder in it, which need not be there, and of the folders in that."""
        return (name for name, _ in self._store.sizes(folder))

    def lengths(self, names: Iterable[str]) -> dict[str, int]:
        """Return the bytes of each file, -1 for one that is missing; many are listed, a thousand at a time."""
        wanted = list(names)
        if len(wanted) <= FEW:
            return {name: self._store.size(name) for name in wanted}
        there: dict[str, int] = {}
        folders = {name.partition("/")[0] if "/" in name else "" for name in wanted}
        for folder in [""] if "" in folders else folders:
            there |= dict(self._store.sizes(folder))
        return {name: there.get(name, -1) for name in wanted}

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are not there are no error."""
        self._store.remove(names)


def files_of(place: Path | str) -> TableFiles:
    """Return the files of the folder at a path or URL."""
    return RemoteFiles(str(place)) if is_url(place) else LocalFiles(Path(place))


def data_files(fragments: Iterable[Any]) -> dict[str, int | None]:
    """Return how long each data file of a version's fragments is, as its manifest says; None where it does not."""
    return {f"data/{file.path}": file.file_size_bytes for one in fragments for file in one.metadata.files}


def is_whole(files: TableFiles, fragments: Iterable[Any], known: Collection[str] = ()) -> bool:
    """Whether each data file of a version's fragments, but for those that are known, is as long as its manifest says.

    None is read.
    """
    named = {name: size for name, size in data_files(fragments).items() if name not in known}
    there = files.lengths(named)
    return all(size is None or there[name] == size for name, size in named.items())


def cut_short(place: str) -> OSError:
    """Return what to raise of a commit that is not whole: no space left."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place)


@contextlib.contextmanager
def first_commit(place: Path | str) -> Iterator[None]:
    """Have a table made by one alone: in an object store Lance lets the second of two that begin one replace the first.

    On the disk a stage's lock has seen to that; there the folders on the way are made.
    """
    if not is_url(place):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        yield
        return
    store = ObjectStore(str(place))
    with lease.held(store, FIRST, "its first commit"), committing(place):
        if any(name.endswith(".manifest") for name, _ in store.sizes("_versions")):
            raise Conflict(f"{place}: another made it just now; run this again")
        yield


@contextlib.contextmanager
def committing(place: Path | str) -> Iterator[None]:
    """Say what Lance could not do in an object store; on the disk its own words are told as they are.

    `Conflict` when others were first, `NotReady` when the store does not answer or refuses.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        if not is_url(place) or isinstance(error, Conflict | NotReady):
            raise
        if "conflict" in str(error).lower() or "already exists" in str(error):
            raise Conflict(f"{place}: others committed before us; run this again") from None
        if "Generic S3 error" in str(error) or "credential" in str(error):
            raise NotReady(f"{place}: the object store does not answer, or refuses; see the AWS_… variables") from None
        raise
