"""What is kept of a change, and of the photos that it shows."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from visnet.serving.live.ranks import Rank
from visnet.sources.record_table import CROP
from visnet.storage.fingerprints import fingerprint_of_texts

WAITING, VISIBLE, DEAD = "waiting", "visible", "dead"


@dataclass(frozen=True)
class Change:
    """A change as it is kept; `number` counts all of them, and `line` those of a batch, from 1.

    record: its line in a batch of the feed; of a refused one, what was given of it. accepted_s, visible_s: seconds
    since 1970. version: by which the line has taken it in.
    """

    number: int
    batch: str
    line: int
    product_id: str
    op: str
    record: str
    rank: Rank
    state: str
    reason: str
    accepted_s: float
    visible_s: float | None = None
    version: int | None = None


@dataclass(frozen=True, eq=False)
class ShownCrop:
    """A photo of a change: the id of its crop in the line, the crop as JPEG, and its vector [D] float32 by a model."""

    crop_id: str
    jpeg: bytes
    vector: torch.Tensor


def picture_of(jpeg: bytes) -> str:
    """Name a crop by its bytes."""
    return hashlib.sha256(jpeg).hexdigest()[:32]


def crop_ids(product_id: str, photos: Sequence[str]) -> list[str]:
    """Return the ids that the line gives the crops of a product's shop photos, which are whole photos."""
    return [fingerprint_of_texts(photo, product_id, *[None] * len(CROP[2:])) for photo in photos]
