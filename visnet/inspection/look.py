"""Look at what was named: a folder, a table, an address. Each kind has a module; here it is told which one it is."""

import contextlib
import difflib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from visnet.inspection import address, photo_folders, tables
from visnet.inspection.inspected import Inspected, counts, listed
from visnet.inspection.parameters import path_from
from visnet.inspection.photo_places import beside
from visnet.sources.atlas import is_dataset
from visnet.sources.changefeed.batches import SUFFIXES as BATCHES
from visnet.sources.folder import SUFFIXES as PHOTOS
from visnet.sources.folder import files_below
from visnet.sources.rows import files

FILES_TRIED = 1000  # of a data set, until one is there
INBOX = Path("feed/batches")  # where batches of a feed from elsewhere are brought
TABLES = tuple(suffix for suffix in files.SUFFIXES if ".txt" not in suffix)  # beside photos, a text may be anything
USUAL = (".jpg", ".jpeg", ".png", ".webp")  # photos, the first that a line names
_FEEDS = tuple(suffix for suffix in BATCHES if "jsonl" in suffix)


@contextlib.contextmanager
def looked(target: str, workspace: Path) -> Iterator[tuple[Inspected, Path | None]]:
    """Lend what is at a folder, a table or an address, and the file that was brought for it, which is gone afterwards.

    workspace: the folder of params.toml. `ValueError` in a line when nothing there can be a shop's catalog.
    """
    if not address.is_address(target):
        yield _here(Path(target), target, workspace), None
    elif not target.lower().startswith(("http://", "https://")) or _is_feed(target):
        yield _feed(target), None
    else:
        with address.brought(target) as file:
            yield tables.inspect(file, address.shown(target), address.folder_of(target)), file


def _is_feed(name: str) -> bool:
    return name.partition("?")[0].lower().endswith(_FEEDS)


def _feed(target: str) -> Inspected:
    """Take an address for a feed's folder; that of a file of records stands for its folder."""
    folder = target.rstrip("/")
    if _is_feed(target):
        folder = address.folder_of(target)
        if target.lower().startswith("http"):
            address.check(target)
    photos = folder if folder.startswith("http") else ""
    own = {"from": folder, "pattern": "*.jsonl*" if _is_feed(target) else "*", "photos": photos}
    notes = (f"new batches of {folder} are brought to {INBOX} by `python -m visnet feed`",)
    return Inspected(target, "feed", INBOX, own, None, notes, (("Feed", folder),))


def _here(path: Path, target: str, workspace: Path) -> Inspected:
    if not os.fspath(path).isprintable():
        raise ValueError(f"{target!a}: a name that cannot be written in params.toml; rename it")
    if path.is_dir():
        os.scandir(path).close()  # the system's own refusal, if this is not allowed
        return _folder(path, target, workspace)
    if not path.exists() and not path.is_symlink():
        raise ValueError(f"{path}: no such file or folder{_near(path)}")
    if path.suffix.lower() in PHOTOS and path.is_file():
        raise ValueError(f"{path}: a photo; name the folder that it is in")
    if _is_feed(path.name):
        files.check_there(path)
        return _inbox(path.parent, target, workspace)
    files.check_there(path)
    if path.suffix.lower() == ".json" and is_dataset(path):
        return _atlas(path, target)
    return tables.inspect(path, target)


def _near(path: Path) -> str:
    """Say where it was looked for, or what is called nearly so."""
    if not path.parent.is_dir():
        return f": there is no folder {path.parent}"
    near = difflib.get_close_matches(path.name, [entry.name for entry in os.scandir(path.parent)], 1)
    return f"; is {near[0]} meant?" if near else f" in {path.parent.absolute()}"


def _atlas(path: Path, target: str) -> Inspected:
    """Take an Atlas file: by its photos' files where these are there, else by their addresses."""
    own = {"photos": "file" if _has_files(path) else "url"}
    levels = "each photo is a product; its category is the whole path down the taxonomy"
    return Inspected(target, "atlas", path, own, counts(listed("atlas", own, path)), (levels,))


