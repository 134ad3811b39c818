"""The shop whose history the churn benchmark plays, and the truth about it."""

import statistics
from dataclasses import dataclass, field

import numpy as np

K = 10  # neighbours asked for


@dataclass
class Shop:
    """Vectors [M, D] by id, which of them are there [M] bool, and queries; the same history for every system."""

    vectors: np.ndarray
    queries: np.ndarray
    alive: np.ndarray
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @property
    def next_id(self) -> int:
        """The first id that was never there."""
        return int(np.flatnonzero(self.alive)[-1]) + 1

    def change(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Choose `count` ids to delete and as many new ones to insert."""
        gone = self.rng.choice(np.flatnonzero(self.alive), count, replace=False)
        new = np.arange(self.next_id, self.next_id + count)
        self.alive[gone], self.alive[new] = False, True
        return gone, new

    def nearest(self) -> np.ndarray:
        """Find the ids of the K nearest of each query by brute force in float64, [Q, K]."""
        ids = np.flatnonzero(self.alive)
        best_sq, best = np.full((len(self.queries), K), np.inf), np.full((len(self.queries), K), -1)
        x = self.queries.astype(np.float64)
        for start in range(0, len(ids), 8192):
            part = ids[start : start + 8192]
            y = self.vectors[part].astype(np.float64)
            sq = np.concatenate((best_sq, (y * y).sum(1) - 2.0 * x @ y.T), 1)
            order = np.argpartition(sq, K - 1)[:, :K]
            best_sq = np.take_along_axis(sq, order, 1)
            best = np.take_along_axis(np.concatenate((best, np.broadcast_to(part, (len(x), len(part)))), 1), order, 1)
        return best


def recall(found: np.ndarray, true: np.ndarray) -> float:
    """Count which share of the true neighbours was found."""
    return statistics.fmean(len({*a} & {*b}) / K for a, b in zip(found.tolist(), true.tolist(), strict=True))
