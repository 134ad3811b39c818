"""publish: whole versions, switched at once, kept for their readers, stopped by gates, linked rather than copied."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from tests import refreshing
from tests.refreshing import numbers, put_model, put_stock, refresh, served, setting, stock, within
from tests.workspace import report
from visnet import compaction, folders, locks, serving, tables, versions


def test_a_version_is_complete_in_itself(shop: Path) -> None:
    with serving.open_current(shop / "data") as version:
        assert not refreshing.torn(version)
        facts = version.facts()
    assert (facts["version"], facts["products"], facts["added"], facts["before"]) == (1, 24, 24, None)
    for stage in ("raw_images", "crops", "trained_model", "catalog_embeddings", "knn_results"):
        shutil.rmtree(shop / "data" / stage)
    with serving.open_current(shop / "data") as version:
        assert not refreshing.torn(version), "it needs nothing of the stages"
        assert len(version.vectors().rows) == 54
        assert version.lists(["query_id"]).num_rows == 24 + 6
        assert version.catalog is None


def test_what_is_new_is_counted_against_the_version_before(shop: Path) -> None:
    now = {**stock(26), "p003": 1, "p007": 1}
    del now["p010"]
    put_stock(shop, now)
    refresh(shop)
    said = report(shop, "publish")
    assert (said["added"], said["changed"], said["removed"]) == (2, 2, 1)
    assert (said["version"], said["before"], said["published"]) == (2, 1, True)
    assert said["removed_share"] == round(1 / 24, 6)
    assert said["added_share"] == round(2 / 24, 6)
    assert said["probe_queries"] > 0


def test_equal_content_makes_no_new_version(shop: Path) -> None:
    digest = report(shop, "publish")["digest"]
    with within(shop):
        compaction.run()  # other files, the same rows
    refresh(shop)
    said = report(shop, "publish")
    assert (said["published"], said["version"], said["digest"]) == (False, 1, digest)
    assert numbers(shop) == [1]


def test_what_has_not_changed_is_linked(shop: Path) -> None:
    for look in (1, 2):
        put_stock(shop, {**stock(24), "p003": look})
        refresh(shop)
    said = report(shop, "publish")
    assert said["copied_megabytes"] == 0
    assert said["linked_megabytes"] > 0
    second, third = (versions.folder(shop / "data/publish", number) for number in (2, 3))
    both = {path.relative_to(second) for path in second.rglob("*.lance") if path.is_file()}
    both &= {path.relative_to(third) for path in third.rglob("*.lance") if path.is_file()}
    assert both, "rows of the version before stand in files of the version before"
    assert all((second / path).samefile(third / path) for path in both)
    assert (third / "trained_model/model.safetensors").samefile(shop / "data/trained_model/model.safetensors")


def test_where_nothing_can_be_linked_it_is_copied(published: Path, tmp_path: Path) -> None:
    disks = {os.stat(place).st_dev: Path(place) for place in ("/dev/shm", str(tmp_path))}
    if len(disks) == 1:
        pytest.skip("one file system only")
    elsewhere = Path(disks[os.stat("/dev/shm").st_dev]) / f"visnet-{os.getpid()}"
    try:
        source = published / "data/crops/crops.lance"
        brought = folders.bring_table(source, elsewhere / "crops.lance")
        assert brought.linked_bytes == 0 < brought.copied_bytes
        assert tables.digest(elsewhere / "crops.lance", "crop_id") == tables.digest(source, "crop_id")
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)


def test_a_link_has_the_latest_rows_and_none_of_the_files_before(tmp_path: Path) -> None:
    table = tmp_path / "t.lance"

    def rows(*keys: str) -> pa.Table:
        return pa.table({"key": list(keys), "source": list(keys), "content": list(keys)})

    tables.put(table, "key", rows("a", "b", "c"))
    lance.dataset(str(table)).optimize.compact_files()
    tables.delete(table, "key", ["b"])
    tables.put(table, "key", rows("d"))
    brought = folders.bring_table(table, tmp_path / "link.lance")
    tables.put(table, "key", rows("e"))
    tables.delete(table, "key", ["a"])
    assert sorted(tables.read(tmp_path / "link.lance", ["key"])["key"].to_pylist()) == ["a", "c", "d"]
    assert brought.files == 2 + 1 + 1 + 1, "two data files, what is deleted of one, manifest and transaction"


def spoil_recall(shop: Path) -> None:
    """Let every street photo's nearest product be its last."""
    params = shop / "params.toml"
    params.write_text(params.read_text().replace("probe_recall_at_1_drop_max = 1.0", ""))
    knn = shop / "data/knn_results/knn.lance"
    rows = tables.read(knn, tables.opened(knn).schema.names, "kind = 'street'")
    wrong = pa.array([products[1:] + products[:1] for products in rows["products"].to_pylist()])
    content = pa.array([f"{content} turned" for content in rows["content"].to_pylist()])
    for name, values in {"products": wrong, "content": content}.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    tables.put(knn, "query_id", rows, rows["query_id"].to_pylist())


