"""Versions in an object store: whole before they are named, and one publisher at a time."""

import contextlib
import hashlib
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.apart import within
from tests.refreshing import leftovers, numbers, put_stock, refresh, served, stock, torn
from visnet.errors import Conflict, Damaged, NotReady
from visnet.serving import catalog, remote, versions
from visnet.storage.object_store import ABSENT, ObjectStore


def parts(folder: Path) -> dict[str, str]:
    with catalog.open_current(folder / "data") as version:
        assert torn(version) == []
        found: dict[str, str] = version.facts()["parts"]
        return found


def change(shop: Path, look: int) -> None:
    put_stock(shop, stock(24) | {"p003": look})
    refresh(shop)


def test_what_is_published_there_is_served_elsewhere_and_only_what_changed_is_brought(
    shop: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    with pytest.raises(NotReady, match=f"{url}: nothing is published there; run `python -m visnet deploy --to {url}`"):
        remote.pull(url, other / "data")
    assert remote.push(url, shop / "data").startswith(f"Version 1 of {url} is published")
    assert remote.push(url, shop / "data") == f"Version 1 of {url} is what is served here, version 1"
    assert remote.pull(url, other / "data") == f"Version 1 of {url} is here as version 1"
    assert remote.pull(url, other / "data") == ""
    assert parts(other) == parts(shop)
    first = {name for name, _ in ObjectStore(url).sizes("files")}

    change(shop, 1)
    remote.push(url, shop / "data")
    new = {name for name, _ in ObjectStore(url).sizes("files")} - first
    weights = hashlib.sha256((shop / "data/publish/current/trained_model/model.safetensors").read_bytes()).hexdigest()
    assert f"files/{weights}" in first - new
    brought: list[str] = []
    get_file = ObjectStore.get_file
    monkeypatch.setattr(
        ObjectStore, "get_file", lambda store, name, *words: (brought.append(name), get_file(store, name, *words))
    )
    assert remote.pull(url, other / "data") == f"Version 2 of {url} is here as version 2"
    assert set(brought) == new, "what the version before has is linked"
    assert (parts(other), numbers(other), leftovers(other)) == (parts(shop), [1, 2], [])
    assert versions.damage(other / "data/publish", 2) == ""


def test_the_store_keeps_the_newest_versions_and_what_they_need(shop: Path, url: str, tmp_path: Path) -> None:
    store = ObjectStore(url)
    for look in range(3):
        if look:
            change(shop, look)
        remote.push(url, shop / "data", keep=2)
    assert [name for name, _ in store.sizes("versions")] == ["versions/000002.json", "versions/000003.json"]
    lists = [json.loads(store.read(f"versions/00000{number}.json").data) for number in (2, 3)]  # type: ignore[union-attr]
    named = {f"files/{digest}" for one in lists for _, digest in one.values()}
    assert {name for name, _ in store.sizes("files")} == named
    remote.pull(url, tmp_path / "data")
    assert parts(tmp_path) == parts(shop)


def test_a_rollback_here_holds_what_comes_from_there(shop: Path, url: str, tmp_path: Path) -> None:
    for look in (0, 1, 2):
        if look:
            change(shop, look)
        remote.push(url, shop / "data")
        if look < 2:
            remote.pull(url, tmp_path / "data")
    versions.rollback(publish=tmp_path / "data/publish")
    said = remote.pull(url, tmp_path / "data")
    assert said.endswith("is here as version 3; it waits, see `python -m visnet versions`")
    assert (served(tmp_path), remote.pull(url, tmp_path / "data")) == (1, "")
    with within(tmp_path):
        versions.roll_forward()
    assert parts(tmp_path) == parts(shop)


def test_a_version_is_named_only_once_it_is_whole(
    shop: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.push(url, shop / "data")
    before = parts(shop)
    change(shop, 1)
    puts: list[str] = []
    put, put_file = ObjectStore.put, ObjectStore.put_file

    def cut(limit: int) -> None:
        """Have the store go away after so many puts."""
        puts.clear()

        def counted(done: Any) -> Any:
            def write(store: ObjectStore, name: str, *words: Any) -> Any:
                if "lease" not in name:
                    puts.append(name)
                    if len(puts) > limit:
                        raise NotReady("the store is away")
                return done(store, name, *words)

            return write

        monkeypatch.setattr(ObjectStore, "put", counted(put))
        monkeypatch.setattr(ObjectStore, "put_file", counted(put_file))

    limit = 0
    while True:
        cut(limit)
        with contextlib.suppress(NotReady):
            remote.push(url, shop / "data")
            break
        remote.pull(url, tmp_path / "data")
        assert parts(tmp_path) == before
        limit += 1
    assert puts == ["versions/000003.json", remote.POINTER], "all files were there by then"
    assert limit > 4
    remote.pull(url, tmp_path / "data")
    assert parts(tmp_path) == parts(shop) != before


def test_of_two_publishers_one_is_told_so_in_a_line(
    shop: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = Path(shutil.copytree(shop, tmp_path / "second", symlinks=True))
    put_file, at_work, go_on = ObjectStore.put_file, threading.Event(), threading.Event()

    def slow(store: ObjectStore, name: str, file: Path) -> None:
        at_work.set()
        assert go_on.wait(30)
        put_file(store, name, file)

    monkeypatch.setattr(ObjectStore, "put_file", slow)
    said: list[str] = []
    first = threading.Thread(target=lambda: said.append(remote.push(url, shop / "data")))
    first.start()
    assert at_work.wait(30)
    with pytest.raises(Conflict, match=rf"^{url} is in use: version 1 is being published there on .*[^\n]$"):
        remote.push(url, second / "data")
    go_on.set()
    first.join()
    assert said[0].startswith("Version 1 ")


def test_who_has_lost_the_lease_does_not_switch_back_what_another_published(
    shop: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.push(url, shop / "data")
    change(shop, 1)
    store, put = ObjectStore(url), ObjectStore.put
    theirs = b'{"version": 9, "sha256": "", "content": "theirs"}'

    def late(own: ObjectStore, name: str, data: bytes, tag: str) -> str:
        if name.startswith("versions/"):  # after we looked which version is published
            found = store.read(remote.POINTER)
            assert found
            put(store, remote.POINTER, theirs, found.tag)
        return put(own, name, data, tag)

    monkeypatch.setattr(ObjectStore, "put", late)
    with pytest.raises(Conflict, match=rf"{url}/pointer.json was changed by another process; run this again"):
        remote.push(url, shop / "data")
    found = store.read(remote.POINTER)
    assert found is not None
    assert found.data == theirs


def test_what_is_not_what_was_published_is_refused_and_what_is_served_stays(
    shop: Path, url: str, s3: Any, tmp_path: Path
) -> None:
    remote.push(url, shop / "data")
    remote.pull(url, tmp_path / "data")
    before = parts(tmp_path)
    change(shop, 1)
    remote.push(url, shop / "data")
    store, client = ObjectStore(url), s3.client()

    def overwrite(name: str, body: bytes) -> None:
        client.put_object(Bucket=store.bucket, Key=f"{store.folder}/{name}", Body=body)

    good = store.read("versions/000002.json")
    pointer = store.read(remote.POINTER)
    assert good
    assert pointer
    files = json.loads(good.data)
    own = {digest for _, digest in json.loads((tmp_path / "data/publish/current/remote.json").read_text()).values()}
    digest = next(digest for _, digest in files.values() if digest not in own)
    body = store.read(f"files/{digest}")
    assert body
    out = {"../../../out": files["version.json"], **files}
    wrong = [
        (f"files/{digest}", body.data[:-1] + bytes([body.data[-1] ^ 1]), f"{digest} is not what was published"),
        ("versions/000002.json", good.data + b" ", "000002.json is not what was published"),
        (remote.POINTER, b"{}", "pointer.json is damaged"),
    ]
    for name, bad, why in wrong:
        was = store.read(name)
        assert was
        overwrite(name, bad)
        with pytest.raises(Damaged, match=why):
            remote.pull(url, tmp_path / "data")
        assert (parts(tmp_path), leftovers(tmp_path)) == (before, [])
        overwrite(name, was.data)
    hostile = json.dumps(out).encode()
    overwrite("versions/000002.json", hostile)
    said = json.loads(pointer.data) | {"sha256": hashlib.sha256(hostile).hexdigest()}
    overwrite(remote.POINTER, json.dumps(said).encode())
    with pytest.raises(Damaged, match=r"names '../../../out', which no version has"):
        remote.pull(url, tmp_path / "data")
    assert (parts(tmp_path), list(tmp_path.rglob("out"))) == (before, [])
    store.remove([f"files/{digest}", "versions/000002.json"])
    assert remote.push(url, shop / "data").startswith("Version 2 "), "the cure that is named"
    remote.pull(url, tmp_path / "data")
    assert parts(tmp_path) == parts(shop)


def test_a_version_that_was_begun_by_one_who_died_is_taken_over(shop: Path, url: str, tmp_path: Path) -> None:
    store = ObjectStore(url)
    store.put("versions/000001.json", b"of one who died before its pointer", ABSENT)
    assert remote.push(url, shop / "data").startswith("Version 2 ")
    remote.pull(url, tmp_path / "data")
    assert parts(tmp_path) == parts(shop)
