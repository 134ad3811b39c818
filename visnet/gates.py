"""What is measured of a catalog before it is served, and what may keep it from being served."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kernels.nearest import nearest
from visnet import tables
from visnet.vectors import Vectors

PROBES = 256  # shop photos that must find themselves, spread over the catalog
SHOP = "side = 'shop' AND lost IS NULL"


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


def products(crops: Path) -> dict[str, str]:
    """Return category|product -> what its shop photos are, for the products of a crops table that can be found."""
    category, product_id, *photo = tables.read(crops, ["category", "product_id", "crop_id", "content"], SHOP).columns
    names = ("product", "photo")
    joined = [pc.binary_join_element_wise(*pair) for pair in ((category, product_id, "|"), (*photo, "="))]
    rows = pa.table(joined, names=names).sort_by([(name, "ascending") for name in names]).combine_chunks()
    product = rows["product"].combine_chunks().dictionary_encode()
    first = np.flatnonzero(np.diff(product.indices.to_numpy(), prepend=-1))
    said = pa.ListArray.from_arrays(pa.array([*first, len(rows)], pa.int32()), rows["photo"].combine_chunks())
    return dict(zip(product.dictionary.to_pylist(), pc.binary_join(said, "\n").to_pylist(), strict=True))


def whole(folder: Path, applied: Path, vectors: Vectors, there: Iterable[str], wanted: pa.Table, made_by: str) -> None:
    """Hold the parts of a version against each other; `ValueError` names what is behind, and the stage that mends it.

    applied: the photos that the lists were made of; there: the `products`; wanted: the crops, and what the vector of
    each is to be made from (`tables.wanted`); made_by: the model that embeds a visitor's photo.
    """
    if vectors.model != made_by:
        raise ValueError("the vectors are by another model than trained_model; run `dvc repro catalog_embeddings`")
    if behind := _differing(folder / "embeddings.lance", wanted):
        raise ValueError(
            f"{len(behind)} vectors are not of today's crops (the first: {behind[0]}); "
            "run `dvc repro catalog_embeddings`"
        )
    sources = tables.wanted(vectors.rows["crop_id"], vectors.rows["source"])
    said = tables.read(folder / "knn.lance", ["category", "product_id", "kind", "model"]).to_pandas()
    listed = set((said["category"] + "|" + said["product_id"])[said["kind"] == "similar"])
    behind = _differing(applied, sources) or sorted(listed.symmetric_difference(there))
    if behind or set(said["model"]) != {made_by}:
        first = f" ({len(behind)} differ, the first: {behind[0]})" if behind else ""
        raise ValueError(f"the lists are not of today's vectors{first}; run `dvc repro knn_results`")


def _differing(table: Path, wanted: pa.Table) -> list[str]:
    change = tables.compare(table, "crop_id", wanted)
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


def street_hits(knn: Path, there: Mapping[str, str]) -> dict[str, bool]:
    """Return street crop -> whether its nearest product is its own, where that is in the catalog."""
    columns = ["query_id", "product_id", "category", "products"]
    rows = tables.read(knn, columns, "kind = 'street'")
    first = pc.list_element(pc.list_slice(rows["products"], 0, 1, return_fixed_size_list=True), 0)  # null of none
    said = zip(*(column.to_pylist() for column in (*rows.select(columns[:3]).columns, first)), strict=True)
    return {query: product == nearest for query, product, category, nearest in said if f"{category}|{product}" in there}


def recall(hits: Mapping[str, bool], over: set[str] | None = None) -> float | None:
    """Return recall@1 of some queries, None of none."""
    counted = [hit for query, hit in hits.items() if over is None or query in over]
    return round(sum(counted) / len(counted), 6) if counted else None
