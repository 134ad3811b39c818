"""raw_images over a feed: a photo spoken of again is asked for on condition, and only what changed is written."""

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.image_server import ImageServer
from visnet.photos import validators
from visnet.pipeline.log import SILENT
from visnet.sources import SOURCES
from visnet.sources.listing import PHOTOS, RECORDS
from visnet.stages import raw_images
from visnet.storage import atomic
from visnet.storage.table import Table

QUICK = {"timeout_s": 1.0, "deadline_s": 2.0, "backoff_s": 0.0, "tries": 1}


def jpeg(seed: int, side_px: int = 16) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side_px, side_px, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


class Shop:
    """A feed in a folder, its batches numbered, and the stage that reads it."""

    def __init__(self, folder: Path, photos: str) -> None:
        self.inbox, self.out, self.photos, self.seq = folder / "inbox", folder / "raw_images", photos, 0
        self.inbox.mkdir()

    def say(self, **photos: list[str] | None) -> None:
        """Put a batch: product -> its photos, None = it is gone."""
        lines = []
        for product_id, paths in photos.items():
            self.seq += 1
            row: dict[str, Any] = {"product_id": product_id, "seq": self.seq, "op": "upsert" if paths else "delete"}
            lines.append(json.dumps(row | ({"photos": paths, "category": "hats"} if paths else {})))
        (self.inbox / f"{self.seq:04d}.jsonl").write_text("\n".join(lines) + "\n")

    def run(self, **more: object) -> dict[str, Any]:
        feed = {"photos": self.photos, "download": QUICK}
        table = {"source": "feed", "metadata": str(self.inbox), "feed": feed, **more}
        return raw_images.build(out=self.out, params=raw_images.Params.model_validate(table), log=SILENT)

    def rebuilt(self) -> str:
        """Return the digest of a build from nothing."""
        kept, self.out = self.out, self.out.with_name("clean")
        digest = self.run()["digest"]
        self.out = kept
        return str(digest)

    def there(self) -> dict[str, bytes | str]:
        rows = Table(self.out / "photos.lance").opened().to_table().to_pylist()
        assert len({row["photo_id"] for row in rows}) == len(rows)
        return {row["photo_id"]: row["lost"] or row["image"] for row in rows}


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ImageServer(jpeg(1)) as server:
        server.marks = ("ETag",)
        yield server


def counts(report: dict[str, Any], *names: str) -> tuple[int, ...]:
    return tuple(report[name] for name in names)


ASKED = ("asked_conditionally", "not_modified", "same_bytes", "kept_stale", "downloaded")


def test_unchanged_photos_are_not_sent_again(web: ImageServer, tmp_path: Path) -> None:
    shop = Shop(tmp_path, web.url(""))
    shop.say(a=["1.jpg", "2.jpg"], b=["3.jpg"], c=["4.jpg"])
    first = shop.run()
    assert (counts(first, *ASKED), first["photos"], first["added"]) == ((0, 0, 0, 0, 4), 4, 4)
    assert counts(shop.run(), *ASKED, "added", "changed", "removed") == (0,) * 8
    assert web.hits.total() == 4, "without a new record nothing is asked"
    web.photos["2.jpg"] = jpeg(2)
    shop.say(a=["1.jpg", "2.jpg"], b=None)  # a new price, say; and one photo was taken anew
    said = shop.run()
    assert counts(said, *ASKED) == (2, 1, 0, 0, 1)
    assert counts(said, "added", "changed", "removed", "products") == (0, 1, 1, 2)
    assert said["megabytes_downloaded"] == round(len(jpeg(2)) / 1e6, 3)
    assert web.bodies == {"1.jpg": 1, "2.jpg": 2, "3.jpg": 1, "4.jpg": 1}
    assert shop.there() == {"1.jpg": jpeg(1), "2.jpg": jpeg(2), "4.jpg": jpeg(1)}
    assert shop.rebuilt() == said["digest"]


def test_a_server_without_marks_sends_bytes_that_change_nothing(web: ImageServer, tmp_path: Path) -> None:
    web.marks = ()
    shop = Shop(tmp_path, web.url(""))
    shop.say(a=["1.jpg"])
    shop.run()
    version = Table(shop.out / "photos.lance").version
    shop.say(a=["1.jpg"])
    assert counts(shop.run(), *ASKED, "changed") == (0, 0, 1, 0, 1, 0)
    assert Table(shop.out / "photos.lance").version == version
    assert counts(shop.run(), *ASKED) == (0,) * 5


def test_a_batch_that_comes_meanwhile_is_taken_in_by_the_same_run(web: ImageServer, tmp_path: Path) -> None:
    """DVC notes what a stage has read when it has ended: what came in between would count as read."""
    shop = Shop(tmp_path, web.url(""))
    shop.say(a=["1.jpg", "2.jpg"])
    web.on_hit = {"2.jpg": lambda: shop.say(a=["2.jpg"], b=["3.jpg"]), "3.jpg": lambda: shop.say(c=["2.jpg"])}
    said = shop.run()
    assert counts(said, "photos", "added", "removed", "products") == (2, 3, 1, 3)
    assert counts(said, "feed_batches", "feed_batches_new", "feed_records", "records") == (3, 3, 4, 3)
    assert shop.rebuilt() == said["digest"]