def _has_files(path: Path) -> bool:
    first = listed("atlas", {"photos": "file"}, path).photos["locator"][:FILES_TRIED]
    return any(os.path.isfile(file) for file in first.to_pylist())


def _folder(folder: Path, target: str, workspace: Path) -> Inspected:
    if (folder / "photos" / "photos.txt").is_file() and (folder / "meta" / "json").is_dir():
        found = counts(listed("street2shop", {}, folder))
        return Inspected(target, "street2shop", folder, {}, found, ("the layout of Exact Street2Shop",))
    beside = sorted(path for path in folder.iterdir() if path.name.lower().endswith(TABLES) and path.is_file())
    has_photos = any(os.path.splitext(name)[1].lower() in PHOTOS for name in files_below(folder))
    if not beside and not has_photos:
        return _of_parts(folder, target, workspace)
    if len(beside) > 1 and tables.same_columns(beside):
        _check_apart(folder, workspace)
        beside = [folder]
    tried = {path: tables.tried(path, target) for path in beside}
    usable = [found for found in tried.values() if isinstance(found, Inspected)]
    if usable:
        return _best(usable, has_photos)
    if not has_photos:
        raise ValueError(next(iter(tried.values())))
    why = [f"{path.name} lies beside the photos and is not used: {reason}" for path, reason in tried.items()]
    _check_apart(folder, workspace)
    return photo_folders.inspect(folder, target, tuple(why))


def _best(usable: list[Inspected], has_photos: bool) -> Inspected:
    """Take the table that lists most photos, and say which others would do."""
    best = max(usable, key=lambda found: found.counts.photos if found.counts else 0)
    others = ", ".join(found.metadata.name for found in usable if found is not best)
    notes = [f"{best.metadata.name} lies beside the photos, and is taken for what it says of them"] * has_photos
    notes += [f"other tables would do, too: {others}"] * bool(others)
    return replace(best, notes=(*best.notes, *notes))


def _of_parts(folder: Path, target: str, workspace: Path) -> Inspected:
    """Take a folder without photos for a table in parts, or for a feed's inbox."""
    names = [path.name for path in folder.rglob("*") if path.is_file() and path.name[:1] not in "._"]
    if any(map(_is_feed, names)):
        return _inbox(folder, target, workspace)
    if any(name.lower().endswith(TABLES) for name in names):
        _check_apart(folder, workspace)
        return tables.inspect(folder, target)
    found = f"{len(names)} other file{'s' * (len(names) != 1)}, as {names[0]}" if names else "it is empty"
    known = ", ".join(sorted(PHOTOS, key=lambda suffix: (suffix not in USUAL, suffix))[:8])
    raise ValueError(f"{folder}: no photo ({known}, …) and no table ({', '.join(TABLES)}) in it: {found}")


def _inbox(folder: Path, target: str, workspace: Path) -> Inspected:
    own: dict[str, str] = {"from": "", "pattern": "*"}
    notes = ["records of a change feed: batches that are put into this folder are taken in"]
    found = None
    with tempfile.TemporaryDirectory() as state:
        listing = listed("feed", own, folder, Path(state))
    if listing.records.num_rows:
        found = counts(listing)
        there = beside(listing.photos["photo_id"].to_pylist(), folder)
        if there.found and there.images != "photos":
            own["photos"] = path_from(folder.parent / there.images, workspace)
    if dead := listing.report["dead_letters"]:
        notes.append(f"{dead} record{'s' * (dead != 1)} cannot be used: `python -m visnet feed` says why")
    return Inspected(target, "feed", folder, own, found, tuple(notes), (("Feed", str(folder)),))


def _check_apart(folder: Path, workspace: Path) -> None:
    """Refuse a folder in which the line runs: what it makes would change what it is made of."""
    if workspace.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"{folder}: the line itself works in it; put the photos in a folder of their own, beside params.toml"
        )
