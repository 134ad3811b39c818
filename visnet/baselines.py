"""What costs nothing and must be beaten: chance, colours, and the same network before it has learnt."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from visnet import embedding, histogram, metrics
from visnet.crop_images import CropImages
from visnet.log import Log
from visnet.search import nearest_products
from visnet.vectors import Vectors
from visnet.zoo import Entry, build_model

HISTOGRAM_SIDE_PX = 96


def untrained(images: CropImages, like: Vectors, entry: Entry, seed: int, log: Log) -> Vectors:
    """Embed the same crops with the network as its training begins, pretrained weights included."""
    made = embedding.embed(build_model(entry, seed=seed), images, batch=64, log=log)
    return Vectors(like.rows, torch.cat([vectors for _, vectors in made]), "untrained")


def colour_histograms(images: CropImages, like: Vectors, log: Log) -> Vectors:
    """Describe the same crops by their colours: squared distances are twice the Hellinger distance squared."""
    made = []
    with log.progress("colour histograms", len(images), unit="crop") as progress:
        for start in range(0, len(images), 256):
            batch = images.__getitems__(range(start, min(start + 256, len(images))))
            made.append(histogram.colour_histograms(torch.stack(batch).permute(0, 2, 3, 1).numpy()))
            progress.advance(len(batch))
    return Vectors(like.rows, torch.from_numpy(np.concatenate(made)), "colour_histogram")


def street_ranks(vectors: Vectors, street: pd.DataFrame, k: int) -> np.ndarray:
    """Rank the true product of each street query among the k nearest of its category, [Q] int64, `MISS` if absent.

    street has the columns query_id (a crop), product_id and category, and the index 0 … Q − 1.
    """
    rank = np.full(len(street), metrics.MISS, np.int64)
    for category, group in street.groupby("category"):
        shop = vectors.of(category=str(category), side="shop")
        product, names = pd.factorize(shop.rows["product_id"])
        found = nearest_products(vectors.at(group["query_id"]), shop.matrix, product, k)
        neighbours = np.where(found.row >= 0, product[found.row], -1)
        rank[group.index] = metrics.first_hits(neighbours, names.get_indexer(group["product_id"]))
    return rank


def triplet_accuracy(vectors: Vectors, triplets: pd.DataFrame) -> float:
    """Share of the triplets (crop ids q, p, n) whose positive is nearer than the negative; NaN without triplets."""
    q, p, n = (vectors.at(triplets[column].astype(str)) for column in ("q", "p", "n"))
    return metrics.triplet_accuracy((q - p).square().sum(1).numpy(), (q - n).square().sum(1).numpy())


def colour_agreement(vectors: Vectors, k: int = 10) -> float:
    """Share of the k most similar other products of the category that have the shop crop's known colour."""
    same = total = 0
    for category in sorted(set(vectors.rows["category"])):
        shop = vectors.of(category=category, side="shop")
        product, _ = pd.factorize(shop.rows["product_id"])
        colour = shop.rows["colour"].to_numpy()
        found = nearest_products(shop.matrix, shop.matrix, product, k, exclude=product)
        there = (found.row >= 0) & (colour != "")[:, None]
        same += int((colour[found.row] == colour[:, None])[there].sum())
        total += int(there.sum())
    return same / total if total else float("nan")


def random_colour_agreement(vectors: Vectors) -> float:
    """Return what `colour_agreement` is expected to be for products drawn at random from the category."""
    shop = vectors.of(side="shop").rows
    shares = []
    for _, group in shop.groupby("category"):
        known = group[group["colour"] != ""]
        own = known.groupby("product_id")["colour"].transform("size")
        alike = known.groupby("colour")["colour"].transform("size") - own
        others = len(group) - own
        shares += (alike[others > 0] / others[others > 0]).tolist()
    return float(np.mean(shares)) if shares else float("nan")


def recall_rows(
    ranks: Mapping[str, np.ndarray], categories: np.ndarray, gallery_products: np.ndarray, ks: tuple[int, ...]
) -> pd.DataFrame:
    """Tabulate recall: one row per category and k, a column per method and one for a random ranking.

    ranks: method -> [Q]; categories [Q]; gallery_products [Q], the distinct products each query is searched among.
    """
    columns = {name: metrics.recall_table(rank, categories, ks) for name, rank in ranks.items()}
    rows = []
    for i, head in next(iter(columns.values()))[["category", "queries"]].iterrows():
        mine = np.ones(len(categories), bool) if head["category"] == "all" else categories == head["category"]
        chance = metrics.expected_random_recall(gallery_products[mine], ks)
        for k in ks:
            values = {name: table.loc[i, f"recall_at_{k}"] for name, table in columns.items()}
            rows.append({**head, "k": k, **values, "random": chance[k]})
    return pd.DataFrame(rows)
