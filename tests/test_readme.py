"""What the pages say of one's own photos works as printed."""

import csv
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.workspace import ROOT
from visnet.runs import runner
from visnet.storage.table import Table


def printed() -> str:
    """The lines of params.toml under "Your own photos"."""
    text = (ROOT / "docs/how-to/engineer.md").read_text(encoding="utf-8")
    section = text.partition("### Your own photos")[2].partition("\n### ")[0]
    return re.search(r"(?ms)^```toml\n(.*?)^```$", section)[1]  # type: ignore[index]


def replaced(shipped: str, lines: str) -> str:
    """Put the lines into params.toml in place of the tables that they name."""
    names = "|".join(tomllib.loads(lines))
    return lines + re.sub(rf"(?ms)^\[(?:{names})[].].*?(?=^\[|\Z)", "", shipped)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shop of shop photos alone, two of each product, and the parameters that the page prints."""
    rng = np.random.default_rng(0)
    rows = [("sku", "kind", "file", "colour", "name", "price_eur", "brand", "season")]
    (tmp_path / "photos").mkdir()
    for product in range(24):
        for photo in range(2):
            name = f"{product}-{photo}.jpg"
            Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8)).save(tmp_path / "photos" / name)
            kind, colour = ["hat", "bag"][product % 2], ["red", "blue", "green"][product % 3]
            rows.append((str(product), kind, name, colour, f"{colour} {kind}", f"{product}.90", "Own", "winter"))
    with (tmp_path / "stock.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (tmp_path / "params.toml").write_text(replaced((ROOT / "params.toml").read_text(), printed()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_ones_own_photos_become_triplets_as_printed(folder: Path) -> None:
    assert runner.run("raw_images")["photos"] == 48
    shown = Table("data/raw_images/catalog.lance").read(["attributes"], "product_id = '7'")["attributes"][0].as_py()
    assert json.loads(shown) == {"title": "blue bag", "price": 7.9, "brand": "Own", "season": "winter"}
    assert runner.run("crops")["crops"] == 48
    assert runner.run("photo_quality")["enabled"] is False
    assert int(runner.run("triplets")["train"] or 0) > 1_000


def test_a_sampler_that_needs_street_photos_says_so_and_names_the_one_that_does_not(folder: Path) -> None:
    params = (folder / "params.toml").read_text()
    (folder / "params.toml").write_text(params.replace('sampler = "metadata"', 'sampler = "street2shop"'))
    runner.run("raw_images")
    runner.run("crops")
    runner.run("photo_quality")
    with pytest.raises(ValueError, match=r'no photo is one; set \[triplets\] sampler = "metadata"$'):
        runner.run("triplets")


def test_a_wrong_folder_of_photos_is_said_before_anything_is_written(folder: Path) -> None:
    params = (folder / "params.toml").read_text()
    (folder / "params.toml").write_text(params.replace('images = "photos"', 'images = "fotos"'))
    with pytest.raises(ValueError, match=rf"none of 48 photos is there: the folder {folder}/fotos does not exist"):
        runner.run("raw_images")
    assert not (folder / "data" / "raw_images" / "photos.lance").exists()
    (folder / "fotos").mkdir()
    with pytest.raises(ValueError, match=rf"none of 48 photos is there: the first would be {folder}/fotos/0-0.jpg"):
        runner.run("raw_images")
    (folder / "photos" / "0-0.jpg").rename(folder / "fotos" / "0-0.jpg")
    assert runner.run("raw_images")["lost"] == 47
