"""publish: whole versions, switched at once, kept for their readers, stopped by gates, linked rather than copied."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import lance
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import refreshing
from tests.apart import within
from tests.refreshing import numbers, put_model, put_stock, refresh, served, setting, stock
from tests.workspace import report
from visnet.commands import compact
from visnet.serving import catalog, gates, versions
from visnet.storage import links, locks
from visnet.storage.table import Table


def test_a_version_is_complete_in_itself(shop: Path) -> None:
    with catalog.open_current(shop / "data") as version:
        assert not refreshing.torn(version)
        facts = version.facts()
    assert (facts["version"], facts["products"], facts["added"], facts["before"]) == (1, 24, 24, None)
    for stage in ("raw_images", "crops", "trained_model", "catalog_embeddings", "knn_results"):
        shutil.rmtree(shop / "data" / stage)
    with catalog.open_current(shop / "data") as version:
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
    assert said["published"]
    with catalog.open_current(shop / "data") as version:
        assert (version.number, version.facts()["version"], version.facts()["before"]) == (2, 2, 1)
    assert said["removed_share"] == round(1 / 24, 6)
    assert said["added_share"] == round(2 / 24, 6)
    assert said["probe_queries"] > 0


def test_equal_content_makes_no_new_version(shop: Path) -> None:
    digest = report(shop, "publish")["digest"]
    with within(shop):
        compact.run()  # other files, the same rows
    refresh(shop)
    said = report(shop, "publish")
    assert (said["published"], said["digest"]) == (False, digest)
    assert (numbers(shop), served(shop)) == ([1], 1)


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
        brought = links.link_or_copy_table(source, elsewhere / "crops.lance")
        assert brought.linked_bytes == 0 < brought.copied_bytes
        assert Table(elsewhere / "crops.lance", "crop_id").digest() == Table(source, "crop_id").digest()
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)


def test_a_link_has_the_latest_rows_and_none_of_the_files_before(tmp_path: Path) -> None:
    table = tmp_path / "t.lance"

    def rows(*keys: str) -> pa.Table:
        return pa.table({"key": list(keys), "source": list(keys), "content": list(keys)})

    Table(table, "key").put(rows("a", "b", "c"))
    lance.dataset(str(table)).optimize.compact_files()
    Table(table, "key").delete(["b"])
    Table(table, "key").put(rows("d"))
    brought = links.link_or_copy_table(table, tmp_path / "link.lance")
    Table(table, "key").put(rows("e"))
    Table(table, "key").delete(["a"])
    assert sorted(Table(tmp_path / "link.lance").read(["key"])["key"].to_pylist()) == ["a", "c", "d"]
    assert brought.files == 2 + 1 + 1 + 1, "two data files, what is deleted of one, manifest and transaction"


def spoil_recall(shop: Path) -> None:
    """Let every street photo's nearest product be its last."""
    params = shop / "params.toml"
    params.write_text(params.read_text().replace("probe_recall_at_1_drop_max = 1.0", ""))
    knn = shop / "data/knn_results/knn.lance"
    rows = Table(knn).read(Table(knn).columns, "kind = 'street'")
    wrong = pa.array([products[1:] + products[:1] for products in rows["products"].to_pylist()])
    content = pa.array([f"{content} turned" for content in rows["content"].to_pylist()])
    for name, values in {"products": wrong, "content": content}.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    Table(knn, "query_id").put(rows, rows["query_id"].to_pylist())


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


@pytest.mark.parametrize(
    ("passed", "why"),
    [
        (False, "the new model did not pass: as a test has it; version 1 stays"),
        (None, "the new model was not judged: .*; version 1 stays; run `dvc repro --force --single-item evaluation`"),
    ],
)
def test_a_new_model_is_served_only_after_its_evaluation_passed(passed: bool | None, why: str, shop: Path) -> None:
    first = (shop / "data/published.json").read_bytes()
    put_stock(shop, {**stock(24), "p003": 1})
    refreshing.put_verdict(shop, "of no model at all", passed=False)
    refresh(shop)  # by the model that is served: it needs no verdict
    assert served(shop) == 2
    put_stock(shop, stock(24))
    put_model(shop, seed=2, passed=passed)
    before = (shop / "data/published.json").read_bytes()
    refresh(shop, *refreshing.REFRESH[:-1])
    with pytest.raises(ValueError, match=why.replace("version 1", "version 2")):
        refresh(shop, "publish")
    assert (served(shop), numbers(shop)) == (2, [1, 2])
    assert first != before == (shop / "data/published.json").read_bytes()
    refreshing.put_verdict(shop, "0" * 32)
    with pytest.raises(ValueError, match=r"verdict.json is of another model \(00000000\).*run `dvc repro evaluation`"):
        refresh(shop, "publish")
    assert not refreshing.leftovers(shop)
    put_model(shop, seed=2)
    refresh(shop, "publish")
    assert served(shop) == 3


def test_ids_may_hold_any_sign(shop: Path) -> None:
    """Addresses with a query string, and the signs that once joined keys; what fails, fails before the switch."""
    table = (shop / "stock.csv").read_text()
    for old, new in {"p004": "p=4|red\\n", "p005": "p|5", "bag": "bag|p", "p003-0-0": "image.php?v=15=0|0"}.items():
        table = table.replace(f",{old},", f",{new},").replace(f"{old},", f"{new},").replace(f"{old}.", f"{new}.")
    (shop / "stock.csv").write_text(table)
    (shop / "images/p003-0-0.png").rename(shop / "images/image.php?v=15=0|0.png")
    setting(shop, "added_share_max = 1.0")
    params = shop / "params.toml"
    params.write_text(params.read_text().replace("removed_share_max = 0.5", "removed_share_max = 1.0"))
    refresh(shop)
    with catalog.open_current(shop / "data") as version:
        facts = version.facts()
    assert (facts["version"], facts["products"]) == (2, 24)
    assert {shown["product_id"] for shown in facts["shown"]} >= {"p=4|red\\n", "p|5"}


SIGNS = st.text("a|=\n:1", max_size=3)


@settings(max_examples=60)
@given(st.lists(st.tuples(SIGNS, SIGNS, SIGNS, SIGNS), max_size=8, unique_by=lambda row: row[2]))
def test_products_are_told_apart_by_category_and_id(rows: list[tuple[str, str, str, str]]) -> None:
    names = ["category", "product_id", "crop_id", "content"]
    with tempfile.TemporaryDirectory() as scratch:
        table = pa.table([pa.array(column, pa.string()) for column in zip(*rows, strict=True)] or [[]] * 4, names=names)
        table = table.cast(pa.schema([(name, pa.string()) for name in names]))
        for name, values in (("side", ["shop"] * len(rows)), ("lost", [None] * len(rows))):
            table = table.append_column(name, pa.array(values, pa.string()))
        lance.write_dataset(table, f"{scratch}/crops.lance")
        found = gates.products(Path(scratch) / "crops.lance")
    photos: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for category, product, crop, content in sorted(rows):
        photos.setdefault((category, product), []).append((crop, content))
    assert found.keys() == photos.keys()
    assert {product: said.crop_id for product, said in found.items()} == {p: at[0][0] for p, at in photos.items()}
    assert len({photos.content for photos in found.values()}) == len({tuple(at) for at in photos.values()})
