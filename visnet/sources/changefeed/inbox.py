"""Bring new batches of a feed, from any address that fsspec knows, into the folder that the line reads.

Beside the inbox stands `<inbox>.arriving/`: the file on its way, and `arrived.json`, which says of every batch how its
source and the inbox marked it. A batch appears in the inbox whole, by a rename; what was interrupted goes on where it
was.
"""

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec

from visnet.pipeline.log import SILENT, Log
from visnet.sources.changefeed.batches import SUFFIXES, Reading
from visnet.sources.changefeed.records import UNLIMITED, Limits
from visnet.sources.changefeed.state import listed, stamp
from visnet.storage import atomic, locks

MARKS = ("ETag", "etag", "e_tag", "md5Hash", "contentHash", "LastModified", "last_modified", "mtime", "updated", "size")
DEAD_SHOWN = 20
_EVERY_S = 1.0  # what is noted is on the disk after this; a killed run repeats so much


class _Notes(dict[str, dict[str, Any]]):
    """What is known of every batch, kept in a file."""

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(json.loads(path.read_bytes()) if path.exists() else {})
        except (ValueError, TypeError):
            raise ValueError(
                f"{path}: not what was written there; remove it, and all batches are compared anew"
            ) from None
        self.path, self.written_s = path, time.monotonic()

    def note(self, name: str, **known: object) -> None:
        """Add to what is known of a batch."""
        self[name] = {**self.get(name, {}), **known}
        if time.monotonic() - self.written_s > _EVERY_S:
            self.write()

    def write(self) -> None:
        atomic.put_json(self.path, dict(sorted(self.items())))
        self.written_s = time.monotonic()


def bring(
    source: str,
    pattern: str,
    inbox: Path,
    names: Sequence[str] = (),
    limits: Limits = UNLIMITED,
    *,
    log: Log = SILENT,
) -> dict[str, Any]:
    """Copy the batches of `source` that are new or changed into `inbox`, read them, and say what is in them.

    source: a folder, or an address of fsspec; "" = batches are put into the inbox by others, and only read. names: just
    these, whatever is known of them. Returns counts: batches (in the inbox), and of the new or named ones new, records,
    upserts, deletes, dead; `by_batch`, the same of each; and `dead_letters`, the first of them. Errors: `ValueError`
    when the source is not there or lacks a name, or another process is bringing batches.
    """
    by_batch: list[dict[str, Any]] = []
    dead: list[dict[str, Any]] = []
    with _alone(inbox) as scratch, _kept(scratch / "arrived.json") as notes:
        if source:
            fresh = _copied(source, pattern, inbox, names, notes, scratch, log)
        there = listed(inbox, pattern)
        if not source:
            fresh = _checked_names(names, there, str(inbox))
        for name in names or there:
            now = stamp(there[name])
            if name in fresh or notes.get(name, {}).get("stamp") != now:
                reading = Reading(there[name], limits)
                for _ in reading:
                    pass
                dead += [{"batch": name, **letter._asdict()} for letter in reading.dead[: DEAD_SHOWN - len(dead)]]
                counts = reading.counts()
                by_batch.append({"batch": name, **counts, "dead": counts["dead_letters"]})
                del by_batch[-1]["dead_letters"]
                notes.note(name, stamp=now)
    sums = {count: sum(row[count] for row in by_batch) for count in ("records", "upserts", "deletes", "dead")}
    return {"batches": len(there), "new": len(by_batch), **sums, "by_batch": by_batch, "dead_letters": dead}


def _copied(
    source: str, pattern: str, inbox: Path, names: Sequence[str], notes: _Notes, scratch: Path, log: Log
) -> set[str]:
    """Copy what is new at the source; return the names whose bytes are new here, and those that were asked for."""
    try:
        system, root = fsspec.core.url_to_fs(source)
        system.invalidate_cache()
        there = _at_source(system, root, pattern)
    except Exception as error:  # each kind of store has errors of its own
        raise ValueError(f"[raw_images.feed] from: {source}: {_line(error)}") from None
    wanted = _checked_names(names, there, source)
    todo = [name for name, mark in there.items() if name in wanted or _news(name, mark, inbox, notes)]
    if names:
        todo = [name for name in todo if name in wanted]
    fresh = set(wanted)
    with log.progress("batches", len(todo), unit="batch") as progress:
        for name in todo:
            part, target = scratch / "arriving.part", inbox / name
            try:
                system.get_file(f"{root.rstrip('/')}/{name}", str(part))
            except Exception as error:  # as above
                raise ValueError(f"[raw_images.feed] from: {source}: {name}: {_line(error)}") from None
            if not target.exists() or _digest(part) != _digest(target):
                atomic.move(part, target)
                fresh.add(name)
            notes.note(name, at_source=there[name])
            progress.advance()
    return fresh


def _at_source(system: Any, root: str, pattern: str) -> dict[str, str]:
    """Return name -> mark of the batches at the source, by name."""
    if not system.exists(root):
        raise FileNotFoundError("no such folder")
    found, there = {}, dict(system.glob(f"{root.rstrip('/')}/{pattern}", detail=True))
    for path, info in list(there.items()):
        if info.get("type") == "directory" and str(path).rstrip("/").lower().endswith(SUFFIXES):  # of parts
            there |= system.find(path, detail=True)
    for path, info in there.items():
        name = str(path).removeprefix(root.rstrip("/")).lstrip("/")
        if info.get("type") == "file" and not any(part[:1] in ("", ".", "_") for part in name.split("/")):
            found[name] = json.dumps({key: str(info[key]) for key in MARKS if info.get(key) is not None})
    return dict(sorted(found.items()))


def _news(name: str, mark: str, inbox: Path, notes: _Notes) -> bool:
    return notes.get(name, {}).get("at_source") != mark or mark == "{}" or not (inbox / name).exists()


def _checked_names(names: Sequence[str], there: Collection[str], where: str) -> set[str]:
    if missing := [name for name in names if name not in there]:
        raise ValueError(f"{where}: no batch is called {missing[0]}; there are {', '.join(list(there)[-5:]) or 'none'}")
    return set(names)


@contextmanager
def _alone(inbox: Path) -> Iterator[Path]:
    """Hold the folder beside the inbox; `ValueError` when another process does."""
    inbox.mkdir(parents=True, exist_ok=True)
    scratch = inbox.with_name(f"{inbox.name}.arriving")
    scratch.mkdir(exist_ok=True)
    with locks.held(scratch):
        yield scratch


@contextmanager
def _kept(path: Path) -> Iterator[_Notes]:
    notes = _Notes(path)
    try:
        yield notes
    finally:
        notes.write()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
