"""The points at which a process changes what stands on disk, each by its name; and a kill -9 just at one of them.

A point is an operation on a file of the folder that the process works in: `rename data/.crops.building data/crops`.
Numbers and hashes in names are `#`, so that the points of many files are of few kinds; what is removed in the course
of an `rmtree` is of one kind, and so is an operation on the files in a Lance table, or on those of MLflow, which draws
their names. A point comes before its operation. A Lance commit has three: before it, with all written but the name of
its manifest, and after it.
"""

import functools
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVENTS = {  # of Python's audit hooks -> its paths, each with the descriptor of its folder, by their place, and a word
    "os.rename": ([(0, 2), (1, 3)], "rename"),
    "os.link": ([(1, 3)], "link"),
    "os.symlink": ([(1, 2)], "symlink"),
    "os.remove": ([(0, 1)], "remove"),
    "os.rmdir": ([(0, 1)], "remove"),
    "shutil.rmtree": ([(0, 1)], "rmtree"),
}
WRITE = "write"  # is no point: a file is opened, or a folder made
NUMBERS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,}|\d+")
OTHERS = re.compile(r"(^\.mlflow|\.lance)/.*")  # whose files have names that we do not give

Reached = Callable[..., None]


@dataclass(frozen=True)
class Point:
    """The `number`th point of its kind that a process comes to, from 1."""

    kind: str
    number: int


def note(file: Path) -> None:
    """Have this process write the kind of each point that it comes to into a file, a line each."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    _lay(lambda kind, prepare=None: os.write(handle, f"{kind}\n".encode()))


def kill(point: Point) -> None:
    """Have this process killed when it comes to the point."""
    seen: Counter[str] = Counter()

    def reached(kind: str, prepare: Callable[[], None] | None = None) -> None:
        seen[kind] += 1
        if Point(kind, seen[kind]) == point:
            if prepare is not None:
                prepare()
            os.kill(os.getpid(), signal.SIGKILL)

    _lay(reached)


def chosen(file: Path) -> list[Point]:
    """Return the first, a middle and the last point of each kind that was noted, in the order in which they come.

    A kill loses nothing that was written. So the point before an `fsync` is the one that follows, too, unless a file is
    written in between.
    """
    noted = file.read_text().splitlines()
    kinds = [
        kind
        for kind, then in zip(noted, [*noted[1:], WRITE], strict=True)
        if kind != WRITE and (not kind.startswith("fsync ") or then == WRITE)
    ]
    seen: Counter[str] = Counter()
    points = []
    for kind in kinds:
        seen[kind] += 1
        points.append(Point(kind, seen[kind]))
    return [point for point in points if point.number in (1, (seen[point.kind] + 1) // 2, seen[point.kind])]


def _lay(reached: Reached) -> None:
    _lay_names(reached)
    _lay_syncs(reached)
    _lay_commits(reached)


def _lay_names(reached: Reached) -> None:
    doomed: list[str] = []  # by an rmtree

    def audit(event: str, args: tuple[Any, ...]) -> None:
        if event == "os.mkdir" or (event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)):
            reached(WRITE)
        if event not in EVENTS:
            return
        places, word = EVENTS[event]
        paths = [_absolute(args[at], args[folder]) for at, folder in places]
        if (names := _named(*paths)) is None:
            return
        if word in ("remove", "rmtree") and not os.path.lexists(paths[0]):
            return
        if word == "rmtree":
            doomed.append(paths[0])
        elif tree := next((tree for tree in doomed if Path(paths[0]).is_relative_to(tree)), None):
            names = f"{_named(tree)}/..." if word == "remove" else names
        reached(f"{word} {names}")

    sys.addaudithook(audit)


def _lay_syncs(reached: Reached) -> None:
    from visnet.storage import atomic

    fsync, exchange = os.fsync, atomic._exchange

    def synced(handle: int) -> None:
        if names := _named(os.readlink(f"/proc/self/fd/{handle}")):
            reached(f"fsync {names}")
        fsync(handle)

    def exchanged(one: Path, other: Path) -> None:
        reached(f"exchange {_named(str(one.absolute()), str(other.absolute()))}")
        exchange(one, other)

    os.fsync, atomic._exchange = synced, exchanged


def _lay_commits(reached: Reached) -> None:
    """Take all that commits by Lance's own functions, so that it does not matter which module of ours calls them."""
    import lance
    from lance.dataset import LanceDataset, MergeInsertBuilder

    def committing(owner: Any, name: str, word: str, uri_of: Callable[..., str]) -> None:
        done = getattr(owner, name)

        @functools.wraps(done)
        def commit(*args: Any, **options: Any) -> Any:
            table = Path(uri_of(*args))
            kind, before = f"{options.get('mode', word)} {_named(str(table))}", _versions(table)
            reached(f"{kind}, before")
            made = done(*args, **options)
            reached(f"{kind}, all but its name", prepare=lambda: _take_back(table, before))
            reached(f"{kind}, after")
            return made

        setattr(owner, name, commit)

    begun = LanceDataset.merge_insert

    def merge_insert(table: LanceDataset, *args: Any) -> MergeInsertBuilder:
        builder = begun(table, *args)
        builder.uri = table.uri  # type: ignore[attr-defined]
        return builder

    LanceDataset.merge_insert = merge_insert  # type: ignore[method-assign]
    committing(MergeInsertBuilder, "execute", "merge", lambda builder, *_: builder.uri)
    committing(lance, "write_dataset", "create", lambda rows, uri, *_: str(uri))
    for name in ("delete", "restore", "add_columns"):
        committing(LanceDataset, name, name, lambda table, *_: table.uri)


def _versions(table: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (table / "_versions").glob("*")}


def _take_back(table: Path, before: dict[Path, bytes]) -> None:
    """Leave a table as Lance does that is killed before it gives a manifest its name: it is written as `NAME#1`."""
    for path in _versions(table).keys() - before.keys():
        if path.suffix == ".manifest":
            path.rename(f"{path}#1")
        else:
            path.unlink()
    for path, content in before.items():
        path.write_bytes(content)


def _absolute(path: Any, folder: int | None) -> str:
    """Return the path that an operation means by `path`, relative to an open folder where one is given."""
    base = os.getcwd() if folder in (None, -1) else os.readlink(f"/proc/self/fd/{folder}")
    return os.path.normpath(os.path.join(base, os.fsdecode(path)))


def _named(*paths: str) -> str | None:
    """Name files of the folder that the process works in; None of others."""
    here = os.getcwd()
    if not all(path.startswith(f"{here}/") for path in paths):
        return None
    names = [os.path.relpath(path, here) for path in paths]
    return " ".join(OTHERS.sub(r"\1/...", NUMBERS.sub("#", name)) for name in names)
