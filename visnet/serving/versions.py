"""The versions that were published: folders complete in themselves, and a link to the one that is served.

Publishing switches to the new version. After a rollback it does not, or the next refresh would undo it: new versions
wait until `roll_forward`. That needs no note of its own: an earlier version than the newest is served, so it is held.
"""

import contextlib
import datetime
import json
import os
import re
from io import FileIO
from pathlib import Path
from typing import Any

from visnet.errors import Damaged, NotFound, NotReady
from visnet.pipeline.reports import DATA
from visnet.serving import pointer
from visnet.storage import atomic, locks

PUBLISH = DATA / "publish"
LOCK = "lock"  # in a version's folder: readers hold it shared
SERVED = "served"  # likewise: what has this was once current, or waits to be: its number is never used again
FACTS = "version.json"
DEPLOY = "`python -m visnet deploy`"


def folder(publish: Path, number: int) -> Path:
    """Return the folder of a version."""
    return publish / "versions" / f"{number:06d}"


def numbers(publish: Path) -> list[int]:
    """List the versions that were published and are still there, oldest first."""
    names = [path.name for path in (publish / "versions").glob("*") if re.fullmatch(r"\d{6,}", path.name)]
    return sorted(int(name) for name in names)


def current(publish: Path) -> int | None:
    """Return the version that is served, None before the first.

    A copy of the workspace may have followed the link, and have a folder in its place: that says which it is of.
    """
    link = publish / "current"
    if link.is_symlink():
        name = Path(os.readlink(link)).name
        return int(name) if name.isdecimal() else None
    try:
        return int(json.loads((link / FACTS).read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def intact(publish: Path) -> int | None:
    """Return the version that is served, None before the first, or where something of it is gone."""
    served = current(publish)
    return None if served is None or damage(publish, served) else served


def waiting(publish: Path) -> int | None:
    """Return the newest version where an earlier one is served since a rollback, None where nothing waits."""
    newest = max((number for number in numbers(publish) if (folder(publish, number) / SERVED).exists()), default=0)
    served = intact(publish)
    return newest if served is not None and served < newest else None


def damage(publish: Path, number: int) -> str:
    """Say what is missing of a version or not as long as it was, "" when all is there; no file is read but one."""
    place = folder(publish, number)
    try:
        found = facts(publish, number)
    except OSError:
        return f"{place / FACTS} is missing"
    except ValueError:
        return f"{place / FACTS} is damaged"
    for name, size in {LOCK: None, **found.get("files", {})}.items():
        try:
            there = (place / name).stat().st_size
        except OSError:
            return f"{place / name} is missing"
        if size is not None and there != size:
            return f"{place / name} has {there} bytes instead of {size}"
    return ""


def behind(publish: Path = PUBLISH) -> str:
    """Say in a line why what is served is not what is checked out, and what to type; "" when it is, or is held back."""
    served = current(publish)
    gone = "" if served is None else damage(publish, served)
    if not gone and waiting(publish) is not None:
        return ""
    why = "nothing is served" if served is None else f"version {served} is served" + (f", but {gone}" if gone else "")
    try:
        wanted = pointer.found(publish)
    except ValueError as error:
        return f"{why}; {error}"
    if wanted is None:  # a place that only serves has no such file
        return f"{why}: nothing was published here yet; run `dvc repro`" if served is None or gone else ""
    if served is not None and not gone:
        if facts(publish, served).get("parts") == wanted:
            return ""
        why += ", which is not what is checked out"
    return f"{why}: {DEPLOY} serves what is checked out"


def status(publish: Path = PUBLISH) -> str:
    """Say which version is served and which waits, or what to type so that what is checked out is served."""
    if why := behind(publish):
        return why
    served = current(publish)
    if (newest := waiting(publish)) is None:
        return f"version {served} is served"
    return f"version {served} is served since a rollback, {newest} waits: `python -m visnet roll-forward` serves it"


def facts(publish: Path, number: int) -> dict[str, Any]:
    """Read what is written about a version; `OSError` or `ValueError` where that is gone."""
    read: dict[str, Any] = json.loads((folder(publish, number) / FACTS).read_text(encoding="utf-8"))
    return read


def begin(publish: Path) -> tuple[int, Path]:
    """Clean up after killed runs; return the number of the next version, and the empty folder to build it in.

    A version that was completed but never served, since its run was killed in between, is removed, too.
    """
    (publish / "versions").mkdir(parents=True, exist_ok=True)
    served = current(publish)
    _mark(publish, served)
    for number in numbers(publish):
        if not (folder(publish, number) / SERVED).exists():
            atomic.remove(folder(publish, number))
    clean(publish)
    number = max([*numbers(publish), served or 0]) + 1
    building = folder(publish, number).with_name(f".{number:06d}{atomic.BUILDING}")
    building.mkdir()
    return number, building


def clean(publish: Path) -> int:
    """Remove the leftovers of killed runs; return how many there were."""
    return sum(atomic.clean(place, atomic.BUILDING) for place in (publish, publish / "versions"))


def finish(publish: Path, number: int, building: Path, measured: dict[str, Any]) -> None:
    """Complete a version and serve it from now on: whoever opens `current` finds all of it, or the one before.

    While an earlier version is held it is not served: it waits. `measured`: its facts, but number, time and files.
    """
    held = waiting(publish) is not None
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")[:19] + "Z"
    files = {str(path.relative_to(building)): path.stat().st_size for path in building.rglob("*") if path.is_file()}
    complete = {"version": number, "created_at": now, **measured, "files": dict(sorted(files.items()))}
    atomic.put_json(building / FACTS, complete)
    (building / LOCK).touch()
    atomic.move(building, folder(publish, number))
    if held:
        _mark(publish, number)
    else:
        switch(publish, number)


def _mark(publish: Path, number: int | None) -> None:
    if number is not None and folder(publish, number).is_dir():
        (folder(publish, number) / SERVED).touch()


def switch(publish: Path, number: int) -> None:
    """Serve a version, in one step."""
    _mark(publish, current(publish))  # a run that was killed right after its own switch did not
    atomic.point(publish / "current", Path("versions") / f"{number:06d}")
    _mark(publish, number)


def prune(publish: Path, keep: int) -> list[int]:
    """Remove all but the newest `keep` versions, the current one, and those that a reader holds; return which went."""
    gone = []
    for number in numbers(publish)[:-keep]:
        place = folder(publish, number)
        if number == current(publish):
            continue
        with FileIO(place / LOCK, "a+") as lock:
            if locks.taken(lock, shared=False):
                atomic.remove(place)
                gone.append(number)
    return gone


def rollback(number: int | None = None, publish: Path = PUBLISH) -> str:
    """Serve the version before, or the one that is named, until `roll_forward`; `ValueError` lists those there are."""
    with locks.held(publish) if publish.exists() else contextlib.nullcontext():
        there, served = numbers(publish), current(publish)
        if served is None:
            raise NotReady(f"{publish}: {behind(publish)}")
        whole = [version for version in there if not damage(publish, version)]
        before = [version for version in whole if version < served]
        if number is None and not before:
            raise NotFound(f"{publish}: no version is older than {served}, which is served")
        wanted = before[-1] if number is None else number
        if wanted not in there:
            raise NotFound(f"{publish}: no version {wanted}; there are {', '.join(map(str, there))}")
        if wanted not in whole:
            raise Damaged(f"version {wanted} cannot be served: {damage(publish, wanted)}; whole are {whole}")
        if wanted == served:
            return f"Version {wanted} is served already"
        switch(publish, wanted)
        newest = waiting(publish)
    stays = f". It stays, and version {newest} and newer ones wait, until `python -m visnet roll-forward`"
    return f"Version {wanted} is served; before, version {served}" + (stays if newest is not None else "")


def roll_forward(publish: Path = PUBLISH) -> str:
    """Serve the newest version, and from now on each that is published; `ValueError` when nothing was published."""
    with locks.held(publish) if publish.exists() else contextlib.nullcontext():
        served, newest = current(publish), waiting(publish)
        if served is None or damage(publish, served):
            raise NotReady(f"{publish}: {behind(publish)}")
        if newest is None:
            return f"Version {served} is served already, and is the newest"
        if gone := damage(publish, newest):
            raise Damaged(f"version {newest} cannot be served: {gone}; {DEPLOY} makes what is checked out wait instead")
        switch(publish, newest)
        why = behind(publish)
    return (
        f"Version {newest} is served; before, version {served}. "
        f"{why[0].upper() + why[1:] if why else 'New versions are served as they are published'}"
    )


def listing(publish: Path = PUBLISH) -> str:
    """Return a table of the versions that are there; `ValueError` when there are none."""
    there, served = numbers(publish), current(publish)
    if not there:
        raise NotReady(f"{publish}: {behind(publish)}")
    rows = [f"{'version':>7}   {'when':<20} {'products':>9} {'added':>7} {'changed':>8} {'removed':>8} {'recall@1':>9}"]
    for number in there:
        mark = "*" if number == served else " "
        if gone := damage(publish, number):
            rows.append(f"{number:>7} {mark} {gone}")
            continue
        found = facts(publish, number)
        recall = "-" if found["recall_at_1"] is None else f"{found['recall_at_1']:.4f}"
        rows.append(
            f"{number:>7} {mark} {found['created_at']:<20} {found['products']:>9}"
            f" {found['added']:>7} {found['changed']:>8} {found['removed']:>8} {recall:>9}"
        )
    return "\n".join([*rows, status(publish)])
