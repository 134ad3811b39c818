"""publish: whole versions, switched at once, kept for their readers, stopped by gates, linked rather than copied."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pytest

from tests import refreshing
from tests.refreshing import make, numbers, put_model, put_stock, refresh, stock, within
from visnet import compaction, folders, locks, serving, similar, tables, versions


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop of 24 products that was published once."""
    folder = make(tmp_path_factory.mktemp("publish") / "shop", stock(24))
    refresh(folder)
    return folder


@pytest.fixture
def shop(first: Path, tmp_path: Path) -> Path:
    """A copy of the shop, to be changed."""
    return Path(shutil.copytree(first, tmp_path / "shop", symlinks=True))


def said(shop: Path) -> dict[str, Any]:
    return json.loads((shop / "reports/publish.json").read_text())


def served(shop: Path) -> int | None:
    return versions.current(shop / "data/publish")


def setting(shop: Path, line: str) -> None:
    params = shop / "params.toml"
    params.write_text(params.read_text().replace("[publish]\n", f"[publish]\n{line}\n"))


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
    report = said(shop)
    assert (report["added"], report["changed"], report["removed"]) == (2, 2, 1)
    assert (report["version"], report["before"], report["published"]) == (2, 1, True)
    assert report["removed_share"] == round(1 / 24, 6)
    assert report["added_share"] == round(2 / 24, 6)
    assert report["probe_queries"] > 0


def test_equal_content_makes_no_new_version(shop: Path) -> None:
    digest = said(shop)["digest"]
    with within(shop):
        compaction.run()  # other files, the same rows
    refresh(shop)
    report = said(shop)
    assert (report["published"], report["version"], report["digest"]) == (False, 1, digest)
    assert numbers(shop) == [1]


def test_what_has_not_changed_is_linked(shop: Path) -> None:
    for look in (1, 2):
        put_stock(shop, {**stock(24), "p003": look})
        refresh(shop)
    report = said(shop)
    assert report["copied_megabytes"] == 0
    assert report["linked_megabytes"] > 0
    second, third = (versions.folder(shop / "data/publish", number) for number in (2, 3))
    both = {path.relative_to(second) for path in second.rglob("*.lance") if path.is_file()}
    both &= {path.relative_to(third) for path in third.rglob("*.lance") if path.is_file()}
    assert both, "rows of the version before stand in files of the version before"
    assert all((second / path).samefile(third / path) for path in both)
    assert (third / "trained_model/model.safetensors").samefile(shop / "data/trained_model/model.safetensors")


def test_where_nothing_can_be_linked_it_is_copied(first: Path, tmp_path: Path) -> None:
    disks = {os.stat(place).st_dev: Path(place) for place in ("/dev/shm", str(tmp_path))}
    if len(disks) == 1:
        pytest.skip("one file system only")
    elsewhere = Path(disks[os.stat("/dev/shm").st_dev]) / f"visnet-{os.getpid()}"
    try:
        source = first / "data/crops/crops.lance"
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


def test_the_last_versions_stay_and_their_numbers_are_never_used_again(shop: Path) -> None:
    setting(shop, "keep = 3")
    for look in (1, 2, 3):
        put_stock(shop, stock(24, look))
        refresh(shop)
    assert (numbers(shop), served(shop)) == ([2, 3, 4], 4)
    with within(shop):
        assert "Version 3 is served; before, version 4" in versions.rollback()
        assert "Version 2 is served" in versions.rollback(2)
        lines = versions.listing().splitlines()
        assert [line.split()[:2] for line in lines if "*" in line] == [["2", "*"], ["*", "is"]]
        for wrong, why in {1: "no version 1; there are 2, 3, 4", None: "no version is older than 2"}.items():
            with pytest.raises(ValueError, match=why):
                versions.rollback(wrong)
    refresh(shop, "publish")
    assert (numbers(shop), served(shop)) == ([3, 4, 5], 5)
    assert said(shop)["before"] == 2, "what is new is new to those who were served version 2"


