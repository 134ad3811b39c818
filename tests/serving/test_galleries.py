"""Galleries beside the versions: whoever opens a version is told the same, whether they are there, fit it, or not."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels.nearest import nearest, saved
from tests.apart import within
from tests.refreshing import put_stock, refresh, served, stock
from visnet.serving import catalog, galleries, versions
from visnet.serving.columns.entries import Entries
from visnet.serving.columns.table import read_table
from visnet.serving.photo_facts import PhotoFacts
from visnet.serving.product_rows import ProductRows
from visnet.serving.shop_gallery import SAID, ShopGallery
from visnet.serving.told_categories import ToldCategory
from visnet.storage.table import Table


def folders(shop: Path) -> list[str]:
    return sorted(path.name for path in (shop / "data/publish/galleries").iterdir())


def mapped(name: str = "vectors.npy") -> bool:
    """Tell whether this process has a file of a gallery in its memory."""
    return any(line.endswith(f"/{name}") for line in Path("/proc/self/maps").read_text().splitlines())


def check(shop: Path, *, from_tables: bool = False) -> None:
    """Hold what an opener is told against what the version's tables say."""
    assert not mapped()
    with catalog.open_current(shop / "data") as version:
        opened, read = galleries.of_version(version), ShopGallery.read(version.folder)
        assert mapped() != from_tables
        assert (opened.model, opened.told) == (read.model, read.told)
        assert opened.products.code.tolist() == read.products.code.tolist()
        assert opened.products.number == read.products.number
        assert torch.equal(opened.gallery.vectors, read.gallery.vectors)
        for name in SAID:
            assert opened.said[name].tolist() == read.said[name].tolist()
        queries = version.vectors().matrix[:3]
        found, expected = (nearest(queries, shop_gallery.gallery, 5) for shop_gallery in (opened, read))
        assert (found.row.tolist(), found.score.tolist()) == (expected.row.tolist(), expected.score.tolist())
        products = ProductRows.of_photos(read.said["product_id"])
        photos = galleries.photos_of(version, opened.said["crop_id"], products)
        rows = version.lists(["product_id", "crops", "sq_distances"], "kind = 'similar'").to_pylist()
        lists = {row["product_id"]: (row["crops"], row["sq_distances"]) for row in rows}
        for name, number in products.number.items():
            crops, distances = lists[name]
            found = photos.row[number, : photos.listed[number]]
            assert read.said["crop_id"][found].tolist() == crops
            assert photos.sq_distance[number, : photos.listed[number]].tolist() == distances
        table = read_table(version.folder / "catalog.lance")
        columns = galleries.columns_of(version, opened, table)
        expected = Entries.read(read.said, products, table)
        assert columns.of_photo.tolist() == expected.of_photo.tolist()
        assert columns.product.tolist() == expected.product.tolist()
        for one, other in zip(columns.columns, expected.columns, strict=True):
            assert (one.name, type(one)) == (other.name, type(other))
            assert [getattr(one, part).tolist() for part in ("codes", "values", "said") if hasattr(one, part)] == [
                getattr(other, part).tolist() for part in ("codes", "values", "said") if hasattr(other, part)
            ]
        stored = Table(version.crops).opened().take(photos.place.tolist(), columns=["crop_id", "content"])
        assert stored["crop_id"].to_pylist() == read.said["crop_id"].tolist()
        assert [text[:8].encode() for text in stored["content"].to_pylist()] == photos.content.tolist()


def test_what_is_mapped_is_what_the_tables_say(shop: Path) -> None:
    check(shop)
    put_stock(shop, {**stock(26), "p003": 1})
    refresh(shop)
    check(shop)


