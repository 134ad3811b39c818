"""The versions that are served: how many stay, how to go back and forth, and what their readers can count on."""

import threading
from pathlib import Path

import pytest

from tests import refreshing
from tests.apart import within
from tests.refreshing import numbers, put_stock, refresh, served, setting, stock
from visnet.commands import similar
from visnet.serving import catalog, versions


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
        assert [line.split()[:2] for line in lines if "*" in line] == [["2", "*"]]
        for wrong, why in {1: "no version 1; there are 2, 3, 4", None: "no version is older than 2"}.items():
            with pytest.raises(ValueError, match=why):
                versions.rollback(wrong)


def test_what_was_rolled_back_stays_back_until_rolled_forward(shop: Path) -> None:
    for look in (1, 2):
        put_stock(shop, stock(24, look))
        refresh(shop)
    with within(shop):
        assert versions.rollback(1).endswith("version 3 and newer ones wait, until `python -m visnet roll-forward`")
        assert versions.listing().endswith(
            "version 1 is served since a rollback, 3 waits: `python -m visnet roll-forward` serves it"
        )
    refresh(shop, "publish")
    assert (numbers(shop), served(shop)) == ([1, 2, 3], 1), "the same is not published once more"
    put_stock(shop, stock(24, 3))
    setting(shop, "keep = 2")
    refresh(shop)
    assert (numbers(shop), served(shop)) == ([1, 3, 4], 1), "what is served is never removed, what waits is the newest"
    facts = versions.facts(shop / "data/publish", 4)
    assert facts["before"] == 1, "what is new is new to those who are served version 1"
    with within(shop):
        assert versions.roll_forward() == (
            "Version 4 is served; before, version 1. New versions are served as they are published"
        )
        assert versions.roll_forward() == "Version 4 is served already, and is the newest"
    put_stock(shop, stock(24, 4))
    refresh(shop)
    assert (numbers(shop), served(shop)) == ([4, 5], 5)


def test_a_rollback_holds_also_after_a_kill(shop: Path) -> None:
    """Killed before or after its own switch, before it wrote down that it switched: neither is a rollback."""
    publish = shop / "data/publish"
    put_stock(shop, stock(24, 1))
    refresh(shop)
    (versions.folder(publish, 2) / versions.SERVED).unlink()
    assert versions.waiting(publish) is None
    with within(shop):
        versions.rollback()
    assert versions.waiting(publish) == 2
    (versions.folder(publish, 2) / versions.SERVED).unlink()
    refresh(shop, "publish")
    assert (numbers(shop), served(shop)) == ([1, 2], 2), "version 2 was never served, and is built again"


def test_a_reader_keeps_its_version_until_it_closes_it(shop: Path) -> None:
    setting(shop, "keep = 1")
    held = catalog.open_current(shop / "data")
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
            with catalog.open_current(tmp_path) as version:
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
