"""visnet.sources.street2shop: the layout of Exact Street2Shop, with the dirt that it is known for."""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from visnet.pipeline.log import SILENT
from visnet.sources import street2shop
from visnet.sources.listing import PHOTOS, RECORDS, Listing
from visnet.sources.street2shop import Params

BOX = {"left": 1, "top": 2.5, "width": 30, "height": 40}
REAL = Path(os.environ.get("VISNET_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))


def street(photo: object, product: object, **box: object) -> dict[str, Any]:
    return {"photo": photo, "product": product, "bbox": {**BOX, **box}}


def write(root: Path, addresses: str | None = None, **files: object) -> Path:
    """Write a root folder; `hats` is sound unless given otherwise, and every photo 1..40 has an address."""
    (root / "meta" / "json").mkdir(parents=True, exist_ok=True)
    (root / "photos").mkdir(exist_ok=True)
    sound = {
        "train_pairs_hats": [street(1, 100)],
        "test_pairs_hats": [street(2, 200)],
        "retrieval_hats": [{"photo": 11, "product": 100}, {"photo": 12, "product": 200}, {"photo": 13, "product": 300}],
    }
    for name, records in {**sound, **files}.items():
        (root / "meta" / "json" / f"{name}.json").write_text(
            records if isinstance(records, str) else json.dumps(records)
        )
    every = "".join(f"{i:09d},http://a.example/{i}.jpg\n" for i in range(1, 41))
    (root / "photos" / "photos.txt").write_text(every if addresses is None else addresses)
    return root


def rows(listing: Listing, *columns: str) -> list[tuple[object, ...]]:
    return [tuple(row[column] for column in columns) for row in listing.records.to_pylist()]


def test_lists_both_sides_with_their_splits(tmp_path: Path) -> None:
    listing = street2shop.listing(Params(), write(tmp_path))
    assert (listing.photos.schema, listing.records.schema) == (PHOTOS, RECORDS)
    assert listing.dropped == {}
    assert rows(listing, "photo_id", "product_id", "side", "split") == [
        ("1", "hats/100", "street", "train"),
        ("2", "hats/200", "street", "test"),
        ("11", "hats/100", "shop", "train"),
        ("12", "hats/200", "shop", "test"),
        ("13", "hats/300", "shop", "train"),  # in no pair
    ]
    assert rows(listing, "left", "top", "width", "height")[1:3] == [(1.0, 2.5, 30.0, 40.0), (None,) * 4]
    assert {*rows(listing, "category", "colour", "gender")} == {("hats", "", "")}
    assert dict(zip(*listing.photos.to_pydict().values(), strict=True)) == {
        str(i): f"http://a.example/{i}.jpg" for i in (1, 2, 11, 12, 13)
    }


def test_a_product_of_both_splits_keeps_its_shop_photos_in_training(tmp_path: Path) -> None:
    root = write(tmp_path, test_pairs_hats=[street(2, 200), street(3, 100)])
    listing = street2shop.listing(Params(), root)
    assert ("hats/100", "shop", "train") in rows(listing, "product_id", "side", "split")


def test_known_dirt_is_kept_or_counted(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        train_pairs_hats=[
            street(1, 100),
            street(1, 100),  # the same again
            street(1, 100, left=2),  # another box on the same photo
            street(1, 101),  # another product on the same photo
            street("000000004", "0100"),  # zeros here and none there
            street(5, 100, left=-20, top=-3, width=9000, height=9000.5),  # beyond the photo: the crop is clamped
            {"photo": 6, "product": 100, "bbox": {"left": 1, "top": 1}},
            {"photo": 6, "product": 100, "bbox": {"left": 1, "top": 1, "width": None, "height": 3}},
            {"photo": 6, "product": 100},
            street(7, 100, width=0),
            street(8, 100, height=-4),
            street(999, 100),  # no address
            {"photo": 999, "product": 100},  # two faults: counted once
        ],
    )
    listing = street2shop.listing(Params(), root)
    assert listing.dropped == {
        "box without left, top, width or height": 4,
        "box of no size": 2,
        "photo id not in photos.txt": 1,
        "exact duplicate record": 1,
    }
    kept = [row for row in rows(listing, "photo_id", "product_id", "left", "split") if row[3] == "train"][:5]
    assert [row[:3] for row in kept] == [
        ("1", "hats/100", 1.0),
        ("1", "hats/100", 2.0),
        ("1", "hats/101", 1.0),
        ("4", "hats/100", 1.0),
        ("5", "hats/100", -20.0),
    ]
    ids = listing.photos["photo_id"].to_pylist()
    assert len(ids) == len(set(ids))
    assert not {"6", "7", "8", "999"} & set(ids)  # a photo that no record uses is not asked for


def test_addresses_keep_their_commas_and_the_later_line_counts(tmp_path: Path) -> None:
    lines = "\ufeff000000001,http://a/1.jpg,w=224,h=9\r\n\n2,http://old/2\n11,https://b/11?x=1,2\n12,images/12.jpg\n"
    root = write(tmp_path, lines + "13,http://c/13\n002,http://new/2\n")
    listing = street2shop.listing(Params(), root)
    assert dict(zip(*listing.photos.to_pydict().values(), strict=True)) == {
        "1": "http://a/1.jpg,w=224,h=9",
        "2": "http://new/2",
        "11": "https://b/11?x=1,2",
        "12": str(tmp_path / "images" / "12.jpg"),  # a copy that is already here
        "13": "http://c/13",
    }


def test_categories_are_chosen_by_name_and_products_are_per_category(tmp_path: Path) -> None:
    shoes = {
        "train_pairs_old_shoes": [street(21, 100)],
        "test_pairs_old_shoes": [],
        "retrieval_old_shoes": [{"photo": 22, "product": 100}],
    }
    root = write(tmp_path, **shoes)
    (root / "meta" / "json" / "notes.txt").touch()
    both = street2shop.listing(Params(), root)
    assert {*rows(both, "category")} == {("hats",), ("old_shoes",)}
    assert {"hats/100", "old_shoes/100"} <= {*both.records["product_id"].to_pylist()}
    one = street2shop.listing(Params(categories=["old_shoes"]), root)
    assert rows(one, "product_id", "side") == [("old_shoes/100", "street"), ("old_shoes/100", "shop")]
    assert one.photos["photo_id"].to_pylist() == ["21", "22"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"train_pairs_hats": "[{"}, "train_pairs_hats.json: not JSON: "),
        ({"train_pairs_hats": '{"photo": 1}'}, "train_pairs_hats.json: a list of records is wanted, not dict"),
        ({"train_pairs_hats": [street(1, 1), 7]}, "train_pairs_hats.json: record 2: an object is wanted, not 7"),
        ({"train_pairs_hats": [street(None, 1)]}, "record 1: photo: a whole number is wanted, not None"),
        ({"train_pairs_hats": [street(1, 1.5)]}, "record 1: product: a whole number is wanted, not 1.5"),
        ({"train_pairs_hats": [street(True, 1)]}, "record 1: photo: a whole number is wanted, not True"),
        ({"retrieval_hats": [{"photo": "x1", "product": 1}]}, "retrieval_hats.json: record 1: photo: a whole number"),
        ({"test_pairs_hats": [street(1, 1, top="2,5")]}, "record 1: bbox.top: a number of pixels is wanted, not '2,5'"),
        ({"test_pairs_hats": [street("٣", 1)]}, "record 1: photo: a whole number is wanted, not '٣'"),
        ({"test_pairs_hats": "[" * 100_000}, "test_pairs_hats.json: not JSON: too many brackets"),
        (
            {"test_pairs_hats": '[{"photo": 1, "product": 1, "bbox": {"left": NaN}}]'},
            "test_pairs_hats.json: not JSON: NaN is no number",
        ),
        ({"test_pairs_hats": [{**street(1, 1), "bbox": [1, 2, 3, 4]}]}, "record 1: bbox: {left, top, width, height}"),
        ({"train_pairs_hats": [], "test_pairs_hats": []}, "category 'hats' has no usable street record"),
        ({"retrieval_hats": [{"photo": 999, "product": 1}]}, "category 'hats' has no usable shop record"),
        ({"retrieval_caps": []}, "train_pairs_caps.json: no such file; a category needs all of train_pairs, "),
        ({"addresses": "1,http://a\nnonsense\n"}, "photos.txt: line 2: `id,url` is wanted, not 'nonsense'"),
        ({"addresses": "1,\n"}, "photos.txt: line 1: `id,url` is wanted, not '1,'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_file_record_and_field(
    tmp_path: Path, files: dict[str, Any], said: str
) -> None:
    root = write(tmp_path, **files)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        street2shop.listing(Params(), root)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_unknown_categories(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="meta/json: no such folder"):
        street2shop.listing(Params(), tmp_path)
    (tmp_path / "meta" / "json").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"no file \{train_pairs,test_pairs,retrieval\}_<category>\.json in it"):
        street2shop.listing(Params(), tmp_path)
    write(tmp_path)
    with pytest.raises(ValueError, match="no category shoes; there are hats"):
        street2shop.listing(Params(categories=["hats", "shoes"]), tmp_path)
    (tmp_path / "photos" / "photos.txt").write_bytes(b"1,http://a/\xff\n")
    with pytest.raises(ValueError, match=r"photos\.txt: not UTF-8"):
        street2shop.listing(Params(), tmp_path)
    (tmp_path / "photos" / "photos.txt").unlink()
    assert len(street2shop.pairs(tmp_path)) == 5  # needs no addresses
    with pytest.raises(ValueError, match=r"photos/photos\.txt: no such file"):
        street2shop.listing(Params(), tmp_path)


