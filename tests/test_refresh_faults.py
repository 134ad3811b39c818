"""Refreshes that are killed, started twice, or left without room: no product is lost, doubled or stale afterwards.

`VISNET_KILLS=100` for the whole number. What a run comes to is compared with a build of the same stock from nothing.
"""

import itertools
import os
import random
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests import refreshing
from tests.refreshing import REFRESH, begin, make, put_model, put_stock, refresh_apart, state, stock
from visnet.embedding import vectors
from visnet.serving import catalog
from visnet.storage import repair
from visnet.storage.table import Table

KILLS = int(os.environ.get("VISNET_KILLS", "8"))
IN_A_ROW = 3
FIRST = stock(12)
LEAST_BYTES = {"publish": 300}  # what it writes is less than the first commit of the others
CHANGED = {**stock(16), "p003": 1, "p005": 1}
HISTORY = [  # the shop's stock after each step, and which model it has
    (CHANGED, 1),
    (CHANGED, 2),
    ({product: int(product[1:]) % 2 for product in stock(14)}, 3),
    (FIRST, 1),
]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop that was built and published."""
    folder = make(tmp_path_factory.mktemp("faults") / "shop", FIRST)
    refresh_apart(folder)
    return folder


@pytest.fixture
def shop(first: Path, tmp_path: Path) -> Path:
    """A copy of the shop, to be changed."""
    return Path(shutil.copytree(first, tmp_path / "shop", symlinks=True))


class Reader(threading.Thread):
    """Opens what is served, over and over, and holds its parts against what it says of itself."""

    def __init__(self, data: Path) -> None:
        super().__init__()
        self.data, self.done = data, threading.Event()
        self.opened: set[int] = set()
        self.faults: list[str] = []

    def run(self) -> None:
        """Read until told to stop."""
        while not self.done.wait(0.05):
            try:
                with catalog.open_current(self.data) as version:
                    self.faults += refreshing.torn(version)
                    self.opened.add(version.number)
            except (ValueError, OSError) as error:
                self.faults.append(str(error))


@pytest.fixture
def reader(shop: Path) -> Iterator[Reader]:
    """A reader that reads during the whole test."""
    thread = Reader(shop / "data")
    thread.start()
    yield thread
    thread.done.set()
    thread.join()
    assert thread.faults == [], "a reader saw something that is no whole version"


def change(shop: Path, step: int) -> None:
    products, model = HISTORY[step]
    put_stock(shop, products)
    put_model(shop, model)


def test_a_refresh_that_is_killed_at_any_instant_ends_as_a_clean_build(
    shop: Path, reader: Reader, tmp_path: Path
) -> None:
    clean, wall_s = {}, {}
    undisturbed = Path(shutil.copytree(shop, tmp_path / "undisturbed", symlinks=True))
    for step, (products, model) in enumerate(HISTORY):
        fresh = make(tmp_path / f"fresh-{step}", products, model)
        refresh_apart(fresh)
        clean[step] = state(fresh)
        change(undisturbed, step)
        wall_s[step] = refresh_apart(undisturbed)
        assert state(undisturbed) == clean[step]
    moments, landed = random.Random(KILLS), 0
    for turn in itertools.count():
        step = turn % len(HISTORY)
        change(shop, step)
        for _ in range(IN_A_ROW):
            done = begin(shop).end(kill_after_s=moments.uniform(0.0, wall_s[step]))
            assert done.returncode in (0, -9), done.stderr
            landed += done.returncode == -9
            if (shop / "data/catalog_embeddings/embeddings.lance").exists():
                vectors.read_vectors(shop / "data/catalog_embeddings")  # of one model at every instant
            if done.returncode == 0:
                break
        refresh_apart(shop)
        assert state(shop) == clean[step], f"step {step} after {landed} kills"
        assert refreshing.leftovers(shop) == []
        if landed >= KILLS:
            break
        assert turn < KILLS, "nearly all kills came too late"
    assert len(reader.opened) > 1, "the reader saw one version only"


def test_two_refreshes_at_once_are_one_after_the_other_or_one_is_refused(shop: Path, reader: Reader) -> None:
    undisturbed = Path(shutil.copytree(shop, shop.parent / "undisturbed", symlinks=True))
    change(undisturbed, 2)
    refresh_apart(undisturbed)
    change(shop, 2)
    both = [begin(shop), begin(shop)]
    for done in [work.end() for work in both]:
        assert done.returncode in (0, 2), done.stderr
        assert (done.returncode == 2) == ("by another process; wait" in done.stderr), done.stderr
    refresh_apart(shop)
    assert state(shop) == state(undisturbed)


@pytest.mark.parametrize("stage", REFRESH)
def test_a_stage_without_room_changes_nothing_and_goes_on_when_there_is_room(stage: str, shop: Path) -> None:
    """No file may be larger than a few lines: each stage's first commit ends like that of a full disk."""
    put_stock(shop, stock(14))
    earlier = REFRESH[: REFRESH.index(stage)]
    if earlier:
        assert begin(shop, *earlier).end().returncode == 0
    before = state(shop)
    done = begin(shop, stage, file_bytes=LEAST_BYTES.get(stage, 1000)).end()
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("visnet ")]
    assert re.search("(File too large|No space left on device); make room and run it again", line)
    assert str(shop / "data") in line
    assert "Traceback" not in done.stderr
    assert state(shop) == before
    refresh_apart(shop)
    fresh = make(shop.parent / "fresh", stock(14))
    refresh_apart(fresh)
    assert state(shop) == state(fresh)
    assert refreshing.leftovers(shop) == []


def test_a_commit_that_was_cut_short_is_taken_back(shop: Path) -> None:
    """Lance may commit a file whose last bytes found no room: whoever comes next must not build on that."""
    folder = shop / "data/crops"
    table = folder / "crops.lance"
    before, stood = Table(table).digest(), repair.snapshot(folder)
    rows = Table(table).read(Table(table).columns).slice(0, 2)
    had = set((table / "data").iterdir())
    Table(table).put(rows.set_column(0, "crop_id", pa.array(["x", "y"])))
    (new,) = set((table / "data").iterdir()) - had
    os.truncate(new, new.stat().st_size - 1)
    assert not Table(table).is_whole()
    with pytest.raises(OSError, match="No space left on device"):
        repair.check(folder, stood)
    assert Table(table).digest() == before
    repair.check(folder, stood)
    put_stock(shop, stock(13))
    refresh_apart(shop)
    assert Table(table).count() == 13 * 2 + 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    shop = make(small_disk / "shop", FIRST)
    refresh_apart(shop)
    before = state(shop)
    put_stock(shop, stock(40))
    filler = small_disk / "filler"
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize
    filler.write_bytes(bytes(free - 64 * 1024))
    done = begin(shop).end()
    assert done.returncode == 2, done.stderr
    assert "No space left on device; make room and run it again" in done.stderr
    assert "Traceback" not in done.stderr
    served = {name: digest for name, digest in before.items() if name.startswith("served")}
    assert served.items() <= state(shop).items()
    filler.unlink()
    refresh_apart(shop)
    with catalog.open_current(shop / "data") as version:
        assert version.facts()["products"] == 40
        assert not refreshing.torn(version)
