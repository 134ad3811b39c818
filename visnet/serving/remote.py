"""Versions in an object store: one machine publishes there, others fetch what is published to their disk and serve it.

    files/SHA256            what versions consist of; a file that several have is there once
    versions/000007.json    the files of a version, with their bytes and digests
    pointer.json            which version is published, and the digest of its list

All that a version names is there before the pointer is switched, by a conditional put. Numbers are the store's own:
a machine that fetches a version gives it the next number that it has itself, as `visnet deploy` does.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from visnet.errors import Damaged, NotReady
from visnet.pipeline.reports import DATA
from visnet.serving import catalog, galleries, versions
from visnet.storage import atomic, lease, links, locks
from visnet.storage.fingerprints import fingerprint
from visnet.storage.object_store import ABSENT, ObjectStore

POINTER, LEASE, LIST = "pointer.json", "publisher.lease", "remote.json"
KEPT_THERE, KEPT_HERE = 5, 2  # versions
_MADE_HERE = ("version", "created_at", "files")  # facts that each machine has of its own


@dataclass(frozen=True)
class Published:
    """What the pointer says: the number of a version, the digest of its list, and that of its content."""

    version: int
    sha256: str
    content: str


@dataclass(frozen=True)
class Stored:
    """A file of a version, as the store has it."""

    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Its name in the store."""
        return f"files/{self.sha256}"


def push(url: str, data: Path = DATA, *, keep: int = KEPT_THERE) -> str:
    """Publish the version that is served here to `s3://BUCKET/FOLDER`, and say so; only files it lacks are brought.

    `Conflict` in a line while another publishes there. keep: how many versions stay in the store.
    """
    store = ObjectStore(url)
    with (
        catalog.open_current(data) as serving,
        lease.held(store, LEASE, f"version {serving.number} is being published there") as held,
    ):
        facts, found = serving.facts(), store.read(POINTER)
        before = None if found is None else _pointer(store.url, found.data)
        content = fingerprint(*sorted(facts["parts"].items()))
        there, brought = dict(store.sizes("files")), 0
        if before is not None and before.content == content and _is_whole(store, before, there):
            return f"Version {before.version} of {store.url} is what is served here, version {serving.number}"
        files = {name: _stored(serving.folder / name) for name in sorted([*facts["files"], versions.FACTS])}
        for name, file in files.items():
            if there.get(file.name) != file.size:
                held.check()
                store.put_file(file.name, serving.folder / name)
                there[file.name] = file.size
                brought += file.size
        number = 1 + max((_number(name) for name, _ in store.sizes("versions")), default=0)
        listed = json.dumps({name: [file.size, file.sha256] for name, file in files.items()}, indent=1).encode()
        store.put(_list(number), listed, ABSENT)
        held.check()
        now = {"version": number, "sha256": hashlib.sha256(listed).hexdigest(), "content": content}
        store.put(POINTER, json.dumps(now).encode(), ABSENT if found is None else found.tag)
        _prune(store, keep, held)
    size = sum(file.size for file in files.values())
    return f"Version {number} of {store.url} is published: {size / 1e6:.1f} MB, {brought / 1e6:.1f} of them new there"


def pull(url: str, data: Path = DATA, *, keep: int = KEPT_HERE) -> str:
    """Fetch what is published at a URL, unless it is here, and serve it; say so, "" where nothing was to be done.

    After a rollback here it waits until `roll-forward`. `NotReady` when nothing is published there or the store does
    not answer, `Damaged` when what came is not what was published: what is served stays.
    """
    store, publish = ObjectStore(url), data / "publish"
    found = store.read(POINTER)
    if found is None:
        raise NotReady(f"{store.url}: nothing is published there; run `python -m visnet deploy --to {store.url}`")
    wanted = _pointer(store.url, found.data)
    origin = {"url": store.url, "version": wanted.version, "sha256": wanted.sha256}
    newest = versions.waiting(publish) or versions.intact(publish)
    if newest is not None and versions.facts(publish, newest).get("remote") == origin:
        return ""
    listed = store.read(_list(wanted.version))
    if listed is None or hashlib.sha256(listed.data).hexdigest() != wanted.sha256:
        raise Damaged(f"{store.url}/{_list(wanted.version)} is not what was published; publish there again")
    with locks.held(publish):
        number, building = versions.begin(publish)
        try:
            _fetch(store, listed.data, publish, building)
            facts = json.loads((building / versions.FACTS).read_text(encoding="utf-8"))
            (building / versions.FACTS).unlink()
            (building / LIST).write_bytes(listed.data)
            measured = {name: value for name, value in facts.items() if name not in _MADE_HERE}
            for folder in sorted({path.parent for path in building.rglob("*")}):
                atomic.sync(folder)
            galleries.prepare(publish, number, building, facts["parts"])
            versions.finish(publish, number, building, measured | {"remote": origin})
        finally:
            shutil.rmtree(building, ignore_errors=True)
        versions.prune(publish, keep)
    waits = "" if versions.current(publish) == number else "; it waits, see `python -m visnet versions`"
    return f"Version {wanted.version} of {store.url} is here as version {number}{waits}"


