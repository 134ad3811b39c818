"""knn_results: the nearest shop products of every test street crop, and of every product its most similar others.

Lists are brought up to date, not made anew: of a changed catalog only the lists that lose or win a product are written,
and only those that lost too many are searched for again. What stands there is what a full search would give.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pydantic import Field

from visnet.embedding.vectors import Vectors, read_vectors
from visnet.engines import Engine
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Frozen, Report
from visnet.search.knn_lists import SPARE, Ints, Queries, nothing, search, update
from visnet.search.knn_table import Changes, known_of, lists_of, made_by, rows_of
from visnet.search.sharded import Searched, galleries, nearest_rows
from visnet.storage.fingerprints import fingerprints
from visnet.storage.table import Table

IN_PLACE = True
TABLE = "knn.lance"
SELF_PROBES = 64  # photos per category that are searched for in their own gallery, and as many of the new ones
ANEW_SHARE = 0.25  # of a category's products: where more are new, a full search is cheaper
COMMIT_ROWS = 50_000
Answers = Annotated[int, Field(ge=1, le=2048)]


class Params(Frozen):
    """How many answers, and where they are searched for: "ray" divides the gallery over a Ray cluster."""

    k: Answers = 20
    similar_k: Answers = 12
    engine: Engine = "local"


def build(catalog_embeddings: Path, *, out: Path, params: Params, log: Log) -> Report:
    """Bring the lists up to the catalog: of every test street crop, and of every shop product in its category."""
    vectors = read_vectors(catalog_embeddings)
    known = known_of(out)
    changes = Changes(out, known, vectors.rows, COMMIT_ROWS)
    differing = dict(iter(changes.differing.groupby(["category", "side"])))
    categories = sorted(vectors.rows["category"].unique())
    counts: Counter[str] = Counter()
    probes = hits = fewest = 0
    with galleries(params.engine, log) as gallery, log.progress("categories", len(categories), unit="category") as bar:
        for category in categories:
            now = vectors.of(category=category)
            shop, street = now.of(side="shop"), now.of(side="street")
            news = {side: differing[category, side] for side in ("street", "shop") if (category, side) in differing}
            index = CategoryIndex(shop, gallery(shop.matrix), known.answers_of(category), news)
            asked = {"street": (street, params.k), "similar": (shop, params.similar_k)}
            for kind, (queries, k) in asked.items():
                changes.take(*_answers(kind, category, queries, index, k, counts))
            probed, hit = _self_hits(index)
            probes, hits = probes + probed, hits + hit
            products = shop.rows["product_id"].nunique()
            fewest = min(fewest or products, products)
            bar.advance(category=category)
        removed = changes.finish()
    if fewest < params.k:
        log.say(f"  the smallest category has {fewest} products: its queries get fewer than {params.k} answers")
    return {
        "street_queries": counts["street"],
        "products": counts["similar"],
        "gallery": int((vectors.rows["side"] == "shop").sum()),
        "smallest_gallery_products": fewest,
        "self_hit_share": round(hits / probes, 6) if probes else 1.0,
        "self_hit_share_min": 1.0,
        "added": changes.added,
        "changed": changes.changed,
        "removed": removed,
        "lists_searched": counts["searched"],
        "lists_merged": counts["merged"],
        "model": vectors.model,
        "digest": Table(out / "knn.lance", "query_id").digest(),
    }


@dataclass(frozen=True)
class CategoryIndex:
    """A category's gallery, the answers that stand in the table, and by side the photos that these were not made of."""

    shop: Vectors
    gallery: Searched
    answers: pa.Table
    differing: Mapping[str, pd.DataFrame]

    def touched(self, side: str, column: str) -> list[str]:
        """List what of `column` is not as it was."""
        return self.differing[side][column].unique().tolist() if side in self.differing else []


def _answers(
    kind: str, category: str, queries: Vectors, index: CategoryIndex, k: int, counts: Counter[str]
) -> tuple[list[str], pa.Table]:
    """Name all the queries, and make the rows of those whose answer may differ from what stands there."""
    shop = index.shop
    product, names = pd.factorize(shop.rows["product_id"])
    asked, asking = _queries(kind, category, queries, shop, product, names)
    crop_id, width = shop.rows["crop_id"].to_numpy(object), round(SPARE * k)
    table = index.answers.filter(pc.equal(index.answers["kind"], kind))
    touched = names.isin(index.touched("shop", "product_id"))
    made = made_by(queries.model, kind, k)
    if table["made"].unique().to_pylist() != [made] or touched.sum() > ANEW_SHARE * len(names):
        numbers = searched = np.arange(len(asked))
        lists = search(asking, width, gallery=index.gallery)
    else:
        before = lists_of(table, asked["query_id"].tolist(), crop_id, width)
        again = touched
        if kind == "street":
            again = asked["query_id"].isin(index.touched("street", "crop_id")).to_numpy()
        before.put(again, nothing(int(again.sum()), width))
        lists, merged, searched = update(before, asking, touched, k, index.gallery)
        numbers = np.union1d(merged, searched)
    rows = rows_of(
        kind, category, asked.iloc[numbers], lists.of(numbers), k,
        crop_id=crop_id, product_id=names[product].to_numpy(object), model=queries.model,
    )  # fmt: skip
    counts[kind] += len(asked)
    counts["searched"] += len(searched)
    counts["merged"] += len(numbers) - len(searched)
    return asked["query_id"].tolist(), rows


def _queries(
    kind: str, category: str, queries: Vectors, shop: Vectors, product: Ints, names: pd.Index
) -> tuple[pd.DataFrame, Queries]:
    """Say who asks: each street crop for itself, or each product with all its photos, and never for itself."""
    if kind == "street":
        asked = queries.rows[["crop_id", "product_id"]].rename(columns={"crop_id": "query_id"})
        query_of, excluded = np.arange(len(asked)), np.full(len(asked), -1)
    else:
        product_id = pa.array(names, pa.string())
        query_id = fingerprints(pa.repeat(category, len(names)), product_id)
        asked = pd.DataFrame({"query_id": query_id, "product_id": names})
        query_of, excluded = product, np.arange(len(asked))
    return asked, Queries(shop.matrix, product, queries.matrix, query_of, excluded)


def _self_hits(index: CategoryIndex) -> tuple[int, int]:
    """Search some photos in their own gallery: each must find itself, or one that is no farther (a copy)."""
    shop = index.shop
    new = np.flatnonzero(shop.rows["crop_id"].isin(index.touched("shop", "crop_id")))[:SELF_PROBES]
    some = np.arange(0, len(shop.rows), max(1, len(shop.rows) // SELF_PROBES))
    probes = shop.matrix[torch.from_numpy(np.union1d(new, some))]
    if not len(probes):
        return 0, 0
    found = shop.matrix[nearest_rows(probes, index.gallery, 1).row[:, 0]]
    return len(probes), int(((found - probes).square().sum(1) == 0).sum())
