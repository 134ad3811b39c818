"""Time the metadata sampler on a catalog the size of the deep-ranking blog's, beside the blog's own way.

    python benchmarks/sampling.py [--rows 757630] [--triplets 800000] [--peer 200]

The peer draws one triplet at a time with boolean scans of the whole table, as the blog does (category and colour drawn
apart, empty draws skipped, results appended to a frame); it is timed on a few hundred and scaled up per triplet. Its
appending, whose cost grows with the result, is left out in its favour.
"""

import argparse
import time

import numpy as np
import pandas as pd

from visnet.sampling import metadata
from visnet.sampling.crops import Crops

CATEGORIES, COLOURS = 25, 47


def catalog(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Make crops of products with 1 to 7 photos each (4 in the mean), one product in twenty in two colours."""
    photos = rng.integers(1, 8, rows)  # more products than needed; the last ones are cut off
    product = np.repeat(np.arange(rows), photos)[:rows]
    products = int(product[-1]) + 1
    popular = rng.zipf(1.5, (2, 8 * products))  # a few categories and colours hold most products
    category = popular[0][popular[0] <= CATEGORIES][:products] - 1
    colour = popular[1][popular[1] <= COLOURS][:products] - 1
    second = np.where(rng.random(products) < 0.05, (colour + 1) % COLOURS, colour)
    frame = pd.DataFrame(
        {
            "product_id": product.astype(str),
            "category": np.char.add("category-", category[product].astype(str)),
            "colour": np.where(rng.random(rows) < 0.5, colour[product], second[product]).astype(str),
            "side": "shop",
            "split": "train",
        }
    )
    return frame.iloc[rng.permutation(rows)].reset_index(drop=True)


def scan(frame: pd.DataFrame, count: int, rng: np.random.Generator) -> int:
    """Try `count` triplets by scanning the table, as the blog does; return how many came out."""
    categories = frame["category"].value_counts(normalize=True)
    colours = frame["colour"].value_counts(normalize=True)
    made = 0
    for _ in range(count):
        category = rng.choice(categories.index.to_numpy(), p=categories.to_numpy())
        colour = rng.choice(colours.index.to_numpy(), p=colours.to_numpy())
        alike = frame.index[(frame["category"] == category) & (frame["colour"] == colour)]
        if not len(alike):
            continue
        query = rng.choice(alike)
        if rng.random() < 0.3:
            others = frame.index[(frame["category"] == category) & (frame["colour"] != colour)]
        else:
            others = frame.index[frame["category"] != category]
        if rng.random() >= 0.1:
            alike = frame.index[frame["product_id"] == frame.loc[query, "product_id"]]
        if len(others):
            rng.choice(alike), rng.choice(others)
            made += 1
    return made


def main() -> None:
    """Print seconds and triplets per second of both ways, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=757_630)
    parser.add_argument("--triplets", type=int, default=800_000)
    parser.add_argument("--peer", type=int, default=200, help="triplets that the peer tries; 0 leaves it out")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    frame = catalog(options.rows, rng)

    started = time.perf_counter()
    crops = Crops.from_frame(frame)
    coded = time.perf_counter()
    got = metadata.sample(crops, options.triplets, metadata.MIX, rng, split="train")
    done = time.perf_counter()
    check(frame, got.triplets)
    print(f"rows {len(frame):,}, products {crops.product.max() + 1:,}, triplets {len(got.triplets):,}: {got.counts()}")
    print(f"ours  code the table {coded - started:.2f} s + sample {done - coded:.2f} s = {done - started:.2f} s")
    if options.peer:
        started = time.perf_counter()
        made = scan(frame, options.peer, rng)
        each = (time.perf_counter() - started) / max(made, 1)
        whole = each * options.triplets
        print(f"peer  {each * 1e3:.1f} ms per triplet ({made} of {options.peer} tries), {whole / 3600:.1f} h for all")
        print(f"ratio {whole / (done - coded):,.0f}")


def check(frame: pd.DataFrame, triplets: np.ndarray) -> None:
    """Stop if a triplet breaks the rules: a fast sampler of wrong triplets has no speed worth printing."""
    product, category = frame["product_id"].to_numpy(), frame["category"].to_numpy()
    q, p, n = triplets.T
    if (q == p).any() or (product[q] == product[n]).any() or not (category[q] == category[p]).all():
        raise SystemExit("the sampler broke its rules")


if __name__ == "__main__":
    main()
