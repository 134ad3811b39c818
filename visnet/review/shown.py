"""Which triplets are shown: spread evenly over the kinds, with all that the page says of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from visnet.errors import NotReady
from visnet.sampling import exclusions
from visnet.sampling.splits import SPLITS
from visnet.storage.table import Table

SAID = ["photo_id", "product_id", "category", "colour", "side", "split"]
CLAIMS = {  # kind -> what the sampler holds of (positive, negative), as the judge is to see it
    "street2shop": ("a shop photo of the same product", "another product of its category"),
    "product/out": ("another photo of the same product", "a product of another category"),
    "product/in": ("another photo of the same product", "another product of its category"),
    "colour/out": ("another product, same category and colour", "a product of another category"),
    "colour/in": ("another product, same category and colour", "same category, another colour"),
    "biss/in": ("among the most alike of its category", "another product, much less alike"),
    "biss/out": ("among the most alike of its category", "a product of another category"),
    "importance/in": ("alike, of its category", "another product of its category, less alike"),
    "importance/out": ("alike, of its category", "a product of another category"),
}
OTHER = ("it should match", "it should not match")


@dataclass(frozen=True)
class Shown:
    """Some triplets of a split.

    triplets: crop ids of query, positive and negative, and the kind. crops: crop id -> column -> value. photos: crop
    id -> encoded picture. total: how many triplets the split has.
    """

    split: str
    total: int
    triplets: list[tuple[str, str, str, str]]
    crops: Mapping[str, Mapping[str, str]]
    photos: Mapping[str, bytes]

    def markable(self) -> set[exclusions.Row]:
        """List what may be marked: each photo, each positive pair, each negative pair."""
        rows = {exclusions.row("photo", crop) for crop in self.crops}
        rows |= {exclusions.row("positive", q, p) for q, p, _, _ in self.triplets}
        return rows | {exclusions.row("negative", q, n) for q, _, n, _ in self.triplets}

    def claims(self) -> dict[str, tuple[str, str]]:
        """Say of each kind shown what it holds of positive and negative."""
        return {kind: CLAIMS.get(kind, OTHER) for _, _, _, kind in self.triplets}


def choose(data: Path, split: str, count: int) -> Shown:
    """Choose up to `count` different triplets of a split, each kind in turn, the same ones as long as they stand.

    `ValueError` for an unknown split, a count below 1, and triplets that are not there or of other crops.
    """
    if split not in SPLITS:
        raise ValueError(f"--split {split!r}; allowed are {', '.join(SPLITS)}")
    if count < 1:
        raise ValueError(f"--count {count}: at least 1 triplet must be asked for")
    path, table = data / "triplets" / f"{split}.parquet", data / "crops" / "crops.lance"
    for needed in (path, table):
        if not needed.exists():
            raise NotReady(f"{needed} is missing: run `dvc repro triplets` (or `dvc pull`) first")
    frame = pq.read_table(path).to_pandas()
    if frame.empty:
        raise ValueError(f"{path} holds no triplet; see reports/triplets.json")
    total, kinds = len(frame), frame["kind"].cat.categories
    frame = frame.astype(str).drop_duplicates(ignore_index=True)
    places = {kind: np.flatnonzero(frame["kind"] == kind) for kind in kinds}
    shares = evenly({kind: len(rows) for kind, rows in places.items()}, count)
    chosen = [places[kind][np.linspace(0, len(places[kind]) - 1, shares[kind]).astype(int)] for kind in kinds]
    triplets = list(frame.iloc[np.concatenate(chosen)][["q", "p", "n", "kind"]].itertuples(index=False, name=None))
    crops, photos = looked_up(table, {crop for *three, _ in triplets for crop in three})
    return Shown(split, total, triplets, crops, photos)


def evenly(there: Mapping[str, int], count: int) -> dict[str, int]:
    """Share `count` among kinds as evenly as what is there of each allows."""
    shares: dict[str, int] = {}
    for place, kind in enumerate(sorted(there, key=lambda kind: there[kind])):
        shares[kind] = min(there[kind], (count - sum(shares.values())) // (len(there) - place))
    return shares


def looked_up(table: Path, wanted: set[str]) -> tuple[dict[str, dict[str, str]], dict[str, bytes]]:
    """Read what is said of crops, and their photos, now: the table may be rebuilt while the page is open."""
    opened = Table(table).opened()
    places = [i for i, crop in enumerate(Table(table).read(["crop_id"])["crop_id"].to_pylist()) if crop in wanted]
    found = opened.take(places, columns=["crop_id", *SAID, "image"]).to_pylist()
    photos = {row["crop_id"]: row["image"] for row in found if row["image"] is not None}
    if len(photos) < len(wanted):
        raise ValueError(f"{len(wanted) - len(photos)} crops to be shown are not in {table}: run `dvc repro` first")
    return {row["crop_id"]: {name: row[name] or "" for name in SAID} for row in found}, photos
