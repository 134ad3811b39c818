"""Compaction: many small refreshes leave a table that is not much larger than a fresh one, with the same rows."""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests import refreshing
from tests.apart import within
from tests.forked import dvc, tried
from tests.refreshing import make, put_stock, refresh, stock
from tests.workspace import report, shell, visnet
from visnet.commands import compact
from visnet.errors import Conflict, NotReady
from visnet.serving import catalog
from visnet.storage import compaction, lease, locks, shared_compaction
from visnet.storage.object_store import ObjectStore
from visnet.storage.table import Table

REFRESHES = int(os.environ.get("VISNET_REFRESHES", "120"))  # 1000 takes half a minute
COMPACT_EVERY = 60
ROWS = 1000


def rows(content: dict[str, str]) -> pa.Table:
    """Make rows with some weight: a vector of 64 numbers that a key and its content give."""
    keys = sorted(content)
    vectors = [random.Random(f"{key} {content[key]}").randbytes(256) for key in keys]
    said = [content[key] for key in keys]
    return pa.table({"key": keys, "vector": pa.array(vectors, pa.binary(256)), "source": said, "content": said})


def test_many_small_refreshes_leave_at_most_twice_the_bytes_of_a_fresh_build(tmp_path: Path) -> None:
    table, chance = tmp_path / "table.lance", random.Random(1)
    there = {f"k{number:05d}": "0" for number in range(ROWS)}
    Table(table, "key").put(rows(there))
    largest = 0
    for number in range(1, REFRESHES + 1):
        gone = chance.sample(sorted(there), 2)
        changed = {key: str(number) for key in chance.sample(sorted(there.keys() - set(gone)), 3)}
        new = {f"n{number:05d}{at}": "0" for at in range(2)}
        there = {key: said for key, said in there.items() if key not in gone} | changed | new
        Table(table, "key").delete(gone)
        Table(table, "key").put(rows(changed | new), changed)
        if number % COMPACT_EVERY == 0:
            largest = max(largest, compaction.size(Table(table)).bytes)
            compaction.compact(Table(table))
    Table(tmp_path / "fresh.lance", "key").put(rows(there))
    found, fresh = compaction.size(Table(table)), compaction.size(Table(tmp_path / "fresh.lance"))
    assert Table(table, "key").digest() == Table(tmp_path / "fresh.lance", "key").digest()
    assert (found.rows, found.versions) == (fresh.rows, 1) == (ROWS, 1)
    assert found.bytes <= 2 * fresh.bytes, f"{found.bytes / fresh.bytes:.2f} times a fresh build"
    assert found.files <= 8
    assert largest > 2 * fresh.bytes, "without compaction it would have grown: else nothing was tested"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop after three refreshes."""
    folder = make(tmp_path_factory.mktemp("compaction") / "shop", stock(16))
    for look in range(3):
        put_stock(folder, {**stock(16), "p003": look})
        refresh(folder)
    return folder


@pytest.fixture
def shop(first: Path, tmp_path: Path) -> Path:
    """A copy of the shop, to be changed."""
    return Path(shutil.copytree(first, tmp_path / "shop", symlinks=True))


def test_all_tables_keep_their_rows_and_published_versions_stay_readable(shop: Path) -> None:
    before = refreshing.state(shop)
    with within(shop):
        report = compact.run()
        again = compact.run()
    assert report["stages"] == "raw_images crops catalog_embeddings knn_results"
    assert report["leftovers"] == 0, "what older versions named was left by no killed run"
    assert "dvc commit -f" in compact.text(report)
    assert "dvc commit -f" not in compact.text(again)
    assert refreshing.state(shop) == before
    with catalog.open_current(shop / "data") as version:
        assert not refreshing.torn(version)
    assert int(report["files"] or 0) < int(report["files_before"] or 0) / 2
    assert int(report["bytes"] or 0) < int(report["bytes_before"] or 0)
    assert again["stages"] == "", "what is compact stays as it is"
    assert again["files"] == again["files_before"] == report["files"]
    put_stock(shop, stock(18))
    refresh(shop)
    assert len(refreshing.numbers(shop)) == 4


def test_what_killed_writers_left_is_removed_and_what_can_be_gone_on_with_is_not(shop: Path) -> None:
    data = shop / "data"
    with within(shop):
        compact.run()
    left = [
        data / "crops/crops.lance/data/never_committed.lance",
        data / "crops/crops.lance/data/half.lance#1",
        data / "crops/crops.lance/_versions/18446744073709551000.manifest#1",
        data / "crops/crops.lance/_deletions/0-1-2.arrow",
        data / "publish/versions/.000009.building/knn.lance/data/x.lance",
        data / "publish/versions/.000001.deleting/lock",
        data / "publish/.current.building",
        data / "catalog_embeddings/.previous.lance.deleting/x",
        data / "evaluation.building/x",
    ]
    resumed = data / "trained_model.building/checkpoints/x"
    for path in (*left, resumed):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 1000)
    before = refreshing.state(shop)
    with within(shop):
        compact.run()
    assert [path for path in left if path.exists()] == []
    assert resumed.exists()
    assert refreshing.state(shop) == before


def test_it_waits_for_nobody_and_works_beside_nobody(shop: Path) -> None:
    with within(shop):
        for path, shared in [("data/tables", True), ("data/publish", False)]:  # as a stage, or a rollback, holds them
            with (
                locks.held(Path(path), shared=shared),
                pytest.raises(ValueError, match=rf"{path} is in use by another process; wait"),
            ):
                compact.run()
        with locks.held(Path("data/tables")), pytest.raises(ValueError, match="data/tables is being changed"):
            refresh(shop, "crops")


def test_dvc_keeps_what_is_served_when_a_gate_closes_and_takes_compacted_tables_for_the_same(
    built: Path, tmp_path: Path
) -> None:
    shop = Path(shutil.copytree(built, tmp_path / "shop", symlinks=True))
    params, closed = shop / "params.toml", "added_share_max = 0.0"
    more = params.read_text().replace("products = 88", "products = 99")
    params.write_text(more.replace("[publish]", f"[publish]\n{closed}"))
    dvc(shop, "repro", "--single-item", "raw_images", "crops", "catalog_embeddings", "knn_results")
    before = (shop / "reports/publish.json").read_bytes()
    done = tried(shop, "repro", "--single-item", "publish")
    assert done.returncode != 0
    assert f"allowed is {closed.split()[-1]}; version 1 stays" in done.stderr
    assert (shop / "reports/publish.json").read_bytes() == before, "DVC removes reports that it is not told to keep"
    assert (shop / "reports/publish.png").exists()

    made = ["raw_images", "crops", "triplets", "trained_model", "catalog_embeddings", "knn_results"]
    assert "knn_results_knn" in visnet(shop, "compact").stdout
    assert report(shop, "compaction")["files"] < report(shop, "compaction")["files_before"]
    dvc(shop, "commit", "-f", *made)
    assert "up to date" in dvc(shop, "status", *made)
    params.write_text(params.read_text().replace(closed, ""))
    dvc(shop, "repro", "--single-item", "publish")
    assert refreshing.numbers(shop) == [1, 2]
    assert shell(shop, "git", "status", "--porcelain", "data") == "", "neither versions nor locks are git's"


def test_files_of_older_versions_are_no_leftovers_of_killed_runs(tmp_path: Path) -> None:
    table = Table(tmp_path / "built" / "table.lance", "key")
    table.put(rows({"a": "0"}).slice(0, 0))
    table.put(rows({"a": "0", "b": "0"}))
    brought = Table(Path(shutil.copytree(table.path, tmp_path / "table.lance")), "key")  # files as new as can be
    (brought.path / "data" / "left.lance").write_bytes(b"by a kill")
    assert compaction.compact(brought) == 1
    assert compaction.size(brought).versions == 1
    assert brought.digest() == table.digest()


def test_one_command_compacts_a_table_in_an_object_store_under_its_lease(s3: Any, tmp_path: Path) -> None:
    url = f"s3://{s3.bucket()}/shop/rows.lance"
    table, there = Table(url, "key"), {}
    for number in range(8):
        there[f"k{number}"] = "0"
        table.put(rows({f"k{number}": "0"}))
    digest = table.digest()
    in_use = pytest.raises(Conflict, match=f"{url} is in use: a compaction on ")
    with lease.held(ObjectStore(url), shared_compaction.LEASE, "a compaction"), in_use:
        compact.shared(url, 600)
    assert compact.shared(url, 600).startswith(f"{url}: 8 rows; 8 → 1 data files, 8 → ")
    kept = compaction.size(table).versions
    assert kept > 8, "a reader may still have an old one"
    assert compact.shared(url, 0).startswith(f"{url}: 8 rows; 1 → 1 data files, {kept} → 1 versions, ")
    assert (table.digest(), compaction.size(table).versions, len(table.opened().get_fragments())) == (digest, 1, 1)
    table.put(rows({"k0": "1"}), ["k0"])
    assert f"{url}: 8 rows; " in visnet(tmp_path, "compact", url, "--kept-s", "0").stdout
    assert table.digest() != digest
    with pytest.raises(NotReady, match=r"none\.lance: no table there"):
        compact.shared(url.replace("rows", "none"), 0)
    with pytest.raises(ValueError, match="'data/crops' is no URL; allowed are s3://"):
        compact.shared("data/crops", 0)
