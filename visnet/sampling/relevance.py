"""How relevant one crop is to another, 0 to 1, and all crops of its category to a crop together."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from visnet.sampling.blocks import Blocks
from visnet.sampling.crops import Crops

MIDDLING = 0.1  # relevance of two crops at the median distance of their category: it must discriminate among the near
PAIRS = 4096  # from which that median is taken
WITNESSES = 1024  # a category of more crops has its total relevances estimated from a sample of that many
ROWS = 1024  # rows of a relevance matrix at once


@dataclass(frozen=True)
class Relevance:
    """Relevance within a category: 1 for the same product, else the mean over scorers of exp(−d² / (2 σ²)).

    σ² is such that a pair at the scorer's median squared distance in the category (of `PAIRS` random pairs) has
    relevance `MIDDLING`. What is on one photo has relevance 0: it is no other picture of the thing.
    """

    crops: Crops
    descriptors: list[Tensor]
    decay: np.ndarray  # [S, N] float64: 1 / (2 σ²) of each scorer in the crop's category, inf where all are equal

    @classmethod
    def of(cls, crops: Crops, descriptors: Mapping[str, Tensor], rng: np.random.Generator) -> "Relevance":
        """Measure each scorer's σ² in each category."""
        scorers = [d.float() for d in descriptors.values()]
        decay = np.full((len(scorers), len(crops)), np.inf)
        for members in categories(crops):
            if len(members) < 2:
                continue
            a = rng.integers(0, len(members), PAIRS)
            b = (a + rng.integers(1, len(members), PAIRS)) % len(members)
            for number, vectors in enumerate(scorers):
                apart = vectors[torch.from_numpy(members[a])] - vectors[torch.from_numpy(members[b])]
                median = float(apart.square().sum(1).median())
                if median > 0:
                    decay[number, members] = -np.log(MIDDLING) / median
        return cls(crops, scorers, decay)

    def between(self, q: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return the relevance of `others` [B] to `q` [Q], all of one category: float64 [Q, B]."""
        crops = self.crops
        mean = np.zeros((len(q), len(others)))
        for vectors, decay in zip(self.descriptors, self.decay, strict=True):
            a, b = vectors[torch.from_numpy(q)], vectors[torch.from_numpy(others)]
            # Differences, not products, would be exact near 0; there the relevance is flat, so products do.
            sq = (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp_min(0).cpu().numpy()
            scale = decay[q[0]] if len(q) else 1.0
            mean += np.exp(-sq * scale) if np.isfinite(scale) else sq <= 0
        mean /= len(self.descriptors)
        mean[crops.product[q][:, None] == crops.product[others]] = 1
        mean[crops.photo[q][:, None] == crops.photo[others]] = 0
        return mean

    def totals(self, rng: np.random.Generator) -> np.ndarray:
        """Sum the relevance of each crop to all others of its category: float64 [N].

        Exact for categories of up to `WITNESSES` crops. In larger ones the crops of the same product count exactly, and
        those of other products by a uniform sample of `WITNESSES` crops of the category.
        """
        product = self.crops.product
        by_product = Blocks.of(self.crops.category, product)
        others = by_product.sizes()  # of other products in the category
        own = Blocks.of(by_product.part, self.crops.photo).sizes()  # of the product, in the category, on other photos
        totals = np.zeros(len(product))
        for members in categories(self.crops):
            witnesses = members
            if len(members) > WITNESSES:
                witnesses = rng.choice(members, WITNESSES, replace=False)
            for rows in np.split(members, range(ROWS, len(members), ROWS)):
                other = product[rows][:, None] != product[witnesses]
                seen = other.sum(axis=1)
                summed = (self.between(rows, witnesses) * other).sum(axis=1)
                totals[rows] = own[rows] + summed * np.where(seen > 0, others[rows] / np.maximum(seen, 1), 0)
        return totals


def categories(crops: Crops) -> list[np.ndarray]:
    """List the rows of each category, sorted, int64 [M] each."""
    order = np.argsort(crops.category, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(crops.category[order])) + 1) if len(order) else []
