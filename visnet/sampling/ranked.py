"""A query's category as each scorer orders it, and draws by rank from these lists."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kernels.nearest import Gallery, nearest
from visnet.sampling.blocks import Blocks, Foreign
from visnet.sampling.crops import Crops

BLOCK_ANSWERS = 1 << 20  # queries x ranks x scorers at work at once


@dataclass(frozen=True)
class RankedLists:
    """What each scorer's list of each crop is, searched for when a crop asks.

    length [N]: entries of a list. top, first, last [N]: positives are ranks 1 to top, in-class negatives first to last.
    """

    crops: Crops
    foreign: Foreign
    descriptors: list[Tensor]
    length: np.ndarray
    top: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @classmethod
    def of(cls, crops: Crops, descriptors: Mapping[str, Tensor], top: int, first: int, last: int) -> "RankedLists":
        length = Blocks.of(crops.category, crops.photo).sizes()
        some = np.minimum(length, last)
        return cls(
            crops,
            Foreign.of(crops),
            list(descriptors.values()),
            length,
            np.maximum(1, top * some // last),
            np.maximum(2, -(-first * some // last)),
            some,
        )

    def positives(self, q: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a positive for each query, int64 [T]."""
        drawn = np.empty(len(q), dtype=np.int64)
        by = rng.integers(0, len(self.descriptors), len(q))
        for number, vectors in enumerate(self.descriptors):
            for asking in _by_category(np.flatnonzero(by == number), self.crops.category[q]):
                members, depth = self._members(q[asking[0]]), int(self.top[q[asking]].max())
                gallery = Gallery(vectors[torch.from_numpy(members)], metric="sq_euclidean")
                for part in _pieces(asking, BLOCK_ANSWERS // depth):
                    unique, place = np.unique(q[part], return_inverse=True)
                    ranked = self._ranked(vectors, gallery, members, unique, depth)
                    drawn[part] = ranked[place, rng.integers(0, self.top[q[part]])]
        return drawn

    def inside(self, eligible: np.ndarray, quota: int, rng: np.random.Generator) -> np.ndarray:
        """Draw triplets with in-class negatives, [quota, 3], or [0, 3] if no query has one."""
        parts = [np.empty((0, 3), dtype=np.int64)]
        while quota and eligible.size:
            # Whether a query has a negative is known once it is searched for; one without is never drawn again.
            drawn = self._pairs(eligible[rng.integers(0, eligible.size, quota)], rng)
            good = drawn[:, 2] >= 0
            eligible = np.setdiff1d(eligible, drawn[~good, 0])
            parts.append(drawn[good])
            quota -= int(good.sum())
        return np.concatenate(parts)

    def _pairs(self, q: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw positive and in-class negative (−1: there is none) for each query, [T, 3]."""
        drawn = np.stack([q, q, q], axis=1)
        for asking in _by_category(np.arange(len(q)), self.crops.category[q]):
            members, depth = self._members(q[asking[0]]), int(self.last[q[asking]].max())
            galleries = [Gallery(v[torch.from_numpy(members)], metric="sq_euclidean") for v in self.descriptors]
            for part in _pieces(asking, BLOCK_ANSWERS // (depth * len(galleries))):
                unique, place = np.unique(q[part], return_inverse=True)
                pairs = zip(self.descriptors, galleries, strict=True)
                ranked = np.stack([self._ranked(v, g, members, unique, depth) for v, g in pairs])
                by = rng.integers(0, len(galleries), len(part))
                drawn[part, 1] = ranked[by, place, rng.integers(0, self.top[q[part]])]
                drawn[part, 2] = _one_of(ranked, self._allowed(unique, ranked), place, rng)
        return drawn

    def _allowed(self, q: np.ndarray, ranked: np.ndarray) -> np.ndarray:
        """Say of each entry of the lists [S, U, K] of queries [U] whether it may be an in-class negative."""
        rank = np.arange(1, ranked.shape[2] + 1)
        asking = np.broadcast_to(np.arange(len(q))[:, None], ranked.shape)
        near = np.broadcast_to(rank <= self.top[q][:, None], ranked.shape)
        allowed = np.broadcast_to(
            (rank >= self.first[q][:, None]) & (rank <= self.last[q][:, None]), ranked.shape
        ).copy()
        shown = asking * (int(self.crops.photo.max()) + 1) + self.crops.photo[ranked]
        allowed[allowed] = ~np.isin(shown[allowed], shown[near])
        allowed[allowed] = ~self.foreign.bars(q[asking[allowed]], ranked[allowed])
        return allowed

    def _members(self, row: int) -> np.ndarray:
        return np.flatnonzero(self.crops.category == self.crops.category[row])

    def _ranked(self, vectors: Tensor, gallery: Gallery, members: np.ndarray, q: np.ndarray, depth: int) -> np.ndarray:
        """Return the first `depth` entries of each query's list, int64 [U, depth]; what lies beyond it is its own."""
        own = int((len(members) - self.length[q]).max())
        found = nearest(vectors[torch.from_numpy(q)], gallery, depth + own).row.cpu().numpy()
        found = members[found]
        mine = self.crops.photo[found] == self.crops.photo[q][:, None]
        return np.take_along_axis(found, np.argsort(mine, axis=1, kind="stable"), axis=1)[:, :depth]


def _one_of(ranked: np.ndarray, allowed: np.ndarray, place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw for each asker (place [T] of U) a list with allowed entries, then one of these; −1 without any."""
    sizes = allowed.sum(axis=2)  # [S, U]
    ways = (sizes > 0).sum(axis=0)
    turn = rng.integers(0, np.maximum(ways[place], 1))
    by = np.argsort(sizes == 0, axis=0, kind="stable")[turn, place]
    nth = rng.integers(0, np.maximum(sizes[by, place], 1))
    first = np.argsort(~allowed, axis=2, kind="stable")
    return np.where(ways[place] > 0, ranked[by, place, first[by, place, nth]], -1)


def _by_category(asking: np.ndarray, category: np.ndarray) -> list[np.ndarray]:
    """Split the numbers of askers by the category of each."""
    order = asking[np.argsort(category[asking], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(category[order])) + 1) if order.size else []


def _pieces(asking: np.ndarray, most: int) -> list[np.ndarray]:
    return np.split(asking, range(max(most, 1), len(asking), max(most, 1)))
