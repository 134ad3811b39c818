"""knn_results: the nearest shop products of every test street crop, and of every product its most similar others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from kernels.nearest import Gallery, nearest
from visnet import tables
from visnet.log import Log
from visnet.search import Found, nearest_products
from visnet.stage import Frozen, Report
from visnet.vectors import Vectors, read_vectors

IN_PLACE = True
SELF_PROBES = 256  # crops per category that are searched for in their own gallery
RESULT = pa.schema(
    [
        ("query_id", pa.string()),  # a street crop, or category|product
        ("kind", pa.string()),  # "street" or "similar"
        ("product_id", pa.string()),  # the query's own
        ("category", pa.string()),
        ("products", pa.list_(pa.string())),  # nearest first
        ("crops", pa.list_(pa.string())),  # the nearest photo of each
        ("sq_distances", pa.list_(pa.float32())),
        ("model", pa.string()),
        *tables.HASH_COLUMNS,
    ]
)


class Params(Frozen):
    """How many answers."""

    k: int = 20
    similar_k: int = 12


def build(catalog_embeddings: Path, *, out: Path, params: Params, log: Log) -> Report:
    """Search every category's shop crops for its test street crops and for each of its own products."""
    for field in ("k", "similar_k"):
        if getattr(params, field) < 1:
            raise ValueError(f"[knn_results] {field}: {getattr(params, field)} answers were asked for; at least 1")
    vectors = read_vectors(catalog_embeddings)
    categories = sorted(set(vectors.rows["category"]))
    results: list[dict[str, Any]] = []
    probes = hits = fewest = 0
    with log.progress("categories", len(categories), unit="category") as progress:
        for category in categories:
            shop = vectors.of(category=category, side="shop")
            gallery = Gallery(shop.matrix)
            results += _street(vectors.of(category=category, side="street"), shop, gallery, params.k)
            results += _similar(shop, gallery, params.similar_k)
            probed, hit = _self_hits(shop, gallery)
            probes, hits = probes + probed, hits + hit
            products = shop.rows["product_id"].nunique()
            fewest = min(fewest or products, products)
            progress.advance(category=category)
    if fewest < params.k:
        log.say(f"  the smallest category has {fewest} products: its queries get fewer than {params.k} answers")

    frame = pd.DataFrame(results, columns=[name for name in RESULT.names if name not in ("model", "source", "content")])
    frame["model"] = vectors.model
    frame["source"] = [tables.fingerprint(*map(str, row)) for row in frame.itertuples(index=False, name=None)]
    frame["content"] = frame["source"]
    path = out / "knn.lance"
    change = tables.compare(path, "query_id", dict(zip(frame["query_id"], frame["source"], strict=True)))
    rows = frame[frame["query_id"].isin(set(change.todo))]
    tables.put(path, "query_id", pa.Table.from_pandas(rows, schema=RESULT, preserve_index=False), change.changed)
    tables.delete(path, "query_id", change.gone)
    return {
        "street_queries": int((frame["kind"] == "street").sum()),
        "products": int((frame["kind"] == "similar").sum()),
        "gallery": int((vectors.rows["side"] == "shop").sum()),
        "smallest_gallery_products": fewest,
        "self_hit_share": round(hits / probes, 6) if probes else 1.0,
        "self_hit_share_min": 1.0,
        "added": len(change.new),
        "changed": len(change.changed),
        "removed": len(change.gone),
        "model": vectors.model,
        "digest": tables.digest(path, "query_id"),
    }


def _street(street: Vectors, shop: Vectors, gallery: Gallery, k: int) -> list[dict[str, Any]]:
    product, names = pd.factorize(shop.rows["product_id"])
    found = nearest_products(street.matrix, gallery, product, k)
    return [
        {"query_id": row.crop_id, "kind": "street", "product_id": row.product_id, "category": row.category, **answer}
        for row, answer in zip(street.rows.itertuples(), _answers(found, shop, names[product]), strict=True)
    ]


def _similar(shop: Vectors, gallery: Gallery, k: int) -> list[dict[str, Any]]:
    """Merge the lists of a product's photos: each holds its k nearest products, so their union holds the k of all."""
    product, names = pd.factorize(shop.rows["product_id"])
    found = nearest_products(shop.matrix, gallery, product, k, exclude=product)
    merged_row = np.full((len(names), k), -1, np.int64)
    merged_distance = np.full((len(names), k), np.inf, np.float32)
    for own, photos in pd.Series(range(len(product))).groupby(product):
        rows, distances = found.row[photos].ravel(), found.sq_distance[photos].ravel()
        order = np.lexsort((rows, distances))
        order = order[rows[order] >= 0]
        _, first = np.unique(product[rows[order]], return_index=True)
        best = order[np.sort(first)][:k]
        merged_row[own, : len(best)] = rows[best]
        merged_distance[own, : len(best)] = distances[best]
    category = shop.rows["category"].iloc[0] if len(shop.rows) else ""
    answers = _answers(Found(merged_row, merged_distance), shop, names[product])
    return [
        {"query_id": f"{category}|{name}", "kind": "similar", "product_id": name, "category": category, **answer}
        for name, answer in zip(names, answers, strict=True)
    ]


def _answers(found: Found, shop: Vectors, product_id: np.ndarray) -> Iterator[dict[str, Any]]:
    crop_id = shop.rows["crop_id"].to_numpy()
    for rows, distances in zip(found.row, found.sq_distance, strict=True):
        there = rows >= 0
        yield {
            "products": list(product_id[rows[there]]),
            "crops": list(crop_id[rows[there]]),
            "sq_distances": [float(d) for d in distances[there]],
        }


def _self_hits(shop: Vectors, gallery: Gallery) -> tuple[int, int]:
    """Search some crops in their own gallery: each must find itself, or one that is no farther (a copy)."""
    probes = shop.matrix[:: max(1, len(shop.matrix) // SELF_PROBES)]
    if not len(probes):
        return 0, 0
    found = shop.matrix[nearest(probes, gallery, 1).row[:, 0]]
    return len(probes), int(((found - probes).square().sum(1) == 0).sum())
