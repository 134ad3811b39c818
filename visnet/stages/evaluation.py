"""evaluation: how well the trained model finds, always beside what costs nothing: chance, colours, no training."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from torch import nn

from visnet.embedding.crop_dataset import CropImages
from visnet.embedding.model_id import precision_of
from visnet.embedding.vectors import Vectors, read_vectors
from visnet.evaluation import baselines, metrics
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Frozen, Report, Seed, Share
from visnet.sheets import stage_sheets
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table
from visnet.zoo import Entry, build_model, weights

METRICS = ("recall_at_1", "recall_at_20", "triplet_accuracy")
KS = (1, 3, 5, 10, 20)
PROBES = 500  # shop photos that are changed, and must find themselves
METHODS = ("trained", "untrained", "colour_histogram", "random")


class Params(Frozen):
    """How far below the champion a model may stand."""

    recall_at_1_margin: Share = 0.01
    seed: Seed = 1


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

    A query counts when a shop photo of its product is in the catalog; the others are counted apart. Beside recall stand
    what needs no street photo (do similar products share category and colour, does a changed photo find itself), and
    how street photos find other street photos of their product; the test's photos ask, the whole catalog answers.
    """
    table = crops / "crops.lance"
    trained = read_vectors(catalog_embeddings)
    shop = trained.of(side="shop").rows
    columns = ["query_id", "kind", "product_id", "category", "products", "crops"]
    known = Table(knn_results / "knn.lance").read(columns).to_pandas().sort_values("query_id")
    similar = known[known["kind"] == "similar"].reset_index(drop=True)
    street = known[known["kind"] == "street"]
    findable = _pairs(street).isin(_pairs(shop))
    unfindable, street = int((~findable).sum()), street[findable].reset_index(drop=True)
    tested = pq.read_table(triplets / "test.parquet").to_pandas()

    model, entry = weights.load(trained_model)
    split = Table(table).read(["crop_id", "split"]).to_pandas().set_index("crop_id")["split"]
    asked = split.loc[trained.rows["crop_id"]].to_numpy() == "test"
    is_shop = trained.rows["side"].to_numpy() == "shop"
    if not (asked & is_shop).any():  # shop photos that serve every split are of none
        asked = is_shop
    searched, changed, probes = _searched(table, trained, model, entry, asked & is_shop, params.seed, log)
    ranks = {name: baselines.street_ranks(vectors, street, max(KS)) for name, vectors in searched.items()}
    products = shop.groupby("category")["product_id"].nunique()
    recall = baselines.recall_rows(
        ranks, street["category"].to_numpy(object), street["category"].map(products).to_numpy(float), KS
    )
    places = {f"rank_{name}": np.where(rank == metrics.MISS, -1, rank) for name, rank in ranks.items()}
    street.drop(columns=["products", "crops"]).assign(**places).to_parquet(out / "queries.parquet", index=False)
    recall.to_csv(out / "recall.csv", index=False)
    whole = recall[recall["scope"] == "all"].set_index("k")
    for k in KS:
        log.curve(k, {name: float(whole.loc[k, name]) for name in METHODS})
    log.picture(stage_sheets.street(table, street, ranks["trained"]))
    log.picture(stage_sheets.similar(table, similar), "similar")

    report: Report = {
        "queries": len(street),
        "queries_without_product": unfindable,
        "test_triplets": len(tested),
        "model": trained.model[:32],
        "test_digest": fingerprint(*street["query_id"], *shop["crop_id"]),
        **_recall(whole),
        **_agreement(searched, tested, asked, changed, probes),
        "random_colour_agreement": _rounded(baselines.random_colour_agreement(trained, asked)),
    }
    report["digest"] = fingerprint(recall.to_csv(index=False), *street["query_id"])
    return report


def _pairs(rows: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(rows[["category", "product_id"]])


def _recall(whole: pd.DataFrame) -> Report:
    """Report the recall over all; that of categories stands in `recall.csv`, since their names could be any key."""
    report: Report = {}
    for k, row in whole.iterrows():
        for name in METHODS:
            report[f"{'' if name == 'trained' else f'{name}_'}recall_at_{k}"] = _rounded(row[name])
    return report


def _searched(
    table: Path, trained: Vectors, model: nn.Module, entry: Entry, asked: np.ndarray, seed: int, log: Log
) -> tuple[dict[str, Vectors], dict[str, torch.Tensor], np.ndarray]:
    """Return each method's vectors, its vectors of some shop photos that were changed, and these photos' ids."""
    ids = trained.rows["crop_id"]
    spread = sorted(ids[asked], key=fingerprint)[:PROBES]
    probes = np.array(sorted(spread), dtype=object)
    before, precision = build_model(entry, seed=seed), precision_of(trained.model)
    photos, changed = CropImages(table, ids.tolist(), entry.side_px), CropImages(table, list(probes), entry.side_px)
    coarse = [CropImages(table, names, baselines.HISTOGRAM_SIDE_PX) for names in (ids.tolist(), list(probes))]
    searched = {
        "trained": trained,
        "untrained": Vectors(trained.rows, baselines.embedded(before, photos, log, precision), "untrained"),
        "colour_histogram": Vectors(trained.rows, baselines.colour_histograms(coarse[0], log), "colour_histogram"),
    }
    if not len(probes):
        return searched, {}, probes
    moved = baselines.Changed(changed, seed)
    return (
        searched,
        {
            "trained": baselines.embedded(model, moved, log, precision),
            "untrained": baselines.embedded(before, moved, log, precision),
            "colour_histogram": baselines.colour_histograms(baselines.Changed(coarse[1], seed), log),
        },
        probes,
    )


def _agreement(
    searched: dict[str, Vectors],
    tested: pd.DataFrame,
    asked: np.ndarray,
    changed: dict[str, torch.Tensor],
    probes: np.ndarray,
) -> Report:
    report: Report = {}
    for name, vectors in searched.items():
        street_recall, street_map = baselines.street_retrieval(vectors)
        itself = baselines.recall_of_itself(changed[name], probes, vectors) if changed else float("nan")
        values = {
            "triplet_accuracy": baselines.triplet_accuracy(vectors, tested),
            "colour_agreement": baselines.colour_agreement(vectors, asked),
            "category_agreement": baselines.category_agreement(vectors, asked),
            "street_recall_at_1": street_recall,
            "street_map_at_r": street_map,
            "augmented_recall_at_1": itself,
        }
        prefix = "" if name == "trained" else f"{name}_"
        report |= {f"{prefix}{measure}": _rounded(value) for measure, value in values.items()}
    return report


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
