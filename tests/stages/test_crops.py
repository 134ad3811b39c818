"""The stage crops, and what it shares with raw_images: bounds, the gate of losses, one limit of pixels, memory."""

import csv
import io
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.sources.test_table_photos import Said
from visnet.photos import codec, cutting
from visnet.pipeline import budget, stage
from visnet.pipeline.log import SILENT
from visnet.stages import crops, raw_images
from visnet.storage import atomic
from visnet.storage.table import Table

HEADER = ["_category", "_color", "_id", "_name", "left", "top", "width", "height"]
COLUMNS = {name: name for name in HEADER[4:]}
WHOLE = ["", "", "", ""]
OUTSIDE = ["900", "0", "10", "10"]


def draw(path: Path, seed: int, size: tuple[int, int] = (96, 64)) -> None:
    path.parent.mkdir(exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST).save(path)


class Shop:
    """Ten products with a photo each, as a table that a test rewrites."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = [["bag", "red", f"p{n}", f"{n}.png", *WHOLE] for n in range(10)]
        for number in range(10):
            draw(folder / "images" / f"{number}.png", number)

    def fetch(self, **params: object) -> stage.Report:
        with (self.folder / "stock.csv").open("w", newline="") as file:
            csv.writer(file).writerows([HEADER, *self.rows])
        options = {"columns": COLUMNS, **params.pop("table", {})}  # type: ignore[dict-item]
        said = {"source": "table", "metadata": str(self.folder / "stock.csv"), "table": options, **params}
        parsed = stage.parse("raw_images", said, "params.toml")
        return raw_images.build(out=self.folder / "raw_images", params=parsed, log=SILENT)

    def cut(self, **params: object) -> stage.Report:
        parsed = stage.parse("crops", params, "params.toml")
        return crops.build(self.folder / "raw_images", out=self.folder / "crops", params=parsed, log=SILENT)

    @property
    def table(self) -> Path:
        return self.folder / "crops" / "crops.lance"

    def pictures(self) -> dict[str, bytes | None]:
        found = Table(self.table).read(["product_id", "image"])
        return dict(zip(found["product_id"].to_pylist(), found["image"].to_pylist(), strict=True))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("side_px", 0), ("side_px", 15), ("side_px", 100_000), ("quality", 0), ("quality", 101), ("seed", -1)],
        *[("validation_share", 1.0), ("test_share", -0.1), ("test_share", float("nan")), ("lost_share_max", 1.5)],
        *[("shared_products", "perhaps"), ("small_categories", "")],
    ],
)
def test_a_number_or_word_out_of_bounds_is_refused_by_its_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"params.toml: \[crops\] {field}: .*found {value!r}"):
        stage.parse("crops", {field: value}, "params.toml")


def test_a_crop_is_the_decoded_photo_cut_shrunk_and_encoded(shop: Shop) -> None:
    draw(shop.folder / "images" / "0.png", 0, (640, 400))
    shop.rows[0] = ["bag", "red", "p0", "0.png", "10", "20", "500", "300"]
    shop.rows[1] = ["bag", "red", "p1", "0.png", *WHOLE]
    shop.rows[2] = ["bag", "red", "p2", "0.png", "0.5", "0", "64", "64"]
    assert shop.fetch()["photos"] == 8
    assert shop.cut(side_px=100, quality=80)["lost"] == 0
    whole = codec.decode((shop.folder / "images" / "0.png").read_bytes())
    for product, box in {"p0": (10, 20, 500, 300), "p1": None, "p2": (0.5, 0, 64, 64)}.items():
        assert shop.pictures()[product] == codec.encode(codec.fit(codec.crop(whole, box), 100), 80)


def test_batches_of_few_bytes_make_the_same_table(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.rows[3][4:] = OUTSIDE
    shop.fetch()
    expected = shop.cut(lost_share_max=0.5)["digest"]
    first = Table(shop.table).version
    monkeypatch.setattr(cutting, "BATCH_BYTES", 1)
    monkeypatch.setattr(crops, "BATCH_BYTES", 1)
    atomic.remove(shop.table)
    assert shop.cut(lost_share_max=0.5)["digest"] == expected
    assert Table(shop.table).version >= first + 8, "a commit for each photo"


def test_slices_of_photos_are_bounded_by_their_bytes_and_hold_each_once() -> None:
    sizes = np.random.default_rng(1).integers(1, 40, 200)
    sizes[50] = 500
    slices = list(cutting._slices(sizes, 100))
    assert [i for start, stop in slices for i in range(start, stop)] == list(range(200))
    assert all(sizes[a:b].sum() <= 100 or b - a == 1 for a, b in slices)
    assert len(slices) < 80
    assert list(cutting._slices(sizes[:0], 100)) == []


def test_crops_that_are_there_are_not_taken_away_by_more_losses_than_allowed(shop: Shop) -> None:
    shop.fetch()
    shop.cut()
    before, digest = shop.pictures(), Table(shop.table, "crop_id").digest()
    for number in (4, 7):
        shop.rows[number][4:] = OUTSIDE
    shop.fetch()
    # The new side changes all the other crops too, and those stay as they were: the table is as before.
    for side_px in (160, 48):
        with pytest.raises(ValueError, match=r"\[crops\] at least \d of 10 crops would be lost, .*box outside.*0\.02"):
            shop.cut(side_px=side_px)
        assert (shop.pictures(), Table(shop.table, "crop_id").digest()) == (before, digest)
    said = shop.cut(lost_share_max=0.2)
    assert (said["lost"], said["lost_share"], said["lost_share_max"]) == (2, 0.2, 0.2)
    assert [p for p, image in shop.pictures().items() if image is None] == ["p4", "p7"]


def test_a_first_run_keeps_what_it_has_unless_that_is_nothing(shop: Shop) -> None:
    for row in shop.rows[1:]:
        row[4:] = OUTSIDE
    shop.fetch()
    said = shop.cut()
    assert (said["lost"], said["lost_share"], said["lost_share_max"]) == (9, 0.9, 0.02), "for the check in Dagster"
    atomic.remove(shop.table)
    shop.rows[0][4:] = OUTSIDE
    shop.fetch()
    with pytest.raises(ValueError, match=r"at least 10 of 10 crops would be lost, .*box outside the photo"):
        shop.cut()
    assert not shop.table.exists()


def test_photos_that_are_there_are_not_taken_away_by_a_wrong_folder(shop: Shop) -> None:
    shop.fetch(lost_share_max=0.1)
    photos = shop.folder / "raw_images" / "photos.lance"
    digest = Table(photos, "photo_id").digest()
    (shop.folder / "elsewhere").mkdir()
    shutil.copy(shop.folder / "images" / "0.png", shop.folder / "elsewhere")
    for commit_every in (2, 2048):
        with pytest.raises(ValueError, match=r"\[raw_images\] at least (2|9) of 10 photos would be"):
            shop.fetch(lost_share_max=0.1, commit_every=commit_every, table={"images": "elsewhere"})
        assert Table(photos, "photo_id").digest() == digest
    assert shop.fetch(lost_share_max=0.1)["lost"] == 0, "and the next run finds all as it was"
    assert shop.fetch(lost_share_max=1.0, table={"images": "elsewhere"})["lost"] == 9


def test_what_raw_images_let_through_crops_takes(shop: Shop) -> None:
    Image.new("L", (8100, 8000), 128).save(shop.folder / "images" / "0.png")
    assert shop.fetch(table={"download": {"max_pixels": 100_000_000}})["lost"] == 0
    assert shop.cut()["lost"] == 0


def test_what_lacks_memory_or_is_a_fault_of_ours_is_no_lost_crop(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.fetch()

    def fails(error: Exception) -> Callable[..., object]:
        def fail(*_: object, **__: object) -> object:
            raise error

        return fail

    for name, error in (("rgb", TypeError("a fault of ours")), ("rgb", MemoryError()), ("encode", KeyError("x"))):
        with monkeypatch.context() as patch:
            patch.setattr(codec, name, fails(error))
            with pytest.raises(type(error)):
                shop.cut()
        assert not shop.table.exists() or Table(shop.table).count() == 0
    assert shop.cut()["lost"] == 0


def test_threads_share_one_budget_and_a_large_photo_gets_its_turn() -> None:
    shared, lock, held, most, order = budget.Budget(100), threading.Lock(), [0], [0], []

    def work(name: str, size: int) -> None:
        with shared.hold(size):
            with lock:
                order.append(name)
                held[0] += min(size, 100)
                most[0] = max(most[0], held[0])
            time.sleep(0.01)
            with lock:
                held[0] -= min(size, 100)

    threads = [threading.Thread(target=work, args=(f"small {n}", 30)) for n in range(6)]
    threads += [threading.Thread(target=work, args=("large", 5000))]
    threads += [threading.Thread(target=work, args=(f"late {n}", 10)) for n in range(12)]
    for thread in threads:
        thread.start()
        time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert 60 <= most[0] <= 100
    assert order.index("large") < order.index("late 0"), "small ones that come later do not keep it waiting"


def test_the_budget_is_given_back_whatever_happens() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (50, 50)).save(buffer, "PNG")
    for data in (buffer.getvalue(), buffer.getvalue()[:-30], b"no photo"):
        for read in (codec.decode, codec.check):
            try:
                read(data)
            except codec.Undecodable:
                continue
    with pytest.raises(KeyError), codec.decoded(buffer.getvalue()):
        raise KeyError("the caller's own")
    assert codec.DECODING._free == codec.DECODING.size


def test_a_category_of_one_product_is_left_out_aloud(shop: Shop) -> None:
    shop.rows[0][0] = "hat"
    shop.fetch()
    log = Said()
    parsed = stage.parse("crops", {"small_categories": "drop"}, "params.toml")
    report = crops.build(shop.folder / "raw_images", out=shop.folder / "crops", params=parsed, log=log)
    assert log.lines == ["  left out 1 category of fewer than 2 products: 'hat'"]
    assert (report["crops"], report["small_categories"]) == (9, 1)
    for row in shop.rows:
        row[0] = row[2]
    shop.fetch()
    with pytest.raises(ValueError, match="no category has photos of 2 products"):
        shop.cut(small_categories="drop")


def test_the_photos_that_are_lost_are_listed_with_their_reasons(shop: Shop) -> None:
    (shop.folder / "images" / "0.png").write_text("no photo", encoding="utf-8")
    (shop.folder / "images" / "3.png").unlink()
    shop.fetch()
    with (shop.folder / "raw_images" / "lost.csv").open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert [row["photo_id"] for row in rows] == ["0.png", "3.png"]
    assert rows[0]["reason"] == "undecodable: not an image"
    draw(shop.folder / "images" / "0.png", 0)
    draw(shop.folder / "images" / "3.png", 3)
    shop.fetch(ask_again=1)
    assert (shop.folder / "raw_images" / "lost.csv").read_text(encoding="utf-8").split() == ["photo_id,reason"]
