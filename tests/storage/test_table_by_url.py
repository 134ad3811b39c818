"""A table in an object store is what it is on the disk; its writers need no lock, and its compactors a lease."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lance.optimize import Compaction

from tests.object_store import KEY, SECRET
from tests.storage.test_object_store import at_once
from tests.storage.test_table import bring_up_to, rows
from visnet.errors import Conflict, NotReady
from visnet.storage import compaction, shared_compaction
from visnet.storage.object_store import ObjectStore
from visnet.storage.table import Table, wanted_rows


@pytest.fixture
def url(s3: Any) -> str:
    return f"s3://{s3.bucket()}/some/folder/rows.lance"


def void(_: object) -> None:
    """Let go of what a call gave."""


def content(table: Table) -> dict[str, str]:
    found = table.read(["id", "content"])
    return dict(zip(found["id"].to_pylist(), found["content"].to_pylist(), strict=True))


def test_a_table_by_url_goes_through_what_one_on_the_disk_does(url: str, tmp_path: Path) -> None:
    rng, local, remote = np.random.default_rng(3), Table(tmp_path / "rows.lance", "id"), Table(url, "id")
    assert not remote.exists()
    with pytest.raises(NotReady, match=f"{url}: no table there"):
        remote.opened()
    for _ in range(6):
        wanted = {f"it's {key}": f"{rng.integers(3)}" for key in rng.choice(20, rng.integers(1, 12), replace=False)}
        there = remote.compare(wanted_rows(list(wanted), list(wanted.values())))
        assert there == bring_up_to(local.path, wanted)
        remote.put(rows({key: wanted[key] for key in there.todo}), there.changed)
        remote.delete(there.gone)
        assert content(remote) == wanted
        assert (remote.digest(), remote.version, remote.count()) == (local.digest(), local.version, len(wanted))
    version = remote.version
    for table in (local, remote):
        table.delete(list(wanted))
        table.restore(version)
        table.add_columns(pa.schema([*table.opened().schema, ("more", pa.float64())]))
    assert (content(remote), remote.columns) == (content(local), local.columns)
    kinds = {"data", "_versions", "_transactions", "_deletions"}
    assert {name.partition("/")[0] for name in remote.stored()} - {"first.lease"} <= kinds
    assert remote.is_whole()
    with pytest.raises(ValueError, match="only a table on the disk has a path"):
        _ = remote.path


def test_a_table_whose_file_is_gone_or_shorter_is_not_whole(url: str, s3: Any) -> None:
    table = Table(url, "id")
    table.put(rows({"a": "1"}))
    (file,) = [name for name in table.stored() if name.startswith("data/")]
    store, client = ObjectStore(url), s3.client()
    body = client.get_object(Bucket=store.bucket, Key=f"{store.folder}/{file}")["Body"].read()
    client.put_object(Bucket=store.bucket, Key=f"{store.folder}/{file}", Body=body[:-1])
    assert not table.is_whole()
    store.remove([file])
    assert not table.is_whole()
    client.put_object(Bucket=store.bucket, Key=f"{store.folder}/{file}", Body=body)
    assert table.is_whole()


def test_of_several_writers_none_loses_what_was_acknowledged(url: str) -> None:
    Table(url, "id").put(rows({"all": "0"}))

    def write(number: int) -> None:
        table = Table(url, "id")
        for turn in range(4):
            table.put(rows({f"{number}-{turn}": "1"}))
            table.put(rows({"all": f"{number}-{turn}"}), ["all"])

    assert at_once(write, 3) == []
    found = content(Table(url, "id"))
    assert found.keys() == {"all", *(f"{number}-{turn}" for number in range(3) for turn in range(4))}
    assert found["all"].endswith("-3")


def test_of_several_that_begin_a_table_none_replaces_what_another_wrote(url: str) -> None:
    for race in range(3):
        table, written = Table(f"{url}/{race}.lance", "id"), set()

        def begin(number: int, table: Table = table, written: set[str] = written) -> None:
            table.put(rows({f"{number}": "1"}))
            written.add(f"{number}")

        refused = at_once(begin, 3)
        assert {type(error) for error in refused} <= {Conflict}
        assert content(table).keys() == written
        assert written


def test_small_commits_are_written_together_and_old_versions_go_when_nobody_reads_them(url: str) -> None:
    table = Table(url, "id")
    for number in range(6):
        table.put(rows({f"{number}": "1"}))
    table.put(rows({"0": "2"}), ["0"])
    wanted, digest, reader = content(table), table.digest(), table.opened()
    stray = ObjectStore(url)
    stray.put("data/of-one-who-is-at-work.lance", b"not committed yet", "")
    done = shared_compaction.compact(table)
    assert (done.files, done.versions_removed) == (1, 0)
    assert done.files_before > 1
    assert reader.count_rows() == 6, "a version that was just replaced is still read"
    assert shared_compaction.compact(table, kept_s=0) == shared_compaction.Rewritten(1, 1, 8)
    size = compaction.size(table)
    assert (content(table), table.digest(), size.versions, size.rows) == (wanted, digest, 1, 6)
    assert "data/of-one-who-is-at-work.lance" in table.stored()
    assert shared_compaction.compact(table, kept_s=0) == shared_compaction.Rewritten(1, 1, 0), "nothing is left to do"


def test_one_compacts_at_a_time_and_who_loses_the_lease_stops(
    url: str, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, plan = Table(url, "id"), Compaction.plan
    for number in range(3):
        table.put(rows({f"{number}": "1"}))
    before, at_work, go_on = (table.version, table.stored().keys()), threading.Event(), threading.Event()

    def waiting(*words: Any) -> Any:
        at_work.set()
        assert go_on.wait(30)
        return plan(*words)

    monkeypatch.setattr(Compaction, "plan", waiting)
    raised: list[list[Exception]] = []
    first = threading.Thread(
        target=lambda: raised.append(
            at_once(lambda _: shared_compaction.compact(table, kept_s=0, ttl_s=0.6) and None, 1)
        )
    )
    first.start()
    assert at_work.wait(30)
    with pytest.raises(Conflict, match=f"{url} is in use: a compaction on "):
        shared_compaction.compact(table)
    store = ObjectStore(url)
    taken = {"Bucket": store.bucket, "Key": f"{store.folder}/{shared_compaction.LEASE}"}
    s3.client().put_object(**taken, Body=b'{"owner": "another", "holds_s": 60}')
    time.sleep(0.5)
    go_on.set()
    first.join()
    assert [(type(error), "was lost" in str(error)) for error in raised[0]] == [(Conflict, True)]
    assert table.version == before[0]
    assert before[1] <= table.stored().keys()
    assert content(table) == {"0": "1", "1": "1", "2": "1"}


def test_what_was_acknowledged_is_there_after_the_store_was_killed(url: str, s3: Any) -> None:
    table = Table(url, "id")
    table.put(rows({"a": "1"}))
    table.put(rows({"a": "2", "b": "1"}), ["a"])
    s3.kill()
    try:
        for refused in (table.count, table.exists, lambda: table.put(rows({"c": "1"}))):
            with pytest.raises(NotReady, match="the object store does not answer") as said:
                refused()
            assert "\n" not in str(said.value)
            assert SECRET not in str(said.value)
    finally:
        s3.start()
    assert content(table) == {"a": "2", "b": "1"}
    table.put(rows({"c": "1"}))
    assert content(table).keys() == {"a", "b", "c"}


def test_who_asks_stands_in_no_object_of_a_table(url: str, s3: Any) -> None:
    table = Table(url, "id")
    table.put(rows({"a": "1"}))
    table.put(rows({"a": "2"}), ["a"])
    shared_compaction.compact(table)
    store, client = ObjectStore(url), s3.client()
    for name in table.stored():
        body = client.get_object(Bucket=store.bucket, Key=f"{store.folder}/{name}")["Body"].read()
        assert SECRET.encode() not in body
        assert KEY.encode() not in body