def test_fetch_answers_for_every_photo(tmp_path: Path) -> None:
    root = write(tmp_path, "".join(f"{i},images/{i}.jpg\n" for i in range(1, 41)))
    wanted = list(zip(*street2shop.listing(Params(), root).photos.to_pydict().values(), strict=True))
    answers = list(street2shop.fetch(Params(), wanted, metadata=root, log=SILENT))
    assert {(a.photo_id, a.lost) for a in answers} == {(i, "no such file") for i in ("1", "2", "11", "12", "13")}


@pytest.mark.real
def test_the_whole_exact_street2shop_counts_as_published() -> None:
    root = REAL / "street2shop_meta"
    if not root.is_dir():
        pytest.skip(f"{root} is not here")
    began = time.monotonic()
    table = street2shop.pairs(root)
    assert time.monotonic() - began < 10
    counts = table.groupby(["category", "kind"]).size().unstack()
    assert {category: (row.train, row.test) for category, row in counts.iterrows()} == {
        "bags": (579, 174),
        "belts": (235, 89),
        "dresses": (12_875, 3_292),
        "eyewear": (358, 138),
        "footwear": (6_486, 2_178),
        "hats": (400, 86),
        "leggings": (1_641, 517),
        "outerwear": (1_945, 666),
        "pants": (600, 130),
        "skirts": (3_337, 604),
        "tops": (2_173, 763),
    }
    assert table["kind"].value_counts().to_dict() == {"shop": 44_198, "train": 30_629, "test": 8_637}
    test = table[table["kind"] == "test"]
    assert len(test[["category", "product"]].drop_duplicates()) == 2_587
    assert len(test[["category", "photo"]].drop_duplicates()) == 6_956
    faulty = table[(table["kind"] != "shop") & ~(table["width"] > 0)]
    assert [*zip(faulty["category"], faulty["photo"], faulty["product"], strict=True)] == [("bags", "8288", "4916")]
