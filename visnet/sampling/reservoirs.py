"""Weighted reservoirs of a stream, and draws by weight."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Buffers:
    """Weighted reservoirs (Efraimidis and Spirakis, 2006), one of at most `size` crops per category.

    Keys are kept as ln(u) / r, which orders as u^(1 / r) does and does not round to 1.
    """

    size: int
    category: np.ndarray  # of every crop [N]
    weight: np.ndarray  # of every crop [N], 0 or more
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))  # held, by category
    keys: np.ndarray = field(default_factory=lambda: np.empty(0))
    start: np.ndarray = field(init=False)  # [C + 1]: the stretch of each category in rows
    lost: np.ndarray = field(init=False)  # [C]: the largest key that found no room

    def __post_init__(self) -> None:
        many = int(self.category.max(initial=-1)) + 1
        self.start, self.lost = np.zeros(many + 1, dtype=np.int64), np.full(many, -np.inf)

    def offer(self, arriving: np.ndarray, rng: np.random.Generator) -> None:
        """Let crops [A], none of them held, arrive; who replaces whom does not depend on their order."""
        with np.errstate(divide="ignore"):
            keys = np.log1p(-rng.random(len(arriving))) / self.weight[arriving]
        rows, keys = np.append(self.rows, arriving), np.append(self.keys, keys)
        order = np.lexsort((-keys, self.category[rows]))
        rows, keys = rows[order], keys[order]
        category = self.category[rows]
        place = np.arange(len(rows)) - np.searchsorted(category, category)
        stays = place < self.size
        np.maximum.at(self.lost, category[~stays], keys[~stays])
        self.rows, self.keys = rows[stays], keys[stays]
        self.start = np.searchsorted(category[stays], np.arange(len(self.start)))

    def held(self, category: int) -> np.ndarray:
        """Return the crops of a category's buffer, int64 [B]."""
        return self.rows[self.start[category] : self.start[category + 1]]

    def chance(self, category: int) -> np.ndarray:
        """Return the chance 1 − e^(r t) of each held crop to be held, t the largest key without room: float64 [B]."""
        t, held = self.lost[category], self.held(category)
        return np.ones(len(held)) if t == -np.inf else -np.expm1(self.weight[held] * t)


def weighted(weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one column of each row of weights [T, B], in proportion to these: int64 [T], −1 where all are 0."""
    summed = np.cumsum(weight, axis=1)
    whole = summed[:, -1]
    point = (1 - rng.random(len(weight))) * whole  # in (0, whole]: the first sum that reaches it has a weight above 0
    return np.where(whole > 0, (summed < point[:, None]).sum(axis=1), -1)
