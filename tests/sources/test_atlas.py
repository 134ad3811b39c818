"""visnet.sources.atlas: photos with their category's path, from the data set file that Atlas has."""

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests import workspace
from visnet.sources import atlas
from visnet.sources.atlas import Params
from visnet.sources.listing import PHOTOS, RECORDS, Listing
from visnet.taxonomy.paths import levels_of

REAL = Path(os.environ.get("VISNET_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))

# The taxonomy of Atlas with its counts of photos, as its figure has them.
FIGURE = {
    ("Men", "Ethnic Wear"): "Dhoti Kurta 100, Dhoti Pants 113, Sherwani 362, Jackets 353, Kurta 2837, Bandhgala 38, "
    "Galabiyyas 36, Men Suits 104",
    ("Men", "Inner Wear"): "Boxers 228, Vests 1827, Pyjama 165, Underwear 2126",
    ("Men", "Western Wear"): "Formal Shirts 2790, Cargos 2051, Shorts 4347, Jackets 5833, Trousers 7260, Shirts 7513, "
    "Jeans 7459, Blazers & Suits 6678, Tracks & Joggers 4243, Sweatshirt & Hoodies 6734",
    ("Women", "Ethnic Wear"): "Abayas & Burqas 3333, Ethnic Bottom 1590, Gowns & Dresses 417, Sarees 30261, "
    "Patialas 98, Dupatta 1577, Lehenga Choli 4429, Saree Blouse 1034, Salwar Kameez & Kurtis 35131",
    ("Women", "Inner Wear"): "Bathrobes 188, UnderWear 1093, Petticoats 42, ShapeWear 252",
    ("Women", "Western Wear"): "Blazers & Waistcoats 200, Stoles & Scarves 24, Sweatshirt & Shirts 1616, "
    "Tops & Tees 7395, Palazzo Pants 400, Pants & Trousers 282, Jeans 1698, Shorts 5680, Dresses 6620, Skirts 2181, "
    "Dungarees 157, Leggings & Jeggings 5526, Jackets Shrugs & Cardigans 1086, Tanktops & Camisoles 1553, "
    "Sleepwear & Loungewear 5828, Swimsuits & Coverups 594, Jumpsuits;Rompers & Overalls 514",
}
TAXONOMY = {
    (*above, name.replace(";", ",")): int(count)
    for above, leaves in FIGURE.items()
    for name, _, count in (leaf.rpartition(" ") for leaf in leaves.split(", "))
}


def record(filename: object, *levels: str, **others: Any) -> dict[str, Any]:
    path = list(levels) or ["Men", "Western Wear", "Jackets"]
    return {"filename": filename, "title": "A  jacket\n", "sentences": [{"tokens": path}], "split": "train", **others}


def write(folder: Path, *records: Any) -> Path:
    path = folder / "atlas_dataset.json"
    path.write_text(json.dumps({"images": list(records)}))
    return path


def rows(listing: Listing, *columns: str) -> list[tuple[object, ...]]:
    return [tuple(row[column] for column in columns) for row in listing.records.to_pylist()]


def places(listing: Listing) -> dict[str, str]:
    return dict(zip(*listing.photos.to_pydict().values(), strict=True))


def test_the_taxonomy_of_atlas_keeps_its_52_paths_and_their_183_996_photos(tmp_path: Path) -> None:
    photos = (
        record(f"dataset/{'_'.join(path)}/images/{number}.jpg", *path)
        for path, count in TAXONOMY.items()
        for number in range(count)
    )
    listing = atlas.listing(Params(), write(tmp_path, *photos))
    found = Counter(tuple(levels_of(category)) for category in listing.records["category"].to_pylist())
    assert found == TAXONOMY
    assert (len(found), found.total()) == (52, 183_996)
    assert len({word for path in found for word in path}) == 54
    assert {path[:2] for path in found if path[2] == "Jackets"} == {("Men", "Ethnic Wear"), ("Men", "Western Wear")}


def test_photos_are_where_their_address_or_their_file_is(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        record("bare.jpg", image_url="http://a.example/1.jpg"),
        record("dataset/Men_Western Wear_Jackets/images/2.jpg"),
        record("only-here.jpg", image_url=None),
    )
    there = atlas.listing(Params(), file)
    assert (there.photos.schema, there.records.schema) == (PHOTOS, RECORDS)
    assert places(there) == {
        "bare.jpg": "http://a.example/1.jpg",
        "dataset/Men_Western Wear_Jackets/images/2.jpg": f"{tmp_path}/dataset/Men_Western Wear_Jackets/images/2.jpg",
        "only-here.jpg": f"{tmp_path}/only-here.jpg",
    }
    own = atlas.listing(Params(photos="file", images="photos"), file)
    assert places(own)["bare.jpg"] == f"{tmp_path}/photos/bare.jpg"


def test_paths_are_of_any_depth_and_a_leaf_is_known_by_its_whole_path(tmp_path: Path) -> None:
    listing = atlas.listing(
        Params(),
        write(tmp_path, record("1.jpg", "Food"), record("2.jpg", "A", "B", "C", "D/E"), record("3.jpg", "Z", "D/E")),
    )
    assert rows(listing, "category") == [("Food",), ("A/B/C/D%2FE",), ("Z/D%2FE",)]


def test_splits_are_those_of_the_file_or_drawn(tmp_path: Path) -> None:
    some = [record(f"{split}.jpg", split=split) for split in ("train", "restval", "val", "test")]
    file = write(tmp_path, *some)
    assert rows(atlas.listing(Params(), file), "split") == [("train",), ("train",), ("validation",), ("test",)]
    assert rows(atlas.listing(Params(splits="drawn"), file), "split") == [("",)] * 4
    without = atlas.listing(Params(), write(tmp_path, *some[:3]))
    assert rows(without, "split") == [("train",), ("train",), ("test",)], "what there is beside train is the test"


def test_a_product_is_a_photo_or_a_title_within_a_path(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        record("1.jpg", title="Blue one"),
        record("2.jpg", title="Blue  one\n"),
        record("3.jpg", "Women", "Coats", title="Blue one"),
        record("x/4.tar.jpg", title=""),
        record("1.jpg", title="The same file again"),
    )
    by_file = atlas.listing(Params(), file)
    assert rows(by_file, "product_id") == [("1",), ("2",), ("3",), ("x/4.tar",)]
    assert by_file.dropped == {"file name that another record has": 1}
    by_title = atlas.listing(Params(products="title"), file)
    assert rows(by_title, "product_id") == [
        *[("Men/Western Wear/Jackets: Blue one",)] * 2,
        ("Women/Coats: Blue one",),
        ("x/4.tar",),
    ]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ([], 'an object with a list "images" is wanted, not a list'),
        ({"image": []}, 'an object with a list "images" is wanted, not an object without it'),
        ({"images": {}}, 'an object with a list "images" is wanted, not an object without it'),
        ({"images": [7]}, "record 1: an object is wanted, not 7"),
        ({"images": [record("1.jpg"), record("")]}, "record 2: filename: empty; the photo's file is wanted"),
        ({"images": [record(3)]}, "record 1: filename: a text is wanted, not 3"),
        ({"images": [record("1.jpg", sentences=[])]}, "record 1: sentences: [{tokens: [level, …, leaf]}] is wanted"),
        ({"images": [record("1.jpg", sentences=[{"tokens": [1]}])]}, "record 1: sentences: [{tokens: "),
        ({"images": [record("1.jpg", sentences=[{"tokens": []}])]}, "record 1: sentences: the path has no level"),
        ({"images": [record("1.jpg", "Men", " ")]}, "record 1: sentences: the path has a level without a name"),
        ({"images": [record("1.jpg", split="dev")]}, "split: train | restval | val | test is allowed, not 'dev'"),
        ({"images": [record("\ud800.jpg")]}, "record 1: filename: half a character, '\\ud800.jpg'"),
    ],
)
def test_what_is_no_such_file_is_refused_in_a_line(tmp_path: Path, written: object, said: str) -> None:
    path = tmp_path / "atlas_dataset.json"
    path.write_text(json.dumps(written))
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        atlas.listing(Params(), path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe{}", b"[" * 100_000])
def test_what_is_no_json_is_refused_in_a_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not JSON"):
        atlas.listing(Params(), path)


def test_from_the_file_to_crops_each_category_has_its_counts_and_its_losses(tmp_path: Path) -> None:
    """`init` says how the file is read, and the first two stages run by that."""
    shop = workspace.make(tmp_path / "shop")
    (shop / "data set").mkdir()
    paths = [("Men", "Jackets"), ("Women", "Jackets"), ("Women", "Coats")]
    some = [(f"{'-'.join(path)}-{number}.png", path) for path in paths for number in range(3)]
    for number, (name, _) in enumerate(some[1:]):
        Image.new("RGB", (40, 40), (20 * number, 90, 140)).save(shop / "data set" / name)
    write(shop / "data set", *(record(name, *path) for name, path in some))
    said = workspace.visnet(shop, "init", "data set/atlas_dataset.json").stdout
    assert "9 photos of 9 products in 3 categories" in said
    settings = (shop / "params.toml").read_text().replace("lost_share_max = 0.222", "lost_share_max = 0.5")
    assert 'source = "atlas"' in settings
    assert 'photos = "file"' in settings, "though the first of them is not there"
    (shop / "params.toml").write_text(settings)
    assert workspace.visnet(shop, "run", "raw_images").returncode == 0
    assert (shop / "data/raw_images/categories.csv").read_text().splitlines() == [
        "category,photos,lost",
        "Men/Jackets,3,1",
        "Women/Coats,3,0",
        "Women/Jackets,3,0",
    ]
    assert workspace.visnet(shop, "run", "crops").returncode == 0
    assert workspace.report(shop, "crops")["categories"] == 3


@pytest.mark.skipif(not (REAL / "grocery/atlas_dataset.json").exists(), reason="the data of ../shared is not here")
def test_reads_real_groceries() -> None:
    listing = atlas.listing(Params(photos="file"), REAL / "grocery/atlas_dataset.json")
    categories = Counter(listing.records["category"].to_pylist())
    assert (listing.photos.num_rows, len(categories), listing.dropped) == (3017, 81, {})
    assert {len(levels_of(category)) for category in categories} == {2, 3}
    assert Counter(listing.records["split"].to_pylist()) == {"train": 2721, "test": 296}