def test_those_of_what_is_served_and_what_was_before_stay(shop: Path) -> None:
    for look in (1, 2, 3):
        put_stock(shop, stock(24, look))
        refresh(shop)
    assert folders(shop) == ["000003", "000004"]
    with within(shop):
        versions.rollback(2)
    check(shop, from_tables=True)
    put_stock(shop, stock(24, 4))
    refresh(shop)
    assert (served(shop), folders(shop)) == (2, ["000004", "000005"]), "what waits is the newest when it is told"
    put_stock(shop, stock(24, 5))
    refresh(shop)
    assert folders(shop) == ["000005", "000006"]
    with within(shop):
        versions.roll_forward()
    check(shop)


UNFIT = ("never made", "no rows", "of others", "other sources")  # silently
DAMAGED = ("short vectors", "short rows", "facts of others", "short columns")


@pytest.mark.parametrize("fault", [*UNFIT, *DAMAGED])
def test_without_one_that_fits_the_tables_are_read_and_why_is_told(
    fault: str, shop: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = galleries.place(shop / "data/publish", 1)
    if fault == "never made":
        shutil.rmtree(folder.parent)
    elif fault == "no rows":
        (folder / "rows.arrow").unlink()
    elif fault == "short vectors":
        (folder / "vectors.npy").write_bytes((folder / "vectors.npy").read_bytes()[:-4])
    elif fault == "short rows":
        (folder / "rows.arrow").write_bytes((folder / "rows.arrow").read_bytes()[:-200])
    elif fault == "facts of others":
        np.save(folder / "photo_listed.npy", np.zeros(3, np.int32))
    elif fault == "short columns":
        (folder / "columns.arrow").write_bytes((folder / "columns.arrow").read_bytes()[:-200])
    elif fault == "other sources":
        facts = json.loads((folder / galleries.OF).read_text())
        (folder / galleries.OF).write_text(json.dumps({**facts, "sources": "0" * 32}))
    else:  # of a run that was killed after it had made one, and before it had a version
        (folder / galleries.OF).write_text(json.dumps({"embeddings": "of others"}))
    with caplog.at_level(logging.WARNING, "visnet.serving"):
        check(shop, from_tables=fault not in ("facts of others", "short columns"))
    told = [record.getMessage() for record in caplog.records if record.name == "visnet.serving"]
    assert len(told) == (fault in DAMAGED)
    assert all(text.startswith("version 1 is read from its tables: ") and "\n" not in text for text in told)


def test_one_that_other_sources_made_is_not_believed(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "made_by", lambda: "0" * 32)
    check(shop, from_tables=True)


def test_a_run_that_was_killed_leaves_nothing_that_stays(shop: Path) -> None:
    publish = shop / "data/publish"
    for name in (".000002.building", "000002", "000007"):  # while it wrote, and after it, before there was a version
        (publish / "galleries" / name).mkdir()
        (publish / "galleries" / name / "vectors.npy").write_bytes(b"half")
    put_stock(shop, stock(24, 1))
    refresh(shop)
    assert (served(shop), folders(shop)) == (2, ["000001", "000002"])
    check(shop)


def test_a_disk_that_is_full_publishes_nothing(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    put_stock(shop, stock(24, 1))
    refresh(shop, "raw_images", "crops", "catalog_embeddings", "knn_results")
    pointer = (shop / "data/published.json").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(PhotoFacts, "save", full)
        with pytest.raises(OSError, match="No space left"):
            refresh(shop, "publish")
    assert (served(shop), (shop / "data/published.json").read_bytes()) == (1, pointer)
    assert folders(shop) == ["000001"]
    refresh(shop, "publish")
    assert served(shop) == 2


TOLD = {"p1": ToldCategory("hat", 0.9, "t"), "p9": ToldCategory("bag", 0.8, "t")}


@pytest.mark.parametrize("told", [{}, TOLD])
def test_told_categories_are_mapped_as_they_were_taken(told: dict[str, ToldCategory], tmp_path: Path) -> None:
    columns = {
        "crop_id": ["c0", "c1", "c2", "c3", "c4"],
        "product_id": ["p0", "p1", "p2", "p1", "p3"],
        "category": ["shoe", None, "", None, "bag"],
        "side": ["shop"] * 4 + ["street"],
        "colour": ["red", None, "漢", "", "red"],
        "model": ["m"] * 5,
        "content": [*"abcde"],
    }
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(10, dtype="f4")), 2)
    Table(tmp_path / "embeddings.lance", "crop_id").put(
        pa.table({**columns, "embedding": vectors, "source": [*"abcde"]})
    )
    made = ShopGallery.read(tmp_path, told)
    (tmp_path / "gallery").mkdir()
    made.save(tmp_path / "gallery")
    opened = ShopGallery.open(tmp_path / "gallery", told)
    assert {name: texts.tolist() for name, texts in opened.said.items()} == {
        name: texts.tolist() for name, texts in made.said.items()
    }
    assert opened.told == made.told == ({"p1": TOLD["p1"]} if told else {})
    assert sorted(opened.said["category"].tolist()) == ["", *(["hat", "hat"] if told else ["", ""]), "shoe"]
    assert torch.equal(opened.gallery.vectors, made.gallery.vectors)


