"""A small shop of drawn pictures and copies of them, and its line with the stage duplicates switched on."""

import csv
from pathlib import Path

from tests.apart import within
from tests.duplicates.pictures import MADE, drawn
from tests.refreshing import CATEGORIES, HEADER
from visnet.runs import runner
from visnet.storage.table import Table

LINE = ("raw_images", "crops", "catalog_embeddings", "knn_results", "duplicates")
Stock = dict[str, tuple[int, str, int | None]]  # product -> what is drawn, what is made of it, and its colour
PLAIN = {f"p{number:03d}": (number, "", None) for number in range(8)}
COPIES = {
    "p100": (0, "mirrored", None),
    "p101": (0, "saved again", None),
    "p102": (3, "smaller", None),
    "p103": (5, "", 77),
}  # p103 is p005 in another colour


def put(shop: Path, stock: Stock) -> None:
    rows = []
    for product, (seed, made, hue) in sorted(stock.items()):
        for at, picture in enumerate([drawn(seed, hue), drawn(seed + 500, hue)]):
            name = f"{product}-{seed}-{made}-{hue}-{at}.png".replace(" ", "_")
            path = shop / "images" / name
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                (MADE[made](picture) if made and not at else picture).save(path)
            if not at or not made:
                rows.append([CATEGORIES[seed % 2], "red", product, name, "shop", "test"])
    with (shop / "stock.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])


def run(shop: Path, *stages: str, **params: object) -> None:
    with within(shop):
        tables = runner.read_params() | {"duplicates": {"enabled": True, **params}}
        tables["crops"] = {**tables["crops"], "side_px": 96}
        for stage in stages or LINE:
            runner.run(stage, tables=tables)


def pairs(shop: Path) -> list[tuple[str, str, str, str]]:
    """Return product, product, relation and decision of every pair between products."""
    rows = Table(shop / "data/duplicates/duplicates.lance").opened().to_table().to_pylist()
    return sorted(
        (*sorted((row["a_product_id"], row["b_product_id"])), row["relation"], row["decision"])
        for row in rows
        if row["a_product_id"] != row["b_product_id"]
    )
