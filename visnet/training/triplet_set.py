"""What an embedding is learnt from: photos, their products, and triplets of them."""

from collections.abc import Iterator, Sized
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from visnet.models.inputs import stack
from visnet.training.batches import Plan, Rows
from visnet.training.plans import ByProduct, ByTriplet
from visnet.zoo import Batches


@dataclass(eq=False)
class TripletSet:
    """Photos, and the triplets of them to train on and to validate with.

    `images` is a map-style dataset of N uint8 RGB photos [3, S, S] (with `names`, where errors shall name them);
    `train` [T, 3] and `validation` [V, 3] int64 are its rows as (query, positive, negative), where V may be 0; `labels`
    [N] int64 is the product of each photo. Batches of products draw from the rows `pool` [M] (those of `train` where
    left out), and take both sides where `street` [N], true for street photos, says which is which.
    `ValueError` for triplets that are no such rows.
    """

    images: Dataset[Tensor]
    train: Rows
    validation: Rows
    labels: Rows
    pool: Any = None
    street: Any = None

    def __post_init__(self) -> None:
        for name in ("train", "validation", "labels"):
            setattr(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.int64))
        self._check()
        self.pool = np.unique(self.train if self.pool is None else self.pool).astype(np.int64)
        self.street = np.asarray(np.zeros(len(self.labels)) if self.street is None else self.street, np.int64)

    def plan(self, batches: Batches, seed: int) -> Plan:
        """Plan batches of the training's triplets, or of products with their photos."""
        if batches.products:
            return ByProduct(
                self.pool, self.labels, self.street, products=batches.products, photos=batches.photos, seed=seed
            )
        return ByTriplet(self.train, per_batch=batches.triplets, seed=seed)

    def fingerprint(self) -> Iterator[bytes]:
        """Return what tells one set from another: its numbers, and some of the photos."""
        for rows in (self.train, self.validation, self.labels, self.pool, self.street):
            yield f"{rows.shape}".encode() + rows.tobytes()
        # not all photos: there may be a million
        for row in np.unique(np.linspace(0, len(self.labels) - 1, 8).astype(np.int64)).tolist():
            yield stack(self.images, [row]).numpy().tobytes()

    def _check(self) -> None:
        count = len(cast(Sized, self.images))
        if self.labels.shape != (count,):
            raise ValueError(f"labels are {list(self.labels.shape)}; must be [{count}], one product for each photo")
        if len(self.train) == 0:
            raise ValueError("there are no training triplets; at least 1 is needed")
        for name, rows in (("train", self.train), ("validation", self.validation)):
            if rows.size and (rows.ndim != 2 or rows.shape[1] != 3):
                raise ValueError(f"{name} triplets are {list(rows.shape)}; must be [T, 3]")
            if rows.size and not 0 <= rows.min() <= rows.max() < count:
                raise ValueError(
                    f"{name} triplets name rows {rows.min()} to {rows.max()}; allowed are 0 to {count - 1}"
                )
