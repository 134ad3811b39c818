"""A tiny shop whose stock is a CSV file, and its refreshes: in this process, or in one that may be killed."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from tests.apart import Work, within
from visnet import zoo
from visnet.embedding.model_id import model_id, precision_of
from visnet.evaluation import verdict
from visnet.runs import runner
from visnet.serving import catalog, versions
from visnet.storage.table import Table
from visnet.zoo import build_model, weights

REFRESH = ("raw_images", "crops", "catalog_embeddings", "knn_results", "publish")
TABLES = {
    "raw_images/photos": "photo_id",
    "raw_images/records": "crop_id",
    "crops/crops": "crop_id",
    "catalog_embeddings/embeddings": "crop_id",
    "knn_results/knn": "query_id",
}
PARAMS = """
[raw_images]
source = "table"
metadata = "stock.csv"
commit_every = 8

[raw_images.table.columns]
side = "side"
split = "split"

[crops]
side_px = 32

[catalog_embeddings]
batch = 8
commit_every = 8

[knn_results]
k = 5
similar_k = 3

[publish]
removed_share_max = 0.5
probe_recall_at_1_drop_max = 1.0
"""
HEADER = ["_category", "_color", "_id", "_name", "side", "split"]
CATEGORIES = ("bag", "hat")

SWITCHED_OFF = ("localizer", "photo_quality", "taxonomy_model", "category_paths", "duplicates")  # stages
Stock = Mapping[str, int]  # product -> which look its photos have


def stock(products: int, look: int = 0) -> dict[str, int]:
    """Return so many products, all of one look."""
    return {f"p{number:03d}": look for number in range(products)}


def make(folder: Path, products: Stock, model_seed: int = 1) -> Path:
    """Lay a shop out: parameters, photos, its stock, and a model that has learnt nothing."""
    folder.mkdir(parents=True)
    (folder / "params.toml").write_text(PARAMS)
    put_stock(folder, products)
    put_model(folder, model_seed)
    for stage in SWITCHED_OFF:
        (folder / "data" / stage).mkdir()
    return folder


def put_stock(folder: Path, products: Stock) -> None:
    """Write the stock, each product with two shop photos; each fourth has a street photo, too."""
    rows = []
    for number, (product, look) in enumerate(sorted(products.items())):
        sides = ["shop", "shop", *["street"] * (number % 4 == 0)]
        for at, side in enumerate(sides):
            name = f"{product}-{look}-{at}.png"
            draw(folder / "images" / name, f"{product} {look}", at)
            rows.append([CATEGORIES[int(product[1:]) % 2], "red", product, name, side, "test"])
    scratch = folder / "stock.csv.new"
    with scratch.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    scratch.replace(folder / "stock.csv")


def draw(path: Path, product: str, at: int) -> None:
    """Draw a product's photo: its own colours, and a little that every photo has of its own."""
    if path.exists():
        return
    path.parent.mkdir(exist_ok=True)
    coarse = np.random.default_rng(list(product.encode())).integers(0, 256, (4, 4, 3))
    noise = np.random.default_rng([at, *product.encode()]).integers(-12, 13, (32, 32, 3))
    pixels = np.clip(coarse.repeat(8, 0).repeat(8, 1) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def put_model(folder: Path, seed: int, passed: bool = True) -> None:
    """Put a small network with first weights in the place of a trained one, and what its evaluation would say of it."""
    toml = zoo.entry("mildnet_small").toml().replace("side_px = 128", "side_px = 64")
    model = build_model(zoo.parse(toml, "a small entry"), seed=seed)
    digest = weights.save(model, toml, folder / "data" / "trained_model")
    put_verdict(folder, digest, passed)


def put_verdict(folder: Path, model: str, passed: bool | None = True) -> None:
    """Put a verdict in the place of an evaluation."""
    (folder / "data" / "evaluation").mkdir(exist_ok=True)
    verdict.Verdict(model[:32], passed, "as a test has it").write(folder / "data" / "evaluation")


def refresh(folder: Path, *stages: str) -> None:
    """Run stages in a shop, all of a refresh if none is named."""
    with within(folder):
        for stage in stages or REFRESH:
            runner.run(stage)


def state(folder: Path) -> dict[str, str]:
    """Return the digests of the shop's tables and of the parts of the version that is served."""
    found = {name: Table(folder / "data" / f"{name}.lance", key).digest() for name, key in TABLES.items()}
    with catalog.open_current(folder / "data") as version:
        return found | {f"served {name}": digest for name, digest in version.facts()["parts"].items()}


def torn(version: catalog.Serving) -> list[str]:
    """Return the parts of a version that are not what it says of itself."""
    said = version.facts()["parts"]
    wrong = [
        name
        for name, key in (("crops", "crop_id"), ("embeddings", "crop_id"), ("knn", "query_id"))
        if Table(version.folder / f"{name}.lance", key).digest() != said[name]
    ]
    model, _ = weights.load(version.trained_model)
    made_by = {
        model_id(weights.digest(model.state_dict()), precision_of(said["model"])),
        version.vectors().model,
        *version.lists(["model"])["model"].to_pylist(),
    }
    return wrong + ["model"] * (made_by != {said["model"]})


def leftovers(folder: Path) -> list[Path]:
    """List what an undisturbed run would not have left."""
    endings = ("building", "deleting")
    hidden = [path for ending in endings for path in folder.rglob(f"*.{ending}")]
    tables = [folder / "data/catalog_embeddings" / f"{name}.lance" for name in ("next",)]
    return [*hidden, *(path for path in tables if path.exists())]


def numbers(folder: Path) -> list[int]:
    """List the numbers of the versions that are there."""
    return versions.numbers(folder / "data" / "publish")


def served(folder: Path) -> int | None:
    """Return the number of the version that is served."""
    return versions.current(folder / "data" / "publish")


def setting(folder: Path, line: str) -> None:
    """Set a parameter of publish that is not set."""
    params = folder / "params.toml"
    params.write_text(params.read_text().replace("[publish]\n", f"[publish]\n{line}\n"))


def begin(folder: Path, *stages: str, file_bytes: int | None = None) -> Work:
    """Start stages in a process of their own, a whole refresh if none is named."""
    return Work(folder, *(f"run {stage}" for stage in stages or REFRESH), file_bytes=file_bytes)


def refresh_apart(folder: Path) -> float:
    """Refresh in another process to the end; return the seconds that it took."""
    done = begin(folder).end()
    assert done.returncode == 0, done.stderr
    return done.wall_s
