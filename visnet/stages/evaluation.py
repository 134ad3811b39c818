"""evaluation: how well the trained model finds, always beside what costs nothing: chance, colours, no training."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from visnet import baselines, metrics, sheets, tables, weights
from visnet.crop_images import CropImages
from visnet.log import Log
from visnet.stage import Frozen, Report
from visnet.vectors import Vectors, read_vectors

KS = (1, 3, 5, 10, 20)
METHODS = ("trained", "untrained", "colour_histogram", "random")


class Params(Frozen):
    """How far below the champion a model may stand."""

    recall_at_1_margin: float = 0.01
    seed: int = 1


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
    """Measure recall per category and overall, product by product; write `queries.parquet` and `recall.csv`.

    A query counts when a shop photo of its product is in the catalog; the others are counted apart.
    """
    table = crops / "crops.lance"
    trained = read_vectors(catalog_embeddings)
    shop = trained.of(side="shop").rows
    columns = ["query_id", "kind", "product_id", "category", "products", "crops"]
    known = tables.read(knn_results / "knn.lance", columns).to_pandas().sort_values("query_id")
    similar = known[known["kind"] == "similar"].reset_index(drop=True)
    street = known[known["kind"] == "street"]
    findable = street["product_id"].isin(set(shop["product_id"]))
    unfindable, street = int((~findable).sum()), street[findable].reset_index(drop=True)
    tested = pq.read_table(triplets / "test.parquet").to_pandas()

    ids = trained.rows["crop_id"].tolist()
    _, entry = weights.load(trained_model)
    searched = {
        "trained": trained,
        "untrained": baselines.untrained(CropImages(table, ids, entry.side_px), trained, entry, params.seed, log),
        "colour_histogram": baselines.colour_histograms(
            CropImages(table, ids, baselines.HISTOGRAM_SIDE_PX), trained, log
        ),
    }
    ranks = {name: baselines.street_ranks(vectors, street, max(KS)) for name, vectors in searched.items()}
    products = shop.groupby("category")["product_id"].nunique()
    recall = baselines.recall_rows(
        ranks, street["category"].to_numpy(object), street["category"].map(products).to_numpy(float), KS
    )
    places = {f"rank_{name}": np.where(rank == metrics.MISS, -1, rank) for name, rank in ranks.items()}
    street.drop(columns=["products", "crops"]).assign(**places).to_parquet(out / "queries.parquet", index=False)
    recall.to_csv(out / "recall.csv", index=False)
    whole = recall[recall["category"] == "all"].set_index("k")
    for k in KS:
        log.curve(k, {name: float(whole.loc[k, name]) for name in METHODS})
    log.picture(sheets.street(table, street, ranks["trained"]))
    log.picture(sheets.similar(table, similar), "similar")

    report: Report = {
        "queries": len(street),
        "queries_without_product": unfindable,
        "test_triplets": len(tested),
        "model": trained.model[:32],
        "test_digest": tables.fingerprint(*street["query_id"], *shop["crop_id"]),
        **_recall(recall),
        **_agreement(searched, tested),
        "random_colour_agreement": _rounded(baselines.random_colour_agreement(trained)),
    }
    report["digest"] = tables.fingerprint(recall.to_csv(index=False), *street["query_id"])
    return report


def _recall(recall: pd.DataFrame) -> Report:
    report: Report = {}
    order = recall.sort_values("category", key=lambda names: names != "all", kind="stable")  # overall first
    for row in order.to_dict("records"):
        whole, k = row["category"] == "all", row["k"]
        report[f"recall_at_{k}" if whole else f"recall_at_{k}_{row['category']}"] = _rounded(row["trained"])
        for name in METHODS[1:] if whole else ():
            report[f"{name}_recall_at_{k}"] = _rounded(row[name])
    return report


def _agreement(searched: dict[str, Vectors], tested: pd.DataFrame) -> Report:
    report: Report = {}
    for name, vectors in searched.items():
        prefix = "" if name == "trained" else f"{name}_"
        report[f"{prefix}triplet_accuracy"] = _rounded(baselines.triplet_accuracy(vectors, tested))
        report[f"{prefix}colour_agreement"] = _rounded(baselines.colour_agreement(vectors))
    return report


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
