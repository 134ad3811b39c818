"""Whether what is found is alike where it is another product: coarse and fine recall, and nDCG, on attributes.

The measures are those of LookBench (arXiv 2601.14706, and the README of its code, look-bench), on the two attributes
that every catalog may have, category and colour, and over the whole shop instead of one category of it:

* coarse recall@k: the share of photos with a product of their category among the k nearest;
* fine recall@k: the share of photos with a product of their category and of all their attributes, here their colour;
* nDCG@k: the gain of each of the k nearest products, less the later it comes, Σ gain_i / log2(i + 1), as a share of
  what the best order of the shop would give. The gain is the overlap of attributes: 1 for category and colour, 1/2 for
  the category alone, and 0 for another category, whose colours LookBench does not compare either.

What differs from LookBench: it has over a hundred attributes, which a model has read from the photos, where a catalog
has its own two, so that its figures are lower and not to be compared with these; its answers are photos, ours distinct
products, each by its nearest photo; and its published code knows but two gains, 1 and 0, where its text grades them.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from visnet.embedding.vectors import Vectors
from visnet.search.products import nearest_products

KS = (1, 5, 10, 20)
MEASURES = ("coarse_recall", "fine_recall", "ndcg")
ALONE = 0.5  # the gain of a product that shares the category alone


def graded(vectors: Vectors, asking: np.ndarray, ks: Sequence[int] = KS) -> pd.DataFrame:
    """Grade what the photos of a mask, bool [N], find in the whole shop: a row per k.

    Columns: k, coarse_queries and fine_queries (how many photos have a category, and a colour, too), coarse_recall,
    fine_recall and ndcg; NaN where no photo has what is compared. A shop photo's own product is no answer to it; to a
    street photo it is, by its attributes. A product has the attributes of the photo by which it answers.
    """
    shop = vectors.of(side="shop")
    mine = vectors.where(asking)
    both = pd.concat([shop.rows, mine.rows])
    code = both.groupby(["category", "product_id"], sort=False).ngroup().to_numpy()
    product, own = code[: len(shop.rows)], code[len(shop.rows) :]
    own = np.where((mine.rows["side"] == "shop").to_numpy(), own, -1)
    category, colour = (mine.rows[name].to_numpy(object) for name in ("category", "colour"))
    coarse = category != ""
    fine = coarse & (colour != "")
    found = nearest_products(mine.matrix, shop.matrix, product, max(ks), exclude=own)
    there = found.row >= 0
    alike = there & (shop.rows["category"].to_numpy(object)[found.row] == category[:, None])
    whole = alike & (shop.rows["colour"].to_numpy(object)[found.row] == colour[:, None])
    gain = np.where(whole, 1.0, np.where(alike, ALONE, 0.0))
    discount = 1 / np.log2(np.arange(max(ks)) + 2)
    best = _best(shop.rows, mine.rows, own >= 0, discount)
    rows = []
    for k in ks:
        dcg = (gain[:, :k] * discount[:k]).sum(axis=1)
        values = {
            "coarse_recall": alike[coarse, :k].any(axis=1),
            "fine_recall": whole[fine, :k].any(axis=1),
            "ndcg": dcg[fine & (best[:, k - 1] > 0)] / best[fine & (best[:, k - 1] > 0), k - 1],
        }
        means = {name: float(value.mean()) if len(value) else float("nan") for name, value in values.items()}
        rows.append({"k": k, "coarse_queries": int(coarse.sum()), "fine_queries": int(fine.sum()), **means})
    return pd.DataFrame(rows)


def _best(shop: pd.DataFrame, mine: pd.DataFrame, without_own: np.ndarray, discount: np.ndarray) -> np.ndarray:
    """Return what the best order of the shop gives to each photo at each rank, [Q, K] float64."""
    looks = shop[["category", "product_id", "colour"]].drop_duplicates()
    of_category = looks.drop_duplicates(["category", "product_id"]).groupby("category").size()
    of_both = looks.groupby(["category", "colour"]).size()
    pairs = pd.MultiIndex.from_frame(mine[["category", "colour"]])
    whole = of_both.reindex(pairs, fill_value=0).to_numpy()
    every = of_category.reindex(mine["category"], fill_value=0).to_numpy()
    triples = pd.MultiIndex.from_frame(mine[["category", "product_id", "colour"]])
    whole = whole - (without_own & triples.isin(pd.MultiIndex.from_frame(looks[list(triples.names)])))
    every = every - without_own
    best = np.concatenate([[0.0], np.cumsum(discount)])
    ranks = np.arange(1, len(discount) + 1)
    upto_whole, upto_every = (best[np.minimum(count[:, None], ranks)] for count in (whole, every))
    summed: np.ndarray = ALONE * upto_every + (1 - ALONE) * upto_whole
    return summed