def test_a_reader_keeps_its_version_until_it_closes_it(shop: Path) -> None:
    setting(shop, "keep = 1")
    held = serving.open_current(shop / "data")
    for look in (1, 2):
        put_stock(shop, stock(24, look))
        refresh(shop)
    assert numbers(shop) == [1, 3]
    assert not refreshing.torn(held)
    held.close()
    refresh(shop, "publish")
    assert (numbers(shop), served(shop)) == ([3], 3)


def test_readers_that_come_while_versions_go_find_one_that_is_whole(tmp_path: Path) -> None:
    """Many small versions, one kept at a time, while others open `current`: each finds a folder that stays."""
    publish, stop, faults, seen = tmp_path / "publish", threading.Event(), [], set()

    def read() -> None:
        while not stop.is_set():
            with serving.open_current(tmp_path) as version:
                number = version.facts()["version"]
                seen.add(number)
                if number != version.number or not (version.folder / "whole").exists():
                    faults.append(number)

    def write(content: int) -> None:
        number, building = versions.begin(publish)
        (building / "whole").touch()
        versions.finish(publish, number, building, {"version": number, "content": content})
        versions.prune(publish, keep=1)

    write(0)
    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for content in range(150):
        write(content)
    stop.set()
    for reader in readers:
        reader.join()
    assert not faults
    assert len(seen) > 5, "nobody read in between: nothing was tested"


def test_a_photo_is_answered_from_the_version_that_is_served(shop: Path, tmp_path: Path) -> None:
    photo = shop / "images/p003-0-0.png"
    put_stock(shop, {product: look for product, look in stock(24).items() if product != "p003"})
    refresh(shop, *refreshing.REFRESH[:-1])
    with within(shop):
        assert "p003" in similar.answer(photo, 3, None, None, tmp_path / "sheet.png").splitlines()[1]
    refresh(shop, "publish")
    with within(shop):
        assert "p003 " not in similar.answer(photo, 3, None, None, tmp_path / "sheet.png")


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


def test_another_models_vectors_are_made_beside_and_what_a_killed_run_made_is_kept(shop: Path) -> None:
    out = shop / "data/catalog_embeddings"
    put_model(shop, seed=2)
    other = Path(shutil.copytree(shop, shop.parent / "other", symlinks=True))
    refresh(other, "catalog_embeddings")
    whole = tables.opened(other / "data/catalog_embeddings/embeddings.lance")
    tables.put(out / "next.lance", "crop_id", whole.to_table(limit=20))
    made = {path.name for path in (out / "next.lance/data").iterdir()}
    refresh(shop, "catalog_embeddings")
    assert {path.name for path in out.iterdir()} == {"embeddings.lance"}
    assert made < {path.name for path in (out / "embeddings.lance/data").iterdir()}
    report = json.loads((shop / "reports/catalog_embeddings.json").read_text())
    assert (report["added"], report["changed"], report["unchanged"]) == (0, 54, 0)
    assert report["digest"] == tables.digest(other / "data/catalog_embeddings/embeddings.lance", "crop_id")


def test_a_model_change_that_is_undone_leaves_nothing(shop: Path) -> None:
    out = shop / "data/catalog_embeddings"
    before = tables.digest(out / "embeddings.lance", "crop_id")
    shutil.copytree(out / "embeddings.lance", out / "next.lance")
    refresh(shop, "catalog_embeddings")
    assert {path.name for path in out.iterdir()} == {"embeddings.lance"}
    assert tables.digest(out / "embeddings.lance", "crop_id") == before


def test_a_switch_of_models_that_was_cut_in_two_is_ended(shop: Path) -> None:
    out = shop / "data/catalog_embeddings"
    put_model(shop, seed=2)
    wanted = Path(shutil.copytree(shop, shop.parent / "other", symlinks=True))
    refresh(wanted, "catalog_embeddings")
    (out / "embeddings.lance").rename(out / "previous.lance")
    shutil.copytree(wanted / "data/catalog_embeddings/embeddings.lance", out / "next.lance")
    refresh(shop, "catalog_embeddings")
    assert {path.name for path in out.iterdir()} == {"embeddings.lance"}
    report = json.loads((shop / "reports/catalog_embeddings.json").read_text())
    assert (report["changed"], report["unchanged"]) == (0, 54), "nothing was embedded again"
