"""Crops as tensors: in the order asked for, and from the version of the table in which they were found."""

import io
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from visnet.embedding import crop_dataset
from visnet.embedding.crop_dataset import PREPARING, CropImages, square
from visnet.models.inputs import as_floats
from visnet.sheets import contact_sheet
from visnet.storage.table import Table

NAMES = [f"c{number}" for number in range(6)]


def picture(shade: int, side_px: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side_px, side_px), (shade, 0, 255 - shade)).save(file, "PNG")
    return file.getvalue()


def put(path: Path, shades: dict[str, int]) -> None:
    known = Table(path).read(["crop_id"])["crop_id"].to_pylist() if Table(path).exists() else []
    rows = {"crop_id": list(shades), "image": [picture(shade) for shade in shades.values()]}
    hashes = {name: [str(shade) for shade in shades.values()] for name in ("source", "content")}
    Table(path, "crop_id").put(pa.table(rows | hashes), known)


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    put(tmp_path / "crops.lance", {name: 10 * number for number, name in enumerate(NAMES)})
    return tmp_path / "crops.lance"


def shades(images: CropImages) -> list[int]:
    return [int(photo[0].float().mean()) for photo in images.__getitems__(range(len(images)))]


@pytest.mark.parametrize("at_once", [64, 2, 1])
@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_crops_come_in_the_order_asked_for(
    crops: Path, cache_bytes: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crop_dataset, "CACHE_BYTES", cache_bytes)
    monkeypatch.setattr(crop_dataset, "DECODED_AT_ONCE", at_once)
    images = CropImages(crops, ["c4", "c0", "c5", "c4"], 4)
    assert (images[0].shape, images[0].dtype) == ((3, 4, 4), torch.uint8)
    assert shades(images) == shades(images) == [40, 0, 50, 40]


def test_what_the_line_does_meanwhile_is_not_seen(crops: Path) -> None:
    images = CropImages(crops, NAMES, 4)
    sent = pickle.dumps(images)
    Table(crops, "crop_id").delete(["c0", "c3"])
    put(crops, {"c1": 99, "d": 77})
    there = [0, 10, 20, 30, 40, 50]
    assert shades(images) == there
    assert shades(pickle.loads(sent)) == there, "in another process, which opens the table anew"
    assert shades(CropImages(crops, ["d", "c1", "c2"], 4)) == [77, 99, 20]


def test_a_crop_that_is_not_there_is_named(crops: Path) -> None:
    with pytest.raises(ValueError, match=r"2 crops asked for are not there, the first is 'x'$"):
        CropImages(crops, ["c1", "x", "y"], 4)


def test_a_photo_is_prepared_as_the_number_says() -> None:
    """If this fails, photos are prepared another way: raise `PREPARING`, and write down what is right from then on."""
    across, down = np.meshgrid(np.arange(9), np.arange(6))
    pixels = np.stack([28 * across, 42 * down, (40 * across * down) % 256], axis=2).astype(np.uint8)
    found = square(Image.fromarray(pixels), 4)
    red, green = [[23, 80, 144, 201]] * 4, [[16] * 4, [75] * 4, [135] * 4, [194] * 4]
    blue = [[12, 43, 70, 31], [59, 149, 158, 106], [89, 162, 134, 119], [102, 120, 140, 99]]
    assert PREPARING == 1
    assert (found.int() - torch.tensor([red, green, blue])).abs().max() <= 1, "a CPU may round another way"
    assert torch.equal(as_floats(found[None])[0], found.float() / 255)


def test_a_crop_that_does_not_decode_is_named(crops: Path) -> None:
    rows = {"crop_id": ["bad"], "image": [b"no picture"], "source": ["x"], "content": ["x"]}
    Table(crops, "crop_id").put(pa.table(rows))
    with pytest.raises(ValueError, match=r"crops.lance: crop 'bad' does not decode: "):
        CropImages(crops, ["c1", "bad"], 4).__getitems__([0, 1])
    with pytest.raises(ValueError, match=r"crops.lance: crop 'bad' does not decode: "):
        contact_sheet.open_images(crops, ["c1", "bad"])


def test_crops_that_are_read_once_are_not_kept(crops: Path) -> None:
    images = CropImages(crops, NAMES, 4, keep=False)
    assert shades(images) == [0, 10, 20, 30, 40, 50]
    assert images._cache is None