LISTS = st.dictionaries(
    st.tuples(st.sampled_from("abcdx"), st.sampled_from(["bag", "hat"])),  # of x there is no photo
    st.lists(st.tuples(st.sampled_from(["a0", "a1", "b0", "c0", "d0"]), st.floats(0, 4, width=32)), max_size=4),
)


@given(LISTS)
def test_of_several_lists_of_a_product_that_of_its_first_category_counts(
    tmp_path_factory: pytest.TempPathFactory, lists: dict[tuple[str, str], list[tuple[str, float]]]
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    crop_id = np.array(["b0", "a0", "a1", "d0", "c0"], object)
    products = ProductRows.of_photos(np.array([crop[0] for crop in crop_id], object))
    crops = pa.table({"crop_id": sorted(crop_id), "content": [f"{crop}-0123456789" for crop in sorted(crop_id)]})
    Table(folder / "crops.lance", "crop_id").put(crops.append_column("source", crops["crop_id"]))
    rows = [
        {
            "query_id": f"{product} {category}",
            "kind": "similar",
            "product_id": product,
            "category": category,
            "crops": [crop for crop, _ in found],
            "sq_distances": [distance for _, distance in found],
        }
        for (product, category), found in lists.items()
    ]
    schema = pa.schema([*((name, pa.string()) for name in ("query_id", "kind", "product_id", "category")),
                        ("crops", pa.list_(pa.string())), ("sq_distances", pa.list_(pa.float32())),
                        ("source", pa.string()), ("content", pa.string())])  # fmt: skip
    Table(folder / "knn.lance", "query_id").put(
        pa.Table.from_pylist([{**row, "source": str(row), "content": str(row)} for row in rows], schema)
    )
    told = pa.table({"product_id": [*"xcab"]})
    Table(folder / "catalog.lance", "product_id").put(
        told.append_column("source", told["product_id"]).append_column("content", told["product_id"])
    )
    in_order = Table(folder / "catalog.lance").read(["product_id"])["product_id"].to_pylist()
    made = PhotoFacts.read(folder, crop_id, products)
    made.save(folder)
    for photos in (made, PhotoFacts.open(folder, 5, products.count)):
        assert photos.k == max((len(found) for (product, _), found in lists.items()), default=0)
        assert photos.place.tolist() == [sorted(crop_id).index(crop) for crop in crop_id]
        assert photos.content.tolist() == [f"{crop}-01234".encode() for crop in crop_id]
        for product, number in products.number.items():
            assert photos.told[number] == (in_order.index(product) if product in in_order else -1)
            own = [lists[product, category] for category in ("bag", "hat") if (product, category) in lists]
            if not own:
                assert photos.listed[number] == -1
                continue
            width = photos.listed[number]
            pairs = zip(crop_id[photos.row[number, :width]], photos.sq_distance[number, :width], strict=True)
            assert list(pairs) == own[0]
