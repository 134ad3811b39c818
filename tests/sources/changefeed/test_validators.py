"""raw_images over a feed: photos are asked for on condition, by their marks, whatever ended the run before."""

from pathlib import Path
from typing import Any

import pytest

from tests.image_server import ImageServer
from tests.sources.changefeed.shop import ASKED, Shop, counts, jpeg
from visnet.photos import validators
from visnet.storage import atomic
from visnet.storage.table import Table


def test_files_are_compared_by_time_and_size(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / "photos" / name).write_bytes(jpeg(1))
    shop = Shop(tmp_path, "")  # beside the inbox
    shop.say(a=["1.jpg"], b=["2.jpg"], c=[str(tmp_path / "photos" / "2.jpg")])
    shop.run()
    (tmp_path / "photos" / "2.jpg").write_bytes(jpeg(2))
    shop.say(a=["1.jpg"], b=["2.jpg"])
    assert counts(shop.run(), *ASKED, "changed") == (2, 1, 0, 0, 1, 1)
    assert shop.there()["2.jpg"] == jpeg(2)
    (tmp_path / "photos" / "1.jpg").unlink()
    shop.say(a=["1.jpg"])
    assert shop.run()["lost_no_such_file"] == 1


def test_a_table_without_marks_gets_them(web: ImageServer, tmp_path: Path) -> None:
    """As it stands after a build of before there were any, or a kill between the two commits."""
    shop = Shop(tmp_path, web.url(""))
    shop.say(a=["1.jpg"])
    digest = shop.run()["digest"]
    atomic.remove(shop.out / "validators.lance")
    said = shop.run()
    assert (said["digest"], *counts(said, "downloaded", "same_bytes", "changed")) == (digest, 1, 1, 0)
    assert set(validators.read(Table(shop.out / "validators.lance"))) == {"1.jpg"}


class Cut(Exception):
    """The run ends here."""


@pytest.mark.parametrize("after", range(1, 8, 2))
def test_a_run_cut_after_any_commit_ends_as_a_clean_build(
    web: ImageServer, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(tmp_path, web.url(""))
    shop.say(a=["1.jpg", "2.jpg"], b=["3.jpg"])
    shop.run()
    web.photos |= {"2.jpg": jpeg(2)}
    shop.say(a=["1.jpg", "2.jpg"], b=None, c=["4.jpg", "5.jpg"])
    left, real = after, Table.put

    def put(*arguments: Any) -> None:
        nonlocal left
        if left == 0:
            raise Cut
        left -= 1
        real(*arguments)

    with monkeypatch.context() as cut:
        cut.setattr(Table, "put", put)
        with pytest.raises(Cut):
            shop.run(commit_every=1)
    said = shop.run()
    assert shop.there() == {"1.jpg": jpeg(1), "2.jpg": jpeg(2), "4.jpg": jpeg(1), "5.jpg": jpeg(1)}
    assert shop.rebuilt() == said["digest"]


def test_the_cost_is_that_of_the_change(tmp_path: Path) -> None:
    """Bytes read and written in a refresh of 5 of 400 photos of 50 kB, against those photos' bytes."""
    (tmp_path / "photos").mkdir()
    data = jpeg(1, 160)
    for number in range(400):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(data + bytes(50_000))
    shop = Shop(tmp_path, "")
    shop.say(**{f"p{number}": [f"{number}.jpg"] for number in range(400)})
    shop.run(commit_every=50)
    for number in range(5):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(data + bytes(50_001))
    shop.say(**{f"p{number}": [f"{number}.jpg"] for number in range(10)})
    before = moved_bytes()
    said = shop.run()
    assert counts(said, *ASKED, "changed") == (10, 5, 0, 0, 5, 5)
    assert moved_bytes() - before < 3e6, "of 20 MB of photos, 0.25 MB changed"


def moved_bytes() -> int:
    """Bytes that this process has read and written so far, from the disk or its cache."""
    said = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(said["rchar"]) + int(said["wchar"])
