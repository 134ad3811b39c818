"""Which files may be read: those of the source's folder, links resolved, and of folders that the parameters name."""

import os
import time
import unicodedata
from pathlib import Path

import pyarrow as pa
import pytest

from tests.photos.web.fetching import fetch_all
from visnet.photos.web import locators
from visnet.photos.web.locators import Disk

NFC, NFD = (unicodedata.normalize(form, "größe é.jpg") for form in ("NFC", "NFD"))


@pytest.fixture
def shop(tmp_path: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos in a folder, one beside it, and links of all kinds."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("photos/1.jpg", "photos/sub/2.jpg", "private.jpg", "photos-too/3.jpg", "home/4.jpg", "other/5.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(photo)
    photos = tmp_path / "photos"
    (photos / "inside.jpg").symlink_to("sub/2.jpg")
    (photos / "out.jpg").symlink_to(tmp_path / "private.jpg")
    (photos / "far").symlink_to(tmp_path / "other")
    (photos / "dangling.jpg").symlink_to("none.jpg")
    (photos / "circle.jpg").symlink_to("circle.jpg")
    (photos / "~").mkdir()
    return tmp_path


def lost(shop: Path, said: list[str], **options: object) -> dict[str, str | None]:
    """Fetch photos as a source that starts at shop/photos does; why each is lost."""
    base = locators.start("photos", shop)
    placed = locators.placed(pa.array(said), base).to_pylist()
    return {a.photo_id: a.lost for a in fetch_all(list(zip(said, placed, strict=True)), base=base, **options)}


def test_files_stay_in_the_sources_folder(shop: Path) -> None:
    outside = [
        *(
            "../private.jpg",
            "../../../../etc/passwd",
            "sub/../../private.jpg",
            "/etc/passwd",
            "/etc/none",
            "../none.jpg",
        ),
        *("out.jpg", "far/5.jpg", "far/none.jpg", "../photos-too/3.jpg", "~/4.jpg", f"{shop}/private.jpg", ".."),
        *(
            f"file://{shop}/private.jpg",
            f"file:///{shop}/photos/..%2fprivate.jpg",
            "..\\private.jpg",
            "%2e%2e/private.jpg",
        ),
        *(f"{shop}/photos/../private.jpg", "FILE:///etc/passwd"),
    ]
    assert lost(shop, outside) == dict.fromkeys(outside, "path outside the folder"), "whether they are there or not"
    inside = [
        *(
            "1.jpg",
            "sub/2.jpg",
            "./sub/../1.jpg",
            "inside.jpg",
            "sub//2.jpg",
            f"{shop}/photos/1.jpg",
            "../photos/1.jpg",
        ),
        *(f"file://{shop}/photos/1.jpg", f"file://localhost{shop}/photos/sub/2.jpg", f"file://{shop}/photos/%31.jpg"),
    ]
    assert lost(shop, inside) == dict.fromkeys(inside)


def test_folders_that_the_parameters_name_are_read_too(shop: Path) -> None:
    said = ["out.jpg", "far/5.jpg", "~/4.jpg", f"{shop}/other/5.jpg", "../private.jpg"]
    assert lost(shop, said, allow_paths=[f"{shop}/other", "~"]) == {
        **dict.fromkeys(said),
        "out.jpg": "path outside the folder",
        "../private.jpg": "path outside the folder",
    }
    assert lost(shop, said, allow_paths=["/"]) == dict.fromkeys(said)


def test_what_cannot_be_read_is_said_for_what_it_is(shop: Path) -> None:
    expected = {
        "none.jpg": "no such file",
        "1.jpg/x.jpg": "no such file",
        "dangling.jpg": "no such file",
        "circle.jpg": "a circle of links",
        "sub": "is a folder",
        "sub/": "is a folder",
        ".": "is a folder",
        "x" * 300: "name too long",
        "null\0byte": "bad path",
        "\x01": "no such file",
        "file://server/x.jpg": "bad address",
        "file:x.jpg": "bad address",
        "C:\\1.jpg": "path of a Windows machine",
        "nas:/1.jpg": "no such file",
    }
    assert lost(shop, list(expected)) == expected


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_not_said_to_be_missing(shop: Path) -> None:
    (shop / "photos" / "1.jpg").chmod(0)
    assert lost(shop, ["1.jpg"]) == {"1.jpg": "no permission"}


def test_spellings_of_other_systems_find_the_file_that_is_meant(shop: Path, photo: bytes) -> None:
    photos = shop / "photos"
    for name in (NFD, "a b.jpg", "100%.jpg", "back\\slash.jpg", "%41.jpg", "A.jpg"):
        (photos / name).write_bytes(photo)
    found = [NFC, "sub\\2.jpg", "a%20b.jpg", "100%.jpg", "back\\slash.jpg", ".\\sub\\2.jpg", f"{photos}/a%20b.jpg"]
    assert lost(shop, found) == dict.fromkeys(found)
    disk = Disk(str(photos))
    assert disk.find(f"{photos}/%41.jpg")[0].endswith("/%41.jpg"), "as it is written, where that is there"
    (photos / "sub" / "x y.jpg").write_bytes(photo)
    (photos / "sub\\x y.jpg").write_bytes(photo)
    assert lost(shop, ["sub\\x%20y.jpg"]) == {"sub\\x%20y.jpg": "more than one file may be meant"}


def test_the_other_form_of_accents_is_found_both_ways(tmp_path: Path, photo: bytes) -> None:
    for there, said in ((NFC, NFD), (NFD, NFC)):
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / there).write_bytes(photo)
        assert lost(tmp_path, [said]) == {said: None}
        (tmp_path / "photos" / there).unlink()


@pytest.mark.parametrize(
    ("said", "read_as"),
    [
        ("//cdn.example/x.jpg", "https://cdn.example/x.jpg"),
        ("HTTP://Shop.example/x.jpg", "HTTP://Shop.example/x.jpg"),
        ("  https://a/x y.jpg ", "https://a/x y.jpg"),
        ("https://a\\b\\x.jpg?q=\\", "https://a/b/x.jpg?q=\\"),
        ("a:b.jpg", None),
        ("img/http://x.jpg", None),
        ("/a//b.jpg", None),
    ],
)
def test_addresses_are_told_from_paths(said: str, read_as: str | None) -> None:
    assert locators.address(said) == read_as
    placed = locators.placed(pa.array([said]), "/photos")[0].as_py()
    assert placed == (said if read_as or said.startswith("/") else f"/photos/{said}")


def test_relative_paths_start_where_the_parameters_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert locators.start("photos", tmp_path) == f"{tmp_path}/photos"
    assert locators.start("../elsewhere/", tmp_path / "a") == f"{tmp_path}/a/../elsewhere"
    assert locators.start("/srv/photos", tmp_path) == "/srv/photos"
    assert locators.start("~/photos", tmp_path) == "/home/me/photos"
    assert locators.start("https://cdn.example/p/", tmp_path) == "https://cdn.example/p"


def test_a_hundred_thousand_files_are_looked_at_in_seconds(tmp_path: Path) -> None:
    names = [f"{i // 1000}/{i}.jpg" for i in range(100_000)]
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "7001.jpg").touch()
    photos = pa.table({"photo_id": names, "locator": locators.placed(pa.array(names), str(tmp_path))})
    began = time.process_time()
    stamps = locators.stamps(photos, str(tmp_path), ())
    assert time.process_time() - began < 4  # processor seconds; about 0.6 here
    assert len(stamps) == 100_000
    assert [name for name, stamp in stamps.items() if stamp] == ["7/7001.jpg"]
