"""raw_images over a feed: a photo spoken of again is asked for on condition, and only what changed is written."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.image_server import ImageServer
from tests.sources.changefeed.shop import ASKED, HASTY, QUICK, Shop, counts, jpeg
from visnet.sources import SOURCES
from visnet.sources.listing import PHOTOS, RECORDS
from visnet.storage.table import Table


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
    shop.download = HASTY if fault == "slow" else QUICK
    said = shop.run(lost_share_max=0.9)
    assert counts(said, "kept_stale", "lost", "changed") == (1, 1, 0)
    assert shop.there()["1.jpg"] == jpeg(1)
    web.plan.clear()
    shop.download = QUICK
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
