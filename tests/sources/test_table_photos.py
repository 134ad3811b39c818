"""raw_images over a table: a photo replaced under its own name is read again, and untrusted places are not."""

import csv
import os
from pathlib import Path
from typing import Any

import pytest

from tests.image_server import ImageServer
from tests.sources.changefeed.shop import ASKED, QUICK, counts, jpeg
from visnet.photos import validators
from visnet.pipeline.log import SILENT
from visnet.stages import raw_images
from visnet.storage import atomic
from visnet.storage.table import Table


class Said:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(SILENT, name)


class Shop:
    """A table, its photos, and the stage that reads them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out, self.log = folder, folder / "raw_images", Said()
        (folder / "images").mkdir()

    def put(self, **photos: bytes) -> None:
        for name, data in photos.items():
            (self.folder / "images" / f"{name}.jpg").write_bytes(data)

    def list(self, *names: str) -> None:
        with (self.folder / "stock.csv").open("w", newline="") as file:
            rows = [["hats", str(number), name] for number, name in enumerate(names)]
            csv.writer(file).writerows([["_category", "_id", "_name"], *rows])

    def run(self, ask_again: int = 0, **options: object) -> dict[str, Any]:
        metadata = str(self.folder / "stock.csv")
        download = {**QUICK, "allow_hosts": ["127.0.0.1"], **options}
        table = {"source": "table", "metadata": metadata, "ask_again": ask_again, "table": {"download": download}}
        return raw_images.build(out=self.out, params=raw_images.Params.model_validate(table), log=self.log)

    def there(self) -> dict[str, bytes | str]:
        rows = Table(self.out / "photos.lance").opened().to_table().to_pylist()
        assert len({row["photo_id"] for row in rows}) == len(rows)
        return {row["photo_id"]: row["lost"] or row["image"] for row in rows}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_file_replaced_under_its_own_name_is_read_again(shop: Shop) -> None:
    shop.put(a=jpeg(1), b=jpeg(2), c=jpeg(3))
    shop.list("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    first = shop.run()
    assert counts(first, "photos", "lost", *ASKED) == (4, 1, 0, 0, 0, 0, 3)
    version = Table(shop.out / "photos.lance").version
    assert counts(shop.run(), *ASKED, "changed", "added") == (0,) * 7
    shop.put(a=jpeg(4), d=jpeg(5))
    os.utime(shop.folder / "images" / "b.jpg", ns=(0, 0))  # written again, with the same bytes
    (shop.folder / "images" / "c.jpg").unlink()
    said = shop.run()
    assert counts(said, *ASKED, "changed", "lost") == (2, 0, 1, 0, 3, 2, 0)
    assert shop.there() == {"a.jpg": jpeg(4), "b.jpg": jpeg(2), "c.jpg": jpeg(3), "d.jpg": jpeg(5)}
    assert Table(shop.out / "photos.lance").version == version + 1
    assert counts(shop.run(), *ASKED) == (0,) * 5
    said = shop.run(ask_again=1)  # what has gone is lost only when it is asked for
    assert counts(said, *ASKED, "lost", "lost_no_such_file") == (4, 3, 0, 0, 0, 1, 1)
    shop.out = shop.out.with_name("clean")
    assert shop.run()["digest"] == said["digest"]


def test_addresses_are_asked_again_on_condition_when_that_is_raised(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ImageServer(jpeg(1)) as web:
        web.marks = ("ETag",)
        urls = [web.url(f"{number}.jpg") for number in range(3)]
        shop.list(*urls)
        shop.run()
        web.photos["1.jpg"] = jpeg(2)
        assert counts(shop.run(), *ASKED) == (0,) * 5
        assert counts(shop.run(ask_again=1), *ASKED, "changed") == (3, 2, 0, 0, 1, 1)
        assert (web.hits.total(), web.bodies["1.jpg"], web.not_modified.total()) == (6, 2, 2)
        assert shop.there() == {urls[0]: jpeg(1), urls[1]: jpeg(2), urls[2]: jpeg(1)}
        assert counts(shop.run(ask_again=1), *ASKED) == (0,) * 5
        web.plan["2.jpg"] = "busy_always"
        assert counts(shop.run(ask_again=2), *ASKED) == (3, 2, 0, 1, 0)
        web.plan.clear()
        assert counts(shop.run(ask_again=2), *ASKED) == (1, 1, 0, 0, 0), "what could not be asked then"


def test_a_table_of_before_there_were_stamps_is_not_downloaded_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    shop.put(a=jpeg(2))
    with ImageServer(jpeg(1)) as web:
        shop.list("a.jpg", web.url("b.jpg"))
        digest = shop.run()["digest"]
        atomic.remove(shop.out / "validators.lance")
        said = shop.run()
        assert (said["digest"], *counts(said, *ASKED), web.hits.total()) == (digest, 0, 0, 1, 0, 1, 1)
    assert set(validators.read(Table(shop.out / "validators.lance"))) == {"a.jpg"}


def test_a_refusal_is_a_reason_and_names_the_parameter(shop: Shop) -> None:
    shop.put(a=jpeg(1))
    (shop.folder / "private.jpg").write_bytes(jpeg(2))
    outside = ["../private.jpg", str(shop.folder / "private.jpg"), "/etc/passwd"]
    inside = ["http://169.254.169.254/x.jpg", "http://[::1]:1/x.jpg"]
    shop.list("a.jpg", *outside, *inside, "http://127.0.0.1:80800/a.jpg")
    said = shop.run()
    assert shop.there() == {
        "a.jpg": jpeg(1),
        **dict.fromkeys(outside, "path outside the folder"),
        inside[0]: "address not allowed: metadata service",
        inside[1]: "address not allowed: loopback",
        "http://127.0.0.1:80800/a.jpg": "bad address",
    }
    assert counts(said, "lost", "lost_path_outside_the_folder", "lost_address_not_allowed__loopback") == (6, 3, 1)
    assert "  lost 3 photos: path outside the folder; [raw_images.table.download] allow_paths may" in shop.log.lines[0]
    assert any("loopback; [raw_images.table.download] allow_hosts may" in line for line in shop.log.lines)
    shop.run(allow_paths=[str(shop.folder)])
    assert shop.there()["../private.jpg"] == jpeg(2), "a file is looked at in every run"


def test_a_proxy_that_cannot_be_used_keeps_what_came_from_the_disk(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    shop.put(a=jpeg(1), b=jpeg(2))
    shop.list("a.jpg", "http://shop.example/c.jpg", "b.jpg")
    with monkeypatch.context() as broken:
        broken.setenv("http_proxy", "http://proxy.corp:port")
        with pytest.raises(ValueError, match=r"http_proxy=http://proxy.corp:port: not an"):
            shop.run()
    assert shop.there() == {"a.jpg": jpeg(1), "b.jpg": jpeg(2)}
