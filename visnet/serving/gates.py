"""What is measured of a catalog before it is served, and what may keep it from being served."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kernels.nearest import nearest
from visnet.embedding.vectors import Vectors
from visnet.storage.table import Table, wanted_rows

PROBES = 256  # shop photos that must find themselves, spread over the catalog
SHOP = "side = 'shop' AND lost IS NULL"


Product = tuple[str, str]  # its category and its id: another category's product may have the same id


class Photos(NamedTuple):
    """A product's shop photos: one to show, and a text that differs when any of them does."""

    crop_id: str
    content: str


@dataclass(frozen=True)
class Gate:
    """A measured value and how far it may go; without a value or a limit nothing is held against it."""

    name: str
    value: float | None
    limit: float | None
    least: bool = False

    @property
    def passed(self) -> bool:
        """Whether the catalog may be served as far as this goes."""
        if self.value is None or self.limit is None:
            return True
        return self.value >= self.limit if self.least else self.value <= self.limit

    def report(self) -> dict[str, float | None]:
        """Return the value and its limit, under the names by which they are shown and set."""
        return {self.name: self.value, f"{self.name}_{'min' if self.least else 'max'}": self.limit}


def products(crops: Path, embeddings: Path | None = None) -> dict[Product, Photos]:
    """Return (category, product_id) -> its shop photos, for the products of a crops table that can be found.

    embeddings: only photos count that have a vector there; others are left out, and not shown.
    """
    names = ["category", "product_id", "crop_id", "content"]
    rows = Table(crops).read(names, SHOP)
    if embeddings is not None:
        rows = rows.filter(pc.is_in(rows["crop_id"], value_set=Table(embeddings).read(["crop_id"])["crop_id"]))
    rows = rows.sort_by([(name, "ascending") for name in names]).combine_chunks()
    if not len(rows):
        return {}
    category, product_id, crop_id, content = (rows[name].combine_chunks() for name in names)
    codes = [column.dictionary_encode().indices.to_numpy() for column in (category, product_id)]
    first = np.flatnonzero(np.logical_or.reduce([np.diff(code, prepend=-1) for code in codes]))
    pieces = [piece for column in (crop_id, content) for piece in (_length(column), column)]  # so no text is cut again
    photos = pa.ListArray.from_arrays(
        pa.array([*first, len(rows)], pa.int32()), pc.binary_join_element_wise(*pieces, ":")
    )
    found = (column.take(pa.array(first)) for column in (category, product_id, crop_id))
    columns = [*(column.to_pylist() for column in found), pc.binary_join(photos, "").to_pylist()]
    return {(kind, product): Photos(crop, text) for kind, product, crop, text in zip(*columns, strict=True)}


def _length(column: pa.Array) -> pa.Array:
    return pc.cast(pc.binary_length(column), pa.string())


def check_consistent(
    folder: Path, applied: Path, vectors: Vectors, there: Iterable[Product], wanted: pa.Table, made_by: str
) -> None:
    """Hold the parts of a version against each other; `ValueError` names what is behind, and which stage to run.

    applied: the photos that the lists were made of; there: the `products`; wanted: the crops, and what the vector of
    each is to be made from (see `wanted_rows`); made_by: the model that embeds a visitor's photo.
    """
    if vectors.model != made_by:
        raise ValueError("the vectors are by another model than trained_model; run `dvc repro catalog_embeddings`")
    if behind := _differing(folder / "embeddings.lance", wanted):
        raise ValueError(
            f"{len(behind)} vectors are not of today's crops (the first: {behind[0]}); "
            "run `dvc repro catalog_embeddings`"
        )
    sources = wanted_rows(vectors.rows["crop_id"], vectors.rows["source"])
    lists = Table(folder / "knn.lance").read(["category", "product_id", "kind", "model"])
    similar = lists.filter(pc.equal(lists["kind"], "similar"))
    listed = set(zip(similar["category"].to_pylist(), similar["product_id"].to_pylist(), strict=True))
    crops, others = _differing(applied, sources), sorted(listed.symmetric_difference(there))
    if crops or others or set(lists["model"].unique().to_pylist()) != {made_by}:
        first = f" ({len(others)} products differ, the first: {others[0][1]} of {others[0][0]})" if others else ""
        first = f" ({len(crops)} differ, the first: {crops[0]})" if crops else first
        raise ValueError(f"the lists are not of today's vectors{first}; run `dvc repro knn_results`")


def _differing(table: Path, wanted: pa.Table) -> list[str]:
    change = Table(table, "crop_id").compare(wanted)
    return [*change.new, *change.changed, *change.gone]


def self_hit_share(shop: Vectors) -> float:
    """Return how many of some shop photos, each searched in its own category, find themselves or a copy."""
    probes = np.zeros(len(shop.rows), bool)
    probes[:: max(1, len(probes) // PROBES)] = True
    sampled, hits = shop.where(probes), 0
    for category in sorted(set(sampled.rows["category"])):
        gallery, asked = shop.of(category=category).matrix, sampled.of(category=category).matrix
        found = gallery[nearest(asked, gallery, 1).row[:, 0]]
        hits += int(((found - asked).square().sum(1) == 0).sum())
    return round(hits / max(1, probes.sum()), 6)


def street_hits(knn: Path, there: Mapping[Product, Photos]) -> dict[str, bool]:
    """Return street crop -> whether its nearest product is its own, where that is in the catalog."""
    columns = ["query_id", "product_id", "category", "products"]
    rows = Table(knn).read(columns, "kind = 'street'")
    first = pc.list_element(pc.list_slice(rows["products"], 0, 1, return_fixed_size_list=True), 0)  # null of none
    answers = zip(*(column.to_pylist() for column in (*rows.select(columns[:3]).columns, first)), strict=True)
    return {query: product == nearest for query, product, category, nearest in answers if (category, product) in there}


def recall(hits: Mapping[str, bool], over: set[str] | None = None) -> float | None:
    """Return recall@1 of some queries, None of none."""
    counted = [hit for query, hit in hits.items() if over is None or query in over]
    return round(sum(counted) / len(counted), 6) if counted else None
