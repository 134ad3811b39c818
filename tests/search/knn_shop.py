"""A shop of vectors whose lists are made, the same lists by loops over pairs, and a kill between two commits."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa

from visnet.stages.knn_results import Params
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table

PARAMS = Params(k=3, similar_k=2)
CATEGORIES = ("bags", "shoes")
# crop id -> product, category, side, vector: what the shop holds
Shop = dict[str, tuple[str, str, str, tuple[int, ...]]]


def write(folder: Path, shop: Shop, model: str = "m1") -> None:
    shutil.rmtree(folder, ignore_errors=True)
    ids = sorted(shop, key=lambda crop: hash((crop, len(shop))))  # a table's own order says nothing
    flat = np.array([shop[crop][3] for crop in ids], np.float32)
    rows = {
        "crop_id": ids,
        "product_id": [shop[crop][0] for crop in ids],
        "category": [shop[crop][1] for crop in ids],
        "side": [shop[crop][2] for crop in ids],
        "colour": [""] * len(ids),
        "model": [model] * len(ids),
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1]),
        "source": ["" for _ in ids],
        "content": [fingerprint(*shop[crop][3]) for crop in ids],
    }
    Table(folder / "embeddings.lance", "crop_id").put(pa.table(rows))


Query = str | tuple[str, str]  # a street crop, or category and product
Answers = dict[Query, list[tuple[str, str, float]]]


def answers(folder: Path) -> Answers:
    columns = ["query_id", "kind", "category", "product_id", "products", "crops", "sq_distances"]
    table = Table(folder / "knn.lance").read(columns)
    assert len(set(table["query_id"].to_pylist())) == table.num_rows
    return {
        row["query_id"] if row["kind"] == "street" else (row["category"], row["product_id"]): list(
            zip(row["products"], row["crops"], row["sq_distances"], strict=True)
        )
        for row in table.to_pylist()
    }


def by_hand(shop: Shop) -> Answers:
    """The same answers by loops over pairs."""
    asked: dict[Query, tuple[str, str, list[tuple[int, ...]], int]] = {}
    for crop, (product, category, side, vector) in shop.items():
        if side == "street":
            asked[crop] = ("", category, [vector], PARAMS.k)
        else:
            asked.setdefault((category, product), (product, category, [], PARAMS.similar_k))[2].append(vector)
    made: Answers = {}
    for query, (own, category, vectors, k) in asked.items():
        best: dict[str, tuple[float, str]] = {}
        for crop, (product, theirs, side, vector) in shop.items():
            if (side, theirs) == ("shop", category) and product != own:
                distance = min(float(sum((a - b) ** 2 for a, b in zip(v, vector, strict=True))) for v in vectors)
                best[product] = min(best.get(product, (np.inf, "")), (distance, crop))
        nearest = sorted((distance, crop, product) for product, (distance, crop) in best.items())
        made[query] = [(product, crop, distance) for distance, crop, product in nearest[:k]]
    return made


class Killed(Exception):
    """The process is gone."""


@contextmanager
def killed_after(commits: int) -> Iterator[None]:
    """Let so many commits pass, then none: as a kill would, between any two of them."""
    left = commits

    def counted(real: object) -> object:
        def call(*arguments: object, **named: object) -> object:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return real(*arguments, **named)  # type: ignore[operator]

        return call

    with mock.patch.multiple(Table, put=counted(Table.put), delete=counted(Table.delete)):
        yield
