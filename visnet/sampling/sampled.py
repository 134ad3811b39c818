"""What a sampler is asked, and what it returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from visnet.sampling.crops import Crops

Looks = Mapping[str, Tensor]  # scorer -> [N, D]


@dataclass(frozen=True)
class Asked:
    """Draw `count` triplets of `crops` for a split, or as many as there are, and account for the others.

    looks: gives a row per crop; the photos are looked at when it is first called.
    """

    crops: Crops
    count: int
    split: str | None
    rng: np.random.Generator
    looks: Callable[[], Looks]


@dataclass(frozen=True)
class Sampled:
    """Triplets in random order, with an account of those that could not be had.

    triplets [T, 3] int64: row numbers of query, positive and negative in the table of crops.
    kind [T] int8: which of `kinds` each triplet is.
    short: reason -> how many triplets fewer than were asked for; T and these add up to what was asked.
    skipped: reason -> how many crops of the split can be no query for that reason.
    """

    triplets: np.ndarray
    kind: np.ndarray
    kinds: tuple[str, ...]
    short: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Count the triplets of each kind, absent kinds included."""
        return dict(zip(self.kinds, np.bincount(self.kind, minlength=len(self.kinds)).tolist(), strict=True))
