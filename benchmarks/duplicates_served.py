"""How long `POST /v1/duplicates` takes: one new photo against a catalog whose photos all show something else.

    python benchmarks/duplicates_served.py --workspace FOLDER --big FOLDER [--photos FOLDER ...] [--products 10000]

--workspace is a built shop, whose model is used; --big is made if it is not there: the photos of the folders, a product
each, and paintings of the synthetic shop to make up the number, with their hashes. A client asks one after the other
over one connection: with copies of every kind of photos that the catalog has, and with photos that it has not. A search
with the same photos is measured beside it.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import httpx
import numpy as np
import serve_shop
from duplicate_pairs import MADE
from duplicates import CROP_PX, read, synthetic_photos
from PIL import Image
from serve_systems import OURS, started

from visnet.duplicates import files, rule
from visnet.duplicates.rule import Rule
from visnet.duplicates.shown_photos import hash_all, hashed_rows
from visnet.photos import codec
from visnet.pipeline.log import SILENT
from visnet.serving import catalog
from visnet.serving.searcher import Searcher
from visnet.serving.shop_gallery import ShopGallery
from visnet.storage.table import Table

STRANGERS = 60  # photos that the catalog has not


def write(folder: Path, workspace: Path, folders: list[Path], products: int) -> None:
    """Publish a catalog with its hashes; what is asked with beside copies lies in `strangers`."""
    photos = read(folders, products)[: products + STRANGERS]
    photos += synthetic_photos(max(0, products + STRANGERS - len(photos)))
    order = np.random.default_rng(2).permutation(len(photos))
    photos = [codec.fit(photos[at], CROP_PX) for at in order]
    with catalog.open_current(workspace / "data") as version:
        searcher = Searcher(version.trained_model, ShopGallery.read(version.folder))
    jpegs = [codec.encode(photo) for photo in photos[:products]]
    vectors = [searcher.embed([codec.decode(jpeg)])[0].numpy() for jpeg in jpegs]
    serve_shop.put(folder, workspace, jpegs, np.stack(vectors))
    crops, out = folder / "data/crops/crops.lance", folder / "data/duplicates"
    rows = Table(crops).read(["crop_id", "product_id", "category", "source"]).to_pandas().assign(key="")
    Table(out / files.HASHES, "crop_id").put(hashed_rows(rows, hash_all(crops, rows["crop_id"].tolist(), SILENT)))
    rule.write(out, Rule())
    serve_shop.publish(folder)
    (folder / "strangers").mkdir()
    for at, photo in enumerate(photos[products:]):
        photo.save(folder / "strangers" / f"{at}.png")


def asked(folder: Path) -> list[tuple[str, bytes]]:
    """Return what is asked with: the product that a photo is a copy of, "" for none, and its bytes."""
    crops = Table(folder / "data/crops/crops.lance").opened().to_table(columns=["product_id", "image"], limit=2000)
    rng, found = np.random.default_rng(3), []
    for at in rng.choice(len(crops), 5, replace=False).tolist():
        photo = codec.decode(crops["image"][at].as_py())
        found += [(crops["product_id"][at].as_py(), codec.encode(change(photo, rng))) for change in MADE.values()]
    found += [("", codec.encode(Image.open(path))) for path in sorted((folder / "strangers").glob("*.png"))]
    return found


def measure(folder: Path, rounds: int) -> dict[str, object]:
    """Ask with every photo, several times; return milliseconds, of clock and of processor."""
    questions, took_ms, counts, right = asked(folder), list[float](), list[int](), list[bool]()
    with started(OURS, folder) as service, httpx.Client(base_url=f"http://127.0.0.1:{service.port}") as client:
        for _, photo in questions[:5]:
            client.post("/v1/duplicates", files={"photo": photo}).raise_for_status()
        cpu_s, before = service.cpu_s(), os.getloadavg()[0]
        for _ in range(rounds):
            for product_id, photo in questions:
                begun_s = time.perf_counter()
                answer = client.post("/v1/duplicates", files={"photo": photo})
                took_ms.append(1000 * (time.perf_counter() - begun_s))
                told = answer.raise_for_status().json()
                counts.append(told["compared"])
                names = [one["product_id"] for one in told["duplicates"]]
                right.append(names == [product_id] if product_id else not names)
        cpu_ms = 1000 * (service.cpu_s() - cpu_s) / len(took_ms)
        cpu_s, searched_ms = service.cpu_s(), list[float]()
        for _, photo in questions:
            begun_s = time.perf_counter()
            client.post("/v1/search", files={"photo": photo}).raise_for_status()
            searched_ms.append(1000 * (time.perf_counter() - begun_s))
        search_cpu_ms = 1000 * (service.cpu_s() - cpu_s) / len(questions)
    return {
        "products": Table(folder / "data/crops/crops.lance").count(),
        "requests": len(took_ms),
        "p50_ms": round(statistics.median(took_ms), 1),
        "p90_ms": round(float(np.percentile(took_ms, 90)), 1),
        "p95_ms": round(float(np.percentile(took_ms, 95)), 1),
        "cpu_ms": round(cpu_ms, 1),
        "search_p50_ms": round(statistics.median(searched_ms), 1),
        "search_cpu_ms": round(search_cpu_ms, 1),
        "compared": {
            "mean": round(statistics.mean(counts), 1),
            "median": statistics.median(counts),
            "most": max(counts),
        },
        "right": round(statistics.mean(right), 3),
        "load": [round(before, 1), round(os.getloadavg()[0], 1)],
    }


def main() -> None:
    """Run it, and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--big", type=Path, required=True)
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="folders, each photo a product of its own")
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if not (given.big / "data/publish/current").exists():
        write(given.big, given.workspace, given.photos, given.products)
    print(json.dumps(measure(given.big, given.rounds), indent=1))


if __name__ == "__main__":
    main()