def remove_most(shop: Path) -> None:
    put_stock(shop, stock(10))


def double(shop: Path) -> None:
    setting(shop, "added_share_max = 0.5")
    put_stock(shop, stock(48))


def lose_photos(shop: Path) -> None:
    put_stock(shop, stock(26))
    for path in (shop / "images").glob("p024-*.png"):
        path.unlink()


GATES: dict[str, tuple[Callable[[Path], None], str]] = {
    "probe_recall_at_1_drop": (spoil_recall, "1.0"),
    "removed_share": (remove_most, "0.6"),
    "added_share": (double, "1.0"),
    "lost_share": (lose_photos, "0.06"),
}


@pytest.mark.parametrize("gate", GATES)
def test_a_gate_that_is_closed_leaves_what_is_served(gate: str, shop: Path) -> None:
    spoil, open_at = GATES[gate]
    spoil(shop)
    before = (shop / "reports/publish.json").read_bytes()
    if gate != "probe_recall_at_1_drop":
        refresh(shop, *refreshing.REFRESH[:-1])
    with pytest.raises(
        ValueError, match=rf"\[publish\] {gate}_max: {gate} is .* version 1 stays; if .* set {gate}_max"
    ):
        refresh(shop, "publish")
    assert (served(shop), numbers(shop)) == (1, [1])
    assert (shop / "reports/publish.json").read_bytes() == before
    assert not refreshing.leftovers(shop)
    params = shop / "params.toml"
    lines = [line for line in params.read_text().splitlines() if not line.startswith(f"{gate}_max")]
    params.write_text("\n".join(lines) + "\n")
    setting(shop, f"{gate}_max = {open_at}")
    refresh(shop, "publish")
    assert served(shop) == 2


def test_parts_that_do_not_fit_are_not_served(shop: Path) -> None:
    put_stock(shop, {**stock(24), "p003": 1})
    refresh(shop, "raw_images", "crops")
    with pytest.raises(ValueError, match=r"vectors are not of today's crops .*catalog_embeddings"):
        refresh(shop, "publish")
    refresh(shop, "catalog_embeddings")
    with pytest.raises(ValueError, match=r"lists are not of today's vectors .*knn_results"):
        refresh(shop, "publish")
    put_model(shop, seed=2)
    with pytest.raises(ValueError, match=r"by another model than trained_model"):
        refresh(shop, "publish")
    assert (served(shop), numbers(shop)) == (1, [1])


@pytest.mark.parametrize(("path", "shared", "why"), [("publish", False, "in use"), ("crops", False, "being changed")])
def test_a_second_run_is_refused_in_one_line(path: str, shared: bool, why: str, shop: Path) -> None:
    with (
        locks.held(shop / "data" / path, shared=shared),
        pytest.raises(ValueError, match=rf"{path} is {why} by another"),
    ):
        refresh(shop, "publish")
    refresh(shop, "publish")


def test_a_lock_is_not_inherited_by_a_child_that_outlives_its_holder(tmp_path: Path) -> None:
    ready, done = os.pipe(), os.pipe()
    with locks.held(tmp_path / "table"):
        child = os.fork()
        if child == 0:  # what loads photos for a stage is forked like this
            os.write(ready[1], b"x")
            os.read(done[0], 1)
            os._exit(0)
        os.read(ready[0], 1)
    with locks.held(tmp_path / "table"):
        pass
    os.write(done[1], b"x")
    os.waitpid(child, 0)
