"""What costs nothing and must be beaten: chance, colours, and the same network before it has learnt."""

from collections.abc import Sequence, Sized
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import Dataset

from kernels.nearest import nearest
from visnet.embedding import colour_histogram, embed
from visnet.embedding.crop_dataset import CropImages
from visnet.embedding.vectors import Vectors
from visnet.evaluation import metrics
from visnet.evaluation.retrieval import evaluate
from visnet.models.inputs import as_floats, stack
from visnet.pipeline.log import Log
from visnet.search.products import nearest_products
from visnet.training.augment import augment, draw
from visnet.zoo import Augment

HISTOGRAM_SIDE_PX = 96


Images = Dataset[torch.Tensor]


class Changed(Dataset[torch.Tensor]):
    """The same photos as another shop might show them: mirrored, turned, cut and lit by a draw of their own each."""

    amounts = Augment(flip=0.5, crop=0.3, rotation_deg=10.0, brightness=0.2, contrast=0.2, saturation=0.1)

    def __init__(self, images: CropImages, seed: int) -> None:
        self.images = images
        self.draws = draw(len(images), torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> torch.Tensor:
        rows = list(indices)
        photos = as_floats(stack(self.images, rows))
        changed = augment(photos, self.amounts, self.draws[rows])
        return changed.mul(255.0).round().to(torch.uint8)


def embedded(model: nn.Module, images: Images, log: Log, precision: embed.Precision = "auto") -> torch.Tensor:
    """Embed photos with a network, [N, D] float32."""
    found = embed.embed(model, images, batch=16, log=log, precision=precision)
    return torch.cat([vectors for _, vectors in found])


def colour_histograms(images: Images, log: Log) -> torch.Tensor:
    """Describe photos by their colours, [N, D] float32: squared distances are twice the Hellinger distance squared."""
    made = []
    count = len(cast(Sized, images))
    with log.progress("colour histograms", count, unit="crop") as progress:
        for start in range(0, count, 256):
            batch = stack(images, range(start, min(start + 256, count)))
            made.append(colour_histogram.colour_histograms(batch.permute(0, 2, 3, 1).numpy()))
            progress.advance(len(batch))
    return torch.from_numpy(np.concatenate(made))


def triplet_accuracy(vectors: Vectors, triplets: pd.DataFrame) -> float:
    """Share of the triplets (crop ids q, p, n) whose positive is nearer than the negative; NaN without triplets."""
    q, p, n = (vectors.at(triplets[column].astype(str)) for column in ("q", "p", "n"))
    return metrics.triplet_accuracy((q - p).square().sum(1).numpy(), (q - n).square().sum(1).numpy())


def colour_agreement(vectors: Vectors, asked: np.ndarray, k: int = 10) -> float:
    """Share of the k most similar other products of the category that have the shop crop's known colour.

    asked [N] bool: which rows ask; all shop crops answer. NaN where nothing can be asked.
    """
    same = total = 0
    shop = vectors.rows["side"].to_numpy() == "shop"
    for category in sorted(set(vectors.rows["category"])):
        here = vectors.rows["category"].to_numpy() == category
        mine, gallery = vectors.where(here & shop & asked), vectors.where(here & shop)
        code, _ = pd.factorize(pd.concat([gallery.rows["product_id"], mine.rows["product_id"]]))
        product, own = code[: len(gallery.rows)], code[len(gallery.rows) :]
        colour, mine_colour = gallery.rows["colour"].to_numpy(), mine.rows["colour"].to_numpy()
        found = nearest_products(mine.matrix, gallery.matrix, product, k, exclude=own)
        there = (found.row >= 0) & (mine_colour != "")[:, None]
        same += int((colour[found.row] == mine_colour[:, None])[there].sum())
        total += int(there.sum())
    return same / total if total else float("nan")


def category_agreement(vectors: Vectors, asked: np.ndarray, k: int = 10) -> float:
    """Share of the k most similar other products of the whole shop that are of the shop crop's category.

    asked [N] bool: which rows ask; all shop crops answer. NaN where nothing can be asked.
    """
    shop = vectors.rows["side"].to_numpy() == "shop"
    mine, gallery = vectors.where(shop & asked), vectors.where(shop)
    code = _products(pd.concat([gallery.rows, mine.rows]))
    product, own = code[: len(gallery.rows)], code[len(gallery.rows) :]
    found = nearest_products(mine.matrix, gallery.matrix, product, k, exclude=own)
    category = gallery.rows["category"].to_numpy()
    same = category[found.row] == mine.rows["category"].to_numpy()[:, None]
    there = found.row >= 0
    return float(same[there].mean()) if there.any() else float("nan")


def street_retrieval(vectors: Vectors) -> tuple[float, float]:
    """Return recall@1 and mAP@R of street photos that search the other street photos for those of their product."""
    street = vectors.of(side="street")
    if len(street.rows) < 2:
        return float("nan"), float("nan")
    found = evaluate(street.matrix, _products(street.rows), ks=(1,))
    return found.cmc[1], found.map_at_r


def recall_of_itself(changed: torch.Tensor, crop_ids: np.ndarray, vectors: Vectors) -> float:
    """Share of the changed photos, vectors [Q, D], whose nearest shop crop is what was changed, `crop_ids` [Q]."""
    shop = vectors.of(side="shop")
    found = nearest(changed, shop.matrix, 1).row[:, 0].numpy()
    return float((shop.rows["crop_id"].to_numpy()[found] == crop_ids).mean()) if len(crop_ids) else float("nan")


def random_colour_agreement(vectors: Vectors, asked: np.ndarray, k: int = 10) -> float:
    """Return what `colour_agreement` is expected to be when the other products come in any order."""
    rows = vectors.rows[vectors.rows["side"] == "shop"]
    asking = rows[asked[rows.index] & (rows["colour"] != "")]
    same = total = 0.0
    for category, mine in asking.groupby("category"):
        gallery = rows[rows["category"] == category]
        shares = pd.crosstab(gallery["product_id"], gallery["colour"], normalize="index")  # any of its photos answers
        others = len(shares) - 1
        if others:
            own, colour = shares.index.get_indexer(mine["product_id"]), shares.columns.get_indexer(mine["colour"])
            alike = shares.to_numpy().sum(0)[colour] - shares.to_numpy()[own, colour]
            same += min(k, others) * float(alike.sum()) / others
            total += min(k, others) * len(mine)
    return same / total if total else float("nan")


def _products(rows: pd.DataFrame) -> np.ndarray:
    """Number the products of rows from 0, by category and id, in order of appearance: int64 [N]."""
    return rows.groupby(["category", "product_id"], sort=False).ngroup().to_numpy()
