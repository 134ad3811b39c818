"""A small shop of drawn products in all splits, some of whose photos are faulty, and its line up to photo_quality."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from tests.apart import within
from tests.quality.photos import product
from tests.refreshing import CATEGORIES, HEADER
from visnet.quality.faults import FAULTS
from visnet.runs import runner
from visnet.storage.table import Table

SPLITS = ["train"] * 17 + ["validation"] * 6 + ["test"] * 6
GOOD = {f"p{number:03d}": "" for number in range(len(SPLITS))}
FAULTY = {"p900": "placeholder", "p901": "collage", "p902": "text_only"}
FEW = {"photos": 16, "photos_measured": 6, "zoom_epochs": 0}
Stock = Mapping[str, str]  # product -> the fault of its photo, "" of a good one


def put(shop: Path, stock: Stock, second: Stock = {}) -> None:  # noqa: B006
    """Write the stock; a product beyond the first ones is of the test's split.

    second: of products that have two photos, the fault of the second one.
    """
    rows = []
    for name, fault in sorted([*stock.items(), *second.items()]):
        number = int(name[1:])
        path = shop / "images" / f"{name}-{fault}.png"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            photo: Image.Image | None = product(number)
            if fault:
                others = [product(1000 + number + at) for at in range(8)]
                photo = FAULTS[fault]([product(number), *others], np.random.default_rng(number))
            assert photo is not None
            photo.save(path)
        split = SPLITS[number] if number < len(SPLITS) else "test"
        rows.append([CATEGORIES[number % 2], "red", name, path.name, "shop", split])
    with (shop / "stock.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])


def run(shop: Path, *stages: str, **params: object) -> None:
    """Run stages with photo_quality switched on, up to it if none is named."""
    with within(shop):
        tables = runner.read_params() | {"photo_quality": {"enabled": True, **FEW, **params}}
        tables["crops"] = {**tables["crops"], "side_px": 112, "validation_share": 0.0}
        for stage in stages or ("raw_images", "crops", "photo_quality"):
            runner.run(stage, tables=tables)


def found(shop: Path) -> dict[str, dict[str, object]]:
    """Return product -> its row of the table of verdicts."""
    rows = Table(shop / "data/photo_quality/photo_quality.lance").opened().to_table().to_pylist()
    return {row["product_id"]: row for row in rows}
