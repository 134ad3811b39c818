"""evaluation: how well the trained model finds, always beside what costs nothing: chance, colours, no training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

from visnet import embedding, histogram, metrics, pictures, tables, weights, zoo
from visnet.crop_images import CropImages, open_images
from visnet.log import Log
from visnet.search import nearest_products
from visnet.stage import Frozen, Report
from visnet.vectors import Vectors, read_vectors

KS = (1, 3, 5, 10, 20)
METHODS = ("trained", "untrained", "colour_histogram", "random")


class Params(Frozen):
    """How far below the champion a model may stand."""

    recall_at_1_margin: float = 0.01
    seed: int = 1


@dataclass(frozen=True)
class _Method:
    """One way to search: ranks [Q] of the true product (K = not found) or none, triplet accuracy, colour agreement."""

    rank: np.ndarray
    triplet_accuracy: float
    colour_agreement: float


def build(
    crops: Path,
    triplets: Path,
    trained_model: Path,
    catalog_embeddings: Path,
    knn_results: Path,
    *,
    out: Path,
    params: Params,
    log: Log,
) -> Report:
    """Measure recall per category and overall, product by product; write `queries.parquet` and `recall.csv`."""
    table = crops / "crops.lance"
    trained = read_vectors(catalog_embeddings)
    answers = tables.read(knn_results / "knn.lance", ["query_id", "kind", "product_id", "category", "products", "crops"])
    known = answers.to_pandas().sort_values("query_id", ignore_index=True)
    street = known[known["kind"] == "street"].reset_index(drop=True)
    tested = pq.read_table(triplets / "test.parquet").to_pandas()
    findable = set(trained.of(side="shop").rows["product_id"])
    street["findable"] = street["product_id"].isin(findable)

    others: dict[str, Callable[[], Vectors]] = {
        "untrained": lambda: _untrained(table, trained, trained_model, params.seed, log),
        "colour_histogram": lambda: _histograms(table, trained, log),
    }
    methods = {"trained": _measured(trained, street, tested, _ranks_known(street))}
    for name, vectors in others.items():
        made = vectors()
        methods[name] = _measured(made, street, tested, _ranks(made, street))

    recall = _recall_table(street, methods, trained)
    street.drop(columns=["products", "crops"]).assign(
        **{f"rank_{name}": method.rank for name, method in methods.items()}
    ).to_parquet(out / "queries.parquet", index=False)
    recall.to_csv(out / "recall.csv", index=False)
    whole = recall[recall["category"] == "all"]
    for k in KS:
        row = whole[whole["k"] == k]
        log.curve(k, {name: float(row[name].iloc[0]) if len(row) else float("nan") for name in METHODS})
    _draw(log, table, street, known[known["kind"] == "similar"].reset_index(drop=True), methods["trained"].rank)
    return _report(street, tested, methods, recall, trained)


def _report(
    street: pd.DataFrame,
    tested: pd.DataFrame,
    methods: Mapping[str, _Method],
    recall: pd.DataFrame,
    trained: Vectors,
) -> Report:
    report: Report = {
        "queries": len(street),
        "queries_without_product": int((~street["findable"]).sum()),
        "test_triplets": len(tested),
        "model": trained.model,
        "test_digest": tables.fingerprint(*street["query_id"], *sorted(trained.of(side="shop").rows["crop_id"])),
    }
    for category, rows in recall.groupby("category", sort=False):
        suffix = "" if category == "all" else f"_{category}"
        for row in rows.itertuples():
            report[f"recall_at_{row.k}{suffix}"] = round(row.trained, 6)
    for name in METHODS[1:]:
        for row in recall[recall["category"] == "all"].itertuples():
            report[f"{name}_recall_at_{row.k}"] = round(getattr(row, name), 6)
    for name, method in methods.items():
        prefix = "" if name == "trained" else f"{name}_"
        for field in ("triplet_accuracy", "colour_agreement"):
            value = getattr(method, field)
            report[f"{prefix}{field}"] = None if np.isnan(value) else round(value, 6)
    report["digest"] = tables.fingerprint(*recall.itertuples(index=False, name=None))
    return report


def _recall_table(street: pd.DataFrame, methods: Mapping[str, _Method], trained: Vectors) -> pd.DataFrame:
    """One row per category and k, the share of findable queries whose product is among the first k, per method."""
    asked = street[street["findable"]]
    products = trained.of(side="shop").rows.groupby("category")["product_id"].nunique()
    rows = []
    for category, group in [("all", asked), *asked.groupby("category")]:
        size = group["category"].map(products).to_numpy()
        for k in KS if len(group) else ():
            row = {"category": category, "k": k, "queries": len(group)}
            for name, method in methods.items():
                row[name] = float((method.rank[group.index] < k).mean())
            row["random"] = float(np.minimum(k / size, 1.0).mean())
            rows.append(row)
    return pd.DataFrame(rows, columns=["category", "k", "queries", *METHODS])


def _ranks_known(street: pd.DataFrame) -> np.ndarray:
    """Rank of the true product in the lists of knn_results, their length or more when it is not in them."""
    return np.array(
        [
            list(products).index(truth) if truth in products else max(KS)
            for products, truth in zip(street["products"], street["product_id"], strict=True)
        ],
        np.int64,
    )


def _ranks(vectors: Vectors, street: pd.DataFrame) -> np.ndarray:
    """Search again with other vectors, in the way of knn_results."""
    rank = np.full(len(street), max(KS), np.int64)
    number = pd.Series(range(len(vectors.rows)), index=vectors.rows["crop_id"])
    for category, group in street.groupby("category"):
        shop = vectors.of(category=str(category), side="shop")
        product, names = pd.factorize(shop.rows["product_id"])
        queries = vectors.matrix[torch.from_numpy(number.loc[group["query_id"]].to_numpy())]
        found = nearest_products(queries, shop.matrix, product, max(KS))
        truth = names.get_indexer(group["product_id"])
        hit = np.where(found.row >= 0, product[found.row], -1) == np.where(truth < 0, -2, truth)[:, None]
        rank[group.index] = np.where(hit.any(axis=1), hit.argmax(axis=1), max(KS))
    return rank


def _measured(vectors: Vectors, street: pd.DataFrame, tested: pd.DataFrame, rank: np.ndarray) -> _Method:
    number = pd.Series(range(len(vectors.rows)), index=vectors.rows["crop_id"])
    q, p, n = (vectors.matrix[torch.from_numpy(number.loc[tested[c].astype(str)].to_numpy().copy())] for c in ("q", "p", "n"))
    right = metrics.triplet_accuracy((q - p).square().sum(1).numpy(), (q - n).square().sum(1).numpy())
    return _Method(rank, right if len(tested) else float("nan"), _colour_agreement(vectors))


def _colour_agreement(vectors: Vectors, k: int = 10) -> float:
    """Share of the k most similar other products, in the category, that have the query's colour."""
    same = total = 0
    for category in sorted(set(vectors.rows["category"])):
        shop = vectors.of(category=category, side="shop")
        product, _ = pd.factorize(shop.rows["product_id"])
        colour = shop.rows["colour"].to_numpy()
        found = nearest_products(shop.matrix, shop.matrix, product, k, exclude=product)
        there = (found.row >= 0) & (colour != "")[:, None]
        same += int((colour[found.row] == colour[:, None])[there].sum())
        total += int(there.sum())
    return same / total if total else float("nan")


