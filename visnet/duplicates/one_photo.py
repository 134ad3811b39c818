"""One photo against all others: which of them show its picture, by the rule that all pairs are found by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from visnet.duplicates.candidates import Hashes, Numbers, hashed_like
from visnet.duplicates.compared_pairs import CROWD
from visnet.duplicates.comparison import compare
from visnet.duplicates.rule import Rule
from visnet.duplicates.verdict import relations, scores

MOST = CROWD  # photos that are compared for their embeddings alone, the nearest: so many per photo has the stage


@dataclass(frozen=True)
class Copied:
    """A photo, by its row, that shows the same picture: how probable that is, and how the one was made of the other.

    found_by: "hash", "vector", both, or "" for one of the nearest others.
    """

    row: int
    score: float
    relation: str
    found_by: str


def copies_of(
    picture: Tensor,
    pictures: Callable[[Numbers], Tensor],
    rule: Rule,
    *,
    hashed: tuple[Hashes, Hashes],
    near: Sequence[int],
    nearest: Sequence[int],
) -> tuple[list[Copied], int]:
    """Find the photos that show the same picture as one, surest first; and count those that it was held against.

    picture: uint8 [3, SIDE_PX, SIDE_PX]; pictures: gives those of rows [P]. hashed: of all views, of the one photo [V]
    and of the others [N, V], all 0 for one that is out. near: rows whose embeddings are within the rule's limit,
    nearest first; nearest: rows of the nearest other products.
    """
    by = {"hash": hashed_like(*hashed, rule.hash_bits_max), "vector": np.array(near[:MOST], np.int64)}
    rows = np.unique(np.concatenate([*by.values(), np.array(nearest[: rule.nearest], np.int64)]))
    if not len(rows):
        return [], 0
    others = pictures(rows)
    seen = compare(picture[None], others)
    found = [
        Copied(int(row), float(score), relation, ", ".join(name for name, own in by.items() if row in own))
        for row, score, relation in zip(rows, scores(seen.features), relations(seen.features, seen.maps), strict=True)
        if score >= rule.score_min
    ]
    return sorted(found, key=lambda one: -one.score), len(rows)
