"""What it is worth to keep a search to the category that its photo is told: recall@1, with `in_category` and without.

    python -m visnet serve &                       # of a workspace whose stages taxonomy_model and publish have run
    python benchmarks/in_category.py [--url http://127.0.0.1:8080] [--workspace .]

Each street crop of the test split is asked with, once either way. The difference is paired; its interval is a bootstrap
over products.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from visnet.client import Client
from visnet.evaluation.intervals import interval, resampled_means
from visnet.storage.table import Table
from visnet.taxonomy.paths import level_below

ASKED = "lost IS NULL AND side = 'street' AND split = 'test'"


class Answered(NamedTuple):
    """Whether a crop's own product came first, without the gate and with it; what it was told; and the seconds."""

    plain: bool
    gated: bool
    told: str
    wall_s: tuple[float, float]


def ask(client: Client, image: bytes, product_id: str) -> Answered:
    """Search with a crop both ways."""
    first, seconds, told = [], [], ""
    for in_category in (False, True):
        start_s = time.perf_counter()
        found = client.search(image, limit=1, in_category=in_category)
        seconds.append(time.perf_counter() - start_s)
        first.append(bool(found.results) and found.results[0].product_id == product_id)
        told = found.in_category.category if found.in_category else ""
    return Answered(first[0], first[1], told, (seconds[0], seconds[1]))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--workspace", type=Path, default=Path())
    options = parser.parse_args()
    columns = ["crop_id", "product_id", "category", "image"]
    crops = Table(options.workspace / "data/crops/crops.lance").read(columns, ASKED).sort_by("crop_id").to_pylist()
    with Client(options.url) as client:
        found = [ask(client, one["image"], one["product_id"]) for one in crops]
    hits = np.array([(one.plain, one.gated) for one in found], float)
    _, product = np.unique([one["product_id"] for one in crops], return_inverse=True)
    low, high = interval(resampled_means(hits[:, 1:] - hits[:, :1], product, seed=0))
    wrong = [
        one.told and crop["category"] != one.told and not level_below(crop["category"], one.told)
        for one, crop in zip(found, crops, strict=True)
    ]
    plain, gated = hits.mean(0)
    print(f"{len(crops)} street crops of {product.max() + 1} products")
    print(f"recall@1 {plain:.4f}, in category {gated:.4f}: {gated - plain:+.4f} ({low[0]:+.4f} to {high[0]:+.4f})")
    print(f"found by the gate alone {(hits[:, 1] > hits[:, 0]).sum()}, lost by it {(hits[:, 1] < hits[:, 0]).sum()}")
    print(f"told nothing {sum(not one.told for one in found)}, told another category {sum(map(bool, wrong))}")
    medians = [1e3 * statistics.median(one.wall_s[at] for one in found) for at in (0, 1)]
    print(f"median {medians[0]:.1f} ms, in category {medians[1]:.1f} ms")


if __name__ == "__main__":
    main()