def test_a_batch_that_never_stands_still_is_named(
    web: ImageServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(tmp_path, web.url(""))
    shop.say(a=["1.jpg"])
    look = SOURCES["feed"].listing

    def grown(*asked: Any) -> Any:
        found = look(*asked)
        shop.say(a=["1.jpg"])
        return found

    monkeypatch.setattr(SOURCES["feed"], "listing", grown)
    with pytest.raises(ValueError, match=r"\[raw_images\] metadata: .*inbox is still written to; run this again"):
        shop.run()


@pytest.mark.parametrize("fault", ["busy_always", "slow", "short", "reset"])
def test_what_may_pass_takes_no_photo_away_and_is_asked_again(web: ImageServer, tmp_path: Path, fault: str) -> None:
    shop = Shop(tmp_path, web.url(""))
    shop.say(a=["1.jpg"])
    shop.run()
    web.photos["1.jpg"] = jpeg(5)
    web.plan |= {"1.jpg": fault, "2.jpg": fault}
    shop.say(a=["1.jpg"], b=["2.jpg"])
    said = shop.run(lost_share_max=0.9)
    assert counts(said, "kept_stale", "lost", "changed") == (1, 1, 0)
    assert shop.there()["1.jpg"] == jpeg(1)
    web.plan.clear()
    said = shop.run()  # no new record is needed
    assert counts(said, "kept_stale", "lost") == (0, 0)
    assert shop.there() == {"1.jpg": jpeg(5), "2.jpg": jpeg(1)}


@pytest.mark.parametrize(("fault", "reason"), [("gone", "http 404"), ("html", "undecodable: not an image")])
def test_what_is_final_loses_the_photo_until_it_is_spoken_of(
    web: ImageServer, tmp_path: Path, fault: str, reason: str
) -> None:
    shop = Shop(tmp_path, web.url(""))
    shop.say(a=["1.jpg"])
    shop.run()
    web.plan["1.jpg"] = fault
    shop.say(a=["1.jpg"])
    said = shop.run()
    assert counts(said, "lost", "kept_stale", "changed") == (1, 0, 1)
    assert shop.there() == {"1.jpg": reason}
    web.plan.clear()
    assert shop.run()["lost"] == 1
    shop.say(a=["1.jpg"])
    assert counts(shop.run(), "lost", *ASKED) == (0, 0, 0, 0, 0, 1)
    assert shop.there() == {"1.jpg": jpeg(1)}


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


def test_a_feed_reads_neither_this_disk_nor_this_network(web: ImageServer, tmp_path: Path) -> None:
    """Whoever writes a feed learns nothing of what stands outside the folder of photos, there or not."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(jpeg(1))
    (tmp_path / "private.jpg").write_bytes(jpeg(2))
    (tmp_path / "photos" / "link.jpg").symlink_to(tmp_path / "private.jpg")
    port = web.server_address[1]
    outside = ["../private.jpg", "../../../../etc/passwd", "/etc/passwd", "link.jpg", f"file://{tmp_path}/private.jpg"]
    hosts = {"localhost": "loopback", "127.0.0.1": "loopback", "2130706433": "loopback", "[::1]": "loopback"}
    hosts |= {"user:pass@127.0.0.1": "user and password in it", "169.254.169.254": "metadata service"}
    shop = Shop(tmp_path, "")
    shop.say(a=["1.jpg", *outside], b=[f"http://{host}:{port}/x.jpg" for host in hosts])
    said = shop.run()
    assert counts(said, "photos", "lost", "lost_path_outside_the_folder") == (12, 11, 5)
    assert shop.there() == {
        "1.jpg": jpeg(1),
        **dict.fromkeys(outside, "path outside the folder"),
        **{f"http://{host}:{port}/x.jpg": f"address not allowed: {why}" for host, why in hosts.items()},
    }
    assert not web.hits


def test_the_listing_is_that_of_every_source(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "http://shop")
    shop.say(a=["1.jpg", "2.jpg"], b=["2.jpg", "https://x/3.jpg"], c=["4.jpg"])
    shop.say(c=None)
    feed = SOURCES["feed"]
    listing = feed.listing(feed.Params(photos="http://shop/"), shop.inbox, tmp_path / "state")
    assert (listing.photos.schema, listing.records.schema, listing.dropped) == (PHOTOS, RECORDS, {})
    assert dict(zip(*listing.photos.to_pydict().values(), strict=True)) == {
        "1.jpg": "http://shop/1.jpg",
        "2.jpg": "http://shop/2.jpg",
        "https://x/3.jpg": "https://x/3.jpg",
    }
    assert listing.stamps == {"1.jpg": "1/", "2.jpg": "2/", "https://x/3.jpg": "2/"}, "the newest that names it"
    assert [tuple(row.values())[:4] for row in listing.records.to_pylist()] == [
        ("1.jpg", "a", "hats", "shop"),
        ("2.jpg", "a", "hats", "shop"),
        ("2.jpg", "b", "hats", "shop"),
        ("https://x/3.jpg", "b", "hats", "shop"),
    ]


def test_a_missing_inbox_and_an_empty_one_are_said_in_one_line(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "")
    with pytest.raises(ValueError, match="lists no photo"):
        shop.run()
    os.rmdir(shop.inbox)
    with pytest.raises(ValueError, match="does not exist"):
        shop.run()
    shop.inbox.touch()
    with pytest.raises(ValueError, match="is no folder"):
        shop.run()
