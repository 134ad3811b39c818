"""Which pairs of photos may show one picture: by their perceptual hashes, and by their embeddings; all, exactly."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kernels.nearest import pairs_among, pairs_within

HASH_BITS_MAX = 10  # of 64 that may differ
HASHED_AT_ONCE = 1 << 20  # hashes that are compared at once: 8 MB
Numbers = NDArray[np.int64]
Hashes = NDArray[np.uint64]


def hash_pairs(hashes: Hashes, new: NDArray[np.bool_], bits_max: int = HASH_BITS_MAX) -> Numbers:
    """List the pairs of which a view of one photo is hashed like the whole of the other: rows, int64 [P, 2].

    hashes: [N, V], the whole photo's first, 0 of what shows nothing. new: [N]; pairs of two others are left out.
    """
    rows = np.flatnonzero(new)
    found = list(_near(hashes[rows].reshape(-1), hashes[:, 0], bits_max))
    pairs = [np.column_stack([rows[view // hashes.shape[1]], whole]) for view, whole in found]
    if len(rows) < len(hashes):
        others = list(_near(hashes[rows, 0], hashes.reshape(-1), bits_max))
        pairs += [np.column_stack([rows[whole], view // hashes.shape[1]]) for whole, view in others]
    return unique(np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64))


def hashed_like(own: Hashes, hashes: Hashes, bits_max: int = HASH_BITS_MAX) -> Numbers:
    """List the rows of hashes [N, V] that `hash_pairs` would pair with one photo's own, [V]; int64, in order."""
    found = [whole for _, whole in _near(own, hashes[:, 0], bits_max)]
    found += [view // hashes.shape[1] for _, view in _near(own[:1], hashes.reshape(-1), bits_max)]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def vector_pairs(vectors: Tensor, new: NDArray[np.bool_], sq_limit: float) -> Numbers:
    """List the pairs whose embeddings are within a limit, as rows, int64 [P, 2].

    vectors: [N, D] float32, scaled to unit length here. new: [N]; pairs of two others are left out.
    """
    unit = torch.nn.functional.normalize(vectors)
    rows = torch.from_numpy(np.flatnonzero(new))
    if not len(rows):
        return np.empty((0, 2), np.int64)
    if len(rows) == len(unit):
        found = pairs_among(unit, sq_limit)
        return unique(torch.stack([found.query, found.row], dim=1).numpy())
    found = pairs_within(unit[rows], unit, torch.full((len(unit),), sq_limit))
    return unique(torch.stack([rows[found.query], found.row], dim=1).numpy())


def nearest_pairs(vectors: Tensor, pairs: Numbers, count: int) -> Numbers:
    """Keep the `count` pairs whose embeddings are nearest: a model that tells nothing apart would have all compared."""
    unit = torch.nn.functional.normalize(vectors)
    gaps = [
        (unit[some[:, 0]] - unit[some[:, 1]]).square().sum(1) for some in torch.split(torch.from_numpy(pairs), 65_536)
    ]
    order = np.argsort(torch.cat(gaps).numpy(), kind="stable") if len(pairs) else np.arange(0)
    return unique(pairs[order[:count]])


def unique(pairs: Numbers) -> Numbers:
    """Return pairs of different rows, the lower first, each once and in order."""
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    if not len(pairs):
        return pairs
    size = int(pairs.max()) + 1
    return np.column_stack(np.divmod(np.unique(pairs[:, 0] * size + pairs[:, 1]), size))


def _near(one: Hashes, other: Hashes, bits_max: int) -> Iterator[tuple[Numbers, Numbers]]:
    """Compare all of one list with all of another, [A] and [B], in blocks that stay in a processor's cache."""
    ones, others = np.flatnonzero(one), np.flatnonzero(other)
    deep = max(1, HASHED_AT_ONCE // 16 // max(1, min(len(others), 16_384)))
    for left in range(0, len(others), 16_384):
        some = others[left : left + 16_384]
        block = other[some]
        for top in range(0, len(ones), deep):
            differing = np.bitwise_count(one[ones[top : top + deep], None] ^ block)
            close = differing <= bits_max
            if close.any():
                row, column = np.nonzero(close)
                yield ones[top + row], some[column]