def _is_whole(store: ObjectStore, published: Published, there: dict[str, int]) -> bool:
    """Whether all that a version names is in the store, by its size."""
    listed = store.read(_list(published.version))
    if listed is None or hashlib.sha256(listed.data).hexdigest() != published.sha256:
        return False
    return all(there.get(file.name) == file.size for file in _files(store.url, listed.data).values())


def _fetch(store: ObjectStore, listed: bytes, publish: Path, building: Path) -> None:
    known = dict(_known(publish))
    for name, file in _files(store.url, listed).items():
        own = known.get(file.sha256)
        if own is not None and own.is_file() and own.stat().st_size == file.size:
            links.link_or_copy(own, building / name)
        else:
            store.get_file(file.name, building / name, file.size, file.sha256)


def _known(publish: Path) -> Iterator[tuple[str, Path]]:
    """Give digests of the files that were fetched with versions that are whole, and where they are."""
    for number in versions.numbers(publish):
        place = versions.folder(publish, number)
        if (place / LIST).is_file() and not versions.damage(publish, number):
            for name, file in _files(str(place), (place / LIST).read_bytes()).items():
                if name != versions.FACTS:  # that is written anew here
                    yield file.sha256, place / name


def _files(where: str, listed: bytes) -> dict[str, Stored]:
    """Read a version's list; a name that would lead out of its folder is refused."""
    try:
        files = {str(name): Stored(int(size), str(digest)) for name, (size, digest) in json.loads(listed).items()}
    except (ValueError, TypeError, AttributeError):
        raise Damaged(f"{where}: the list of a version is damaged; publish there again") from None
    for name, file in files.items():
        path = PurePosixPath(name)
        inside = name == path.as_posix() and not path.is_absolute() and ".." not in path.parts and path.parts
        if not inside or len(file.sha256) != 64 or not file.sha256.isalnum():
            raise Damaged(f"{where}: the list of a version names {name!r}, which no version has; publish there again")
    return files


def _pointer(url: str, data: bytes) -> Published:
    try:
        found = Published(**json.loads(data))
        return Published(int(found.version), str(found.sha256), str(found.content))
    except (ValueError, TypeError):
        raise Damaged(f"{url}/{POINTER} is damaged: remove it, and publish there again") from None


def _stored(path: Path) -> Stored:
    with path.open("rb") as file:
        return Stored(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _list(number: int) -> str:
    return f"versions/{number:06d}.json"


def _number(name: str) -> int:
    stem = PurePosixPath(name).stem
    return int(stem) if stem.isdecimal() else 0


def _prune(store: ObjectStore, keep: int, held: lease.Lease) -> None:
    """Remove all but the newest lists, and the files that none of those names; nobody publishes meanwhile.

    A list that is damaged is of no use to anybody, and goes, too.
    """
    lists = sorted((name for name, _ in store.sizes("versions")), key=_number)
    named: set[str] = set()
    gone = lists[:-keep]
    for name in lists[-keep:]:
        found = store.read(name)
        try:
            named |= {file.name for file in _files(store.url, b"" if found is None else found.data).values()}
        except Damaged:
            gone.append(name)
    gone += [name for name, _ in store.sizes("files") if name not in named]
    held.check()
    store.remove(gone)