def _untrained(table: Path, trained: Vectors, trained_model: Path, seed: int, log: Log) -> Vectors:
    entry = weights.entry_of(trained_model)
    model = zoo.build_model(entry, seed=seed)
    images = CropImages(table, trained.rows["crop_id"].tolist(), entry.side_px)
    made = []
    with log.progress("untrained network", len(images), unit="crop") as progress:
        for indices, vectors in embedding.embed(model, images):
            made.append(vectors)
            progress.advance(len(indices))
    return Vectors(trained.rows, torch.cat(made), "untrained")


def _histograms(table: Path, trained: Vectors, log: Log) -> Vectors:
    images = CropImages(table, trained.rows["crop_id"].tolist(), 96)
    made = []
    with log.progress("colour histograms", len(images), unit="crop") as progress:
        for start in range(0, len(images), 256):
            batch = images.__getitems__(range(start, min(start + 256, len(images))))
            made.append(histogram.colour_histograms(torch.stack(batch).permute(0, 2, 3, 1).numpy()))
            progress.advance(len(batch))
    return Vectors(trained.rows, torch.from_numpy(np.concatenate(made)), "colour_histogram")


def _draw(log: Log, table: Path, street: pd.DataFrame, similar: pd.DataFrame, rank: np.ndarray) -> None:
    """Two sheets: street queries with their answers (the true product framed), and products with similar ones."""
    chosen = _spread(street, 16)
    ids = [street["query_id"][i] for i in chosen] + [c for i in chosen for c in street["crops"][i][:8]]
    found = open_images(table, ids)
    rows = []
    for i in chosen:
        row = street.loc[i]
        place = f"found at {rank[i] + 1}" if rank[i] < max(KS) else "not found"
        tiles = [pictures.Tile(found[row["query_id"]], place)]
        for product, crop in list(zip(row["products"], row["crops"], strict=True))[:8]:
            hit = product == row["product_id"]
            tiles.append(pictures.Tile(found[crop], product, pictures.RIGHT if hit else None))
        rows.append(tiles)
    hits = f"recall@1 {np.mean(rank[street['findable']] == 0):.3f} over {len(street)} street photos" if len(street) else ""
    log.picture(pictures.sheet(rows, f"Street photo, then the nearest products; the true one is framed. {hits}", columns=2))

    chosen = _spread(similar, 16)
    own = tables.read(table, ["crop_id", "product_id", "category"], "side = 'shop' AND lost IS NULL").to_pandas()
    own = own.sort_values("crop_id").drop_duplicates(["category", "product_id"])
    first = dict(zip(own["category"] + "|" + own["product_id"], own["crop_id"], strict=True))
    found = open_images(table, [first[similar["query_id"][i]] for i in chosen] + [c for i in chosen for c in similar["crops"][i][:8]])
    rows = []
    for i in chosen:
        row = similar.loc[i]
        tiles = [pictures.Tile(found[first[row["query_id"]]], row["product_id"])]
        tiles += [pictures.Tile(found[c], p) for p, c in list(zip(row["products"], row["crops"], strict=True))[:8]]
        rows.append(tiles)
    log.picture(pictures.sheet(rows, "A product, then the most similar other products of its category", columns=2), "similar")


def _spread(frame: pd.DataFrame, count: int) -> list[int]:
    """Choose rows of every category in turn, by a hash of their id: the same ones as long as they exist."""
    order = frame["query_id"].map(tables.fingerprint)
    turn = order.groupby(frame["category"]).rank().sort_values(kind="stable")
    return sorted(turn.index[:count])
