"""Pictures of planted cases: photos larger than their crops are made faulty, and then cut as crops are."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from visnet.localizing.plain_background import product_mask
from visnet.photos import codec
from visnet.photos.cutting import cut_all
from visnet.quality import cases, good
from visnet.quality.faults import FAULTS, OTHERS
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table

FINER = 3  # photos are made faulty so many times larger than a crop, where they are so large
_QUALITY = 95  # of the JPEG that a finer photo is meanwhile
_MASKED_PX = 160
_READ_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Finer:
    """The good photos of a split: rows of crops, by crop_id their pictures, and the longer sides of their crops.

    plain: crop ids of those from which a product can be cut out.
    """

    rows: pd.DataFrame
    pictures: dict[str, Image.Image]
    sides_px: dict[str, int]
    plain: tuple[str, ...]


class Planter:
    """Makes the pictures of cases; a split's photos are read once one of its cases is wanted."""

    def __init__(self, raw_images: Path, crops: Path, rows: pd.DataFrame, seed: int) -> None:
        """Take the rows that `cases.chosen` chose, and the seed of all that is drawn."""
        self.raw_images, self.crops, self.seed = raw_images, crops, seed
        self.rows = {str(split): own.reset_index(drop=True) for split, own in rows.groupby("split")}
        self._split = dict(zip(rows["crop_id"], rows["split"], strict=True))
        self._finer: dict[str, Finer] = {}

    def pictures(self, wanted: Sequence[str]) -> Iterator[tuple[str, Image.Image]]:
        """Make cases, each as its crop would be; those that cannot be made are left out."""
        for case in wanted:
            photos = self._photos(self._split[cases.crop_of(case)])
            crop_id = cases.crop_of(case)
            picture = self._made(photos, case) if crop_id in photos.pictures else None
            if picture is not None:
                small = codec.fit(picture, photos.sides_px[crop_id])
                yield case, Image.open(io.BytesIO(codec.encode(small))).convert("RGB")

    def _photos(self, split: str) -> Finer:
        if split not in self._finer:
            self._finer[split] = finer(self.raw_images, self.crops, self.rows[split])
        return self._finer[split]

    def _made(self, photos: Finer, case: str) -> Image.Image | None:
        crop_id, kind = cases.crop_of(case), cases.made_as(case)
        rng = np.random.default_rng([self.seed, int(fingerprint(case)[:8], 16)])
        some = [photos.pictures[crop_id]]
        if kind == "as_it_is":
            return some[0]
        if kind == "collage":
            beside = cases.others(self.rows[self._split[crop_id]], crop_id, self.seed)
            some += [photos.pictures[one] for one in beside if one in photos.pictures]
        if kind == "several":
            pool = [one for one in photos.plain if one != crop_id]
            drawn = rng.choice(len(pool), min(OTHERS, len(pool)), replace=False).tolist() if pool else []
            some += [photos.pictures[pool[at]] for at in drawn]
        if rng.random() < 0.5:
            some = [one.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for one in some]
        if kind in FAULTS:
            made = FAULTS[kind](some, rng)
        else:
            made = good.hard(some[0], rng) if kind == "hard" else some[0]
        return None if made is None else good.varied(made, rng)


def finer(raw_images: Path, crops: Path, rows: pd.DataFrame) -> Finer:
    """Cut the photos of rows anew from what the source gave, larger than their crops where it is."""
    sides_px = {crop_id: max(picture.size) for crop_id, picture in shown(crops, rows["crop_id"].tolist())}
    side_px = FINER * max(sides_px.values(), default=1)
    pictures: dict[str, Image.Image] = {}
    for part, cuts in cut_all(raw_images / "photos.lance", rows.sort_values("photo_id"), side_px, _QUALITY):
        for crop_id, cut in zip(part["crop_id"], cuts, strict=True):
            if cut.image is not None:
                pictures[crop_id] = Image.open(io.BytesIO(cut.image)).convert("RGB")
    plain = [one for one in sorted(pictures) if product_mask(codec.fit(pictures[one], _MASKED_PX)) is not None]
    return Finer(rows, pictures, sides_px, tuple(plain))


def shown(crops: Path, crop_ids: Sequence[str]) -> Iterator[tuple[str, Image.Image]]:
    """Yield some crops as they stand in their table."""
    opened = Table(crops / "crops.lance").opened()
    wanted = set(crop_ids)
    names = opened.to_table(columns=["crop_id"])["crop_id"].to_pylist()
    places = [at for at, name in enumerate(names) if name in wanted]
    for first in range(0, len(places), _READ_AT_ONCE):
        found = opened.take(places[first : first + _READ_AT_ONCE], columns=["crop_id", "image"])
        for crop_id, data in zip(found["crop_id"].to_pylist(), found["image"].to_pylist(), strict=True):
            yield crop_id, Image.open(io.BytesIO(data)).convert("RGB")
