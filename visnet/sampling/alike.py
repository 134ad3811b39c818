"""Which products validate: whole groups of those that look alike, so that none looks much like what was learnt.

Photos of one shelf, one stand or one session are nearly one photo. Where some of them teach and others validate, a
network knows what it is asked, and what it says of its own certainty is too high for a photo from elsewhere. Groups are
kept whole therefore (Roberts et al., "Cross-validation strategies for data with temporal, spatial, hierarchical, or
phylogenetic structure", Ecography 40, 2017); within a category, since it is of others of its own that a photo is told.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from kernels.nearest import nearest

GROUPS = 8  # into which a category's products are cut
COMPARED = 1_000  # products of a category of which every pair is compared; the others join the nearest one's group

Numbers = npt.NDArray[np.int64]


def groups(vectors: npt.NDArray[np.float32], category: Numbers) -> Numbers:
    """Cut each category into `GROUPS` groups of vectors that are alike, or fewer; return the number of each's, [N].

    vectors: [N, D], finite; category: [N] int64. By Ward's method ("Hierarchical grouping to optimize an objective
    function", JASA 58, 1963), which knows no scale: how far apart photos of one shelf are depends on the network. Equal
    vectors are always in one group.
    """
    if vectors.ndim != 2 or category.shape != vectors.shape[:1]:
        raise ValueError(f"vectors are {vectors.shape} and categories {category.shape}; needed are [N, D] and [N]")
    found = np.zeros(len(vectors), np.int64)
    first = 0
    for one in np.unique(category):
        rows = np.flatnonzero(category == one)
        own = _cut(vectors[rows])
        found[rows] = first + own
        first += int(own.max()) + 1
    return found


def kept_apart(
    group: Numbers, category: Numbers, names: Sequence[str], share: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Say of each product whether it validates, bool [N]: whole groups, about a share of every category.

    group, category: [N]; names: [N] ids, by which the order of a category's groups is drawn. A category never gives its
    last group. What a category gives too much or too little the next ones even out: one of two products still counts.
    """
    held, owed = np.zeros(len(group), bool), 0.0
    for one in np.unique(category):
        rows = np.flatnonzero(category == one)
        members = [rows[group[rows] == number] for number in np.unique(group[rows])]
        owed += share * len(rows)
        for own in sorted(members, key=lambda own: _draw(min(names[row] for row in own), seed)):
            left = int((~held[rows]).sum())
            if len(own) < left and abs(owed - len(own)) < abs(owed):
                held[own] = True
                owed -= len(own)
    return held


def _cut(vectors: npt.NDArray[np.float32]) -> Numbers:
    """Number the groups of one category's vectors from 0."""
    from scipy.cluster.hierarchy import fcluster, linkage  # here: it takes long to import

    compared = np.linspace(0, len(vectors) - 1, min(len(vectors), COMPARED)).round().astype(np.int64)
    some = vectors[compared]
    if (some == some[0]).all():
        return np.zeros(len(vectors), np.int64)
    cut = fcluster(linkage(some.astype(np.float64), "ward"), GROUPS, "maxclust").astype(np.int64) - 1
    if len(some) == len(vectors):
        return cut
    return cut[nearest(torch.from_numpy(vectors), torch.from_numpy(some), 1).row[:, 0].numpy()]


def _draw(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"alike:{seed}:{name}".encode()).digest()
