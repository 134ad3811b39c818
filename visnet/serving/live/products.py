"""Changed products and their photos, and what answers at a moment."""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kernels.nearest.snapshot import Snapshot
from visnet.serving.live.ranks import Rank
from visnet.sources.changefeed.records import Record

COLUMNS = ("category", "colour", "gender", "title", "price")  # of a record; its other ones are its attributes


@dataclass(frozen=True, eq=False)
class LiveProduct:
    """A changed product; one that was withdrawn has no photos.

    listing: the number of the confirmed group that it is still of, None for none: one that shows all the photos that
    the version has of it is.
    """

    product_id: str
    rank: Rank
    record: Record
    rows: range
    listing: int | None = None

    @property
    def withdrawn(self) -> bool:
        """Whether it was deleted."""
        return self.record.op == "delete"

    def said(self, column: str) -> str | float | bool | None:
        """Return what its record says in a column of the catalog, None for nothing."""
        if column in COLUMNS:
            return getattr(self.record, column) or None if column != "price" else self.record.price
        value: str | float | bool | None = self._attributes.get(column)
        return value

    @functools.cached_property
    def _attributes(self) -> dict[str, Any]:
        return dict(json.loads(self.record.attributes or "{}"))


@dataclass(frozen=True, eq=False)
class LivePhoto:
    """A photo of a changed product: its crop's id, the name of its picture, and its vector [D]."""

    product: LiveProduct
    crop_id: str
    picture: str
    vector: torch.Tensor

    @property
    def photo_id(self) -> str:
        """Its name in the API."""
        return f"{self.crop_id}.{self.picture[:8]}"


@dataclass(frozen=True, eq=False)
class Moment:
    """What answers at a moment: changed photos, by their numbers, and the bits of the version's rows, None for all.

    epoch: another one whenever another thing answers. alive: of the version's rows, [G] bool. photos: by number;
    product: the code of each number's product; listing: that of its listing, among those of the version's `Listings`.
    products: all that were changed.
    """

    epoch: int
    seen: Snapshot
    valid: torch.Tensor | None
    alive: np.ndarray
    photos: Mapping[int, LivePhoto]
    product: np.ndarray
    listing: np.ndarray
    products: Sequence[LiveProduct]
