"""A folder of photos is a catalog: what its files are called says which product and category they are of."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.sources.changefeed.shop import jpeg
from visnet.pipeline import stage
from visnet.pipeline.log import SILENT
from visnet.sources import folder
from visnet.sources.folder import Params
from visnet.sources.listing import PHOTOS, RECORDS, Listing
from visnet.stages import raw_images
from visnet.storage.table import Table


def put(root: Path, *names: str | bytes) -> Path:
    """Write photos, each another, under these names."""
    root.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        file = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "wb") as opened:
            opened.write(jpeg(number))
    return root


def products(listing: Listing) -> dict[str, tuple[str, str]]:
    """Return photo -> product and category."""
    return {row["photo_id"]: (row["product_id"], row["category"]) for row in listing.records.to_pylist()}


def build(root: Path, **table: object) -> dict[str, Any]:
    params = {"source": "folder", "metadata": str(root), **table}
    return raw_images.build(
        out=root.parent / "raw_images", params=stage.parse("raw_images", params, "params.toml"), log=SILENT
    )


def rows(root: Path) -> dict[str, bytes | str]:
    read = Table(root.parent / "raw_images/photos.lance").read(["photo_id", "image", "lost"]).to_pylist()
    return {row["photo_id"]: row["lost"] or row["image"] for row in read}


def test_each_file_is_a_product_and_the_folders_above_it_are_its_category(tmp_path: Path) -> None:
    root = put(tmp_path / "shop", "a.jpg", "hats/b.JPEG", "hats/summer/c d.png", "hats/summer/e.f.webp")
    listing = folder.listing(Params(), root)
    assert (listing.photos.schema, listing.records.schema) == (PHOTOS, RECORDS)
    assert products(listing) == {
        "a.jpg": ("a", "all"),
        "hats/b.JPEG": ("hats/b", "hats"),
        "hats/summer/c d.png": ("hats/summer/c d", "hats/summer"),
        "hats/summer/e.f.webp": ("hats/summer/e.f", "hats/summer"),
    }
    assert {row["side"] for row in listing.records.to_pylist()} == {"shop"}


def test_or_each_folder_is_a_product_and_a_photo_beside_them_is_of_none(tmp_path: Path) -> None:
    root = put(tmp_path / "shop", "loose.jpg", "1/a.jpg", "1/b.jpg", "bags/2/c.jpg")
    listing = folder.listing(Params(products="folder"), root)
    assert products(listing) == {"1/a.jpg": ("1", "all"), "1/b.jpg": ("1", "all"), "bags/2/c.jpg": ("bags/2", "bags")}
    assert listing.dropped == {"photo in no product's folder": 1}


def test_what_is_no_photo_or_hidden_is_passed_over_and_a_link_that_leads_back_ends(tmp_path: Path) -> None:
    root = put(tmp_path / "shop", "a.jpg", ".b.jpg", ".git/c.jpg", "notes.txt", "hats/d.jpg")
    (root / "hats" / "round").symlink_to(root)
    listing = folder.listing(Params(), root)
    assert list(products(listing)) == ["a.jpg", "hats/d.jpg"]
    assert listing.dropped == {"not called as photos are": 1}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "shop holds no photo; found: nothing; photos end in .avif, .bmp"),
        (("a.txt", "b.pdf"), "shop holds no photo; found: 2 not called as photos are; photos end in"),
    ],
)
def test_a_folder_without_photos_says_what_it_holds(names: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build(put(tmp_path / "shop", *names))
    assert "\n" not in str(caught.value)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    with pytest.raises(ValueError, match=r'a\.jpg is a file; the source "folder" wants a folder of photos'):
        build(tmp_path / "a.jpg")


def test_one_photo_is_read(tmp_path: Path) -> None:
    root = put(tmp_path / "shop", "only.jpg")
    assert (build(root)["photos"], rows(root)) == (1, {"only.jpg": jpeg(0)})


ODD: tuple[str | bytes, ...] = (
    *("ä.jpg", "a\u0308.jpg", "日本/靴.jpg", "50% off.jpg", "%41.jpg", "a?b#c.jpg", "back\\slash.jpg", " lead.jpg"),
    *("new\nline.jpg", "quote'\".jpg", "emoji👒.jpg", "file:x.jpg", "http:a.jpg", "~tilde.jpg", "x" * 240 + ".jpg"),
    *(b"latin-\xe4.jpg", b"\xff\xfe/\x80.jpg", b"koi-\xd0\xc9.jpg"),
)


def test_names_of_any_bytes_are_found_and_each_photo_is_its_own(tmp_path: Path) -> None:
    root = put(tmp_path / "shop", *ODD)
    report = build(root)
    assert (report["photos"], report["lost"]) == (len(ODD), 0)
    found = rows(root)
    assert sorted(found.values(), key=str) == sorted((jpeg(number) for number in range(len(ODD))), key=str)
    assert {"latin-%E4.jpg", "%FF%FE/%80.jpg", "50% off.jpg", "ä.jpg", "a\u0308.jpg"} <= found.keys()


def test_ten_thousand_names_in_odd_encodings_are_listed_in_seconds(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    for number in range(20):
        os.makedirs(os.path.join(os.fsencode(root), b"k\xe4se-%d" % number))
    for number in range(10_000):
        path = os.path.join(os.fsencode(root), b"k\xe4se-%d" % (number % 20), b"%d-\xf6.jpg" % number)
        os.close(os.open(path, os.O_CREAT))
    began_s = time.monotonic()
    listing = folder.listing(Params(), root)
    assert listing.photos.num_rows == len(set(listing.photos["photo_id"].to_pylist())) == 10_000
    assert len(set(listing.records["category"].to_pylist())) == 20
    assert time.monotonic() - began_s < 60


def test_a_byte_and_what_is_written_for_it_are_not_two_photos_of_one_id(tmp_path: Path) -> None:
    root = put(tmp_path / "shop", b"\xe4.jpg", "%E4.jpg")
    listing = folder.listing(Params(), root)
    assert listing.photos.num_rows == 1
    assert listing.dropped == {"name that is written like another": 1}


def test_a_photo_that_comes_goes_or_is_replaced_is_news(tmp_path: Path) -> None:
    root = put(tmp_path / "shop", "a.jpg", "b.jpg", b"c-\xe4.jpg")
    build(root)
    assert [build(root)[count] for count in ("added", "changed", "removed", "downloaded")] == [0, 0, 0, 0]
    (root / "a.jpg").unlink()
    (root / "b.jpg").write_bytes(jpeg(8))
    Path(os.fsdecode(os.path.join(os.fsencode(root), b"c-\xe4.jpg"))).write_bytes(jpeg(9))
    put(root, "d.jpg")
    report = build(root)
    assert [report[count] for count in ("added", "changed", "removed")] == [1, 2, 1]
    assert rows(root) == {"b.jpg": jpeg(8), "c-%E4.jpg": jpeg(9), "d.jpg": jpeg(0)}
