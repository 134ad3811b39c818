"""evaluation: how well the trained model finds, beside what needs no training here, and what its distances mean."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pydantic import Field
from torch import nn

from visnet.embedding.crop_dataset import CropImages
from visnet.embedding.model_id import precision_of
from visnet.embedding.vectors import Vectors, read_vectors
from visnet.evaluation import attributes, baselines, calibration_fit, metrics, recall, reliability, uncropped
from visnet.evaluation.methods import BASELINES, METHODS, Baseline, Catalog, Searched, searched
from visnet.evaluation.ranks import product_ranks
from visnet.pipeline.bounds import SIDES_PX
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Frozen, Report, Seed, Share
from visnet.sheets import stage_sheets
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table
from visnet.zoo import Entry, weights

METRICS = ("recall_at_1", "recall_at_20", "triplet_accuracy")
AGREEMENT = (
    "triplet_accuracy", "colour_agreement", "category_agreement",
    "street_recall_at_1", "street_map_at_r", "augmented_recall_at_1",
)  # fmt: skip
KS = (1, 3, 5, 10, 20)
FITTED_MAX = 5000  # validation photos; of more a sample tells as much
VALIDATION = "lost IS NULL AND side = 'street' AND split = 'validation'"


class Params(Frozen):
    """How far below the champion a model may stand, and what it is held beside.

    baselines: each but the colours embeds the whole catalog once; "frozen" is the slowest on a CPU. What is left out
    has no value in the report. frozen_side_px: of the photos that a frozen trunk sees; null is the model's own.
    in_catalog_share: of how many of the photos that shoppers send the catalog has the product; neither photos nor
    distances tell it, and the lower it is, the nearer a hit must be until the shop is said to have it.
    """

    recall_at_1_margin: Share = 0.01
    baselines: list[Baseline] = Field(default=list(BASELINES))
    frozen_side_px: int | None = Field(None, ge=SIDES_PX[0], le=SIDES_PX[1])
    in_catalog_share: float = Field(0.5, gt=0, lt=1)
    seed: Seed = 1


def build(
    raw_images: Path,
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
    """Measure recall per category and overall, product by product, with its intervals, and calibrate the distances.

    A query counts when a shop photo of its product is in the catalog; the others are counted apart. Beside recall stand
    what needs no street photo (do similar products share category and colour, does a changed photo find itself), and
    how street photos find other street photos of their product; the test's photos ask, the whole catalog answers.
    Writes `queries.parquet`, `recall.csv`, `attributes.csv`, `reliability.csv` and, of a model whose distances could be
    calibrated, `calibration.json`.
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
    asked = _asked(table, trained)
    catalog = Catalog(table, trained, asked & _is_shop(trained), _learnt(triplets, trained))
    wanted, side_px = params.baselines, params.frozen_side_px
    found = searched(catalog, model, entry, wanted, frozen_side_px=side_px, seed=params.seed, log=log)
    ranks = {
        name: product_ranks(vectors.of(side="shop"), street, vectors.at(street["query_id"]), max(KS))
        for name, vectors in found.vectors.items()
    }
    places = {f"rank_{name}": np.where(rank == metrics.MISS, -1, rank) for name, rank in ranks.items()}
    street.drop(columns=["products", "crops"]).assign(**places).to_parquet(out / "queries.parquet", index=False)
    asking = _questions(street, shop)
    rows = recall.recall_rows(ranks, asking, KS, seed=params.seed)
    rows.to_csv(out / "recall.csv", index=False)
    whole = rows[rows["scope"] == "all"].set_index("k")
    for k in KS:
        log.curve(k, {name: float(whole.loc[k, name]) for name in METHODS if name in whole})
    log.picture(stage_sheets.street(table, street, ranks["trained"]))
    log.picture(stage_sheets.similar(table, similar, shop["crop_id"]), "similar")

    report: Report = {
        "queries": len(street),
        "query_products": int(whole["products"].max()),
        "queries_without_product": unfindable,
        "test_triplets": len(tested),
        "model": trained.model[:32],
        "test_digest": fingerprint(*street["query_id"], *shop["crop_id"]),
        **_recall(whole, recall.gains(ranks, asking, seed=params.seed)),
        **_agreement(found, tested, asked),
        **_attributes(found, asked, out),
        "random_colour_agreement": _rounded(baselines.random_colour_agreement(trained, asked)),
        **_calibrated(raw_images, crops, trained, (model, entry), out, params, log),
    }
    report["digest"] = fingerprint(rows.to_csv(index=False), *street["query_id"])
    return report


def _questions(street: pd.DataFrame, shop: pd.DataFrame) -> recall.Questions:
    products = shop.groupby("category")["product_id"].nunique()
    return recall.Questions(
        street["category"].to_numpy(object),
        street.groupby(["category", "product_id"], sort=False).ngroup().to_numpy(),
        street["category"].map(products).to_numpy(float),
    )


def _pairs(rows: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(rows[["category", "product_id"]])


def _is_shop(vectors: Vectors) -> np.ndarray:
    return np.array(vectors.rows["side"] == "shop")


def _asked(table: Path, trained: Vectors) -> np.ndarray:
    """Return which of the vectors are of photos that test, bool [N]; shop photos that serve every split are of none."""
    split = Table(table).read(["crop_id", "split"]).to_pandas().set_index("crop_id")["split"]
    asked = split.loc[trained.rows["crop_id"]].to_numpy() == "test"
    return asked if (asked & _is_shop(trained)).any() else _is_shop(trained)


def _learnt(triplets: Path, trained: Vectors) -> np.ndarray:
    photos = pq.read_table(triplets / "photos.parquet", columns=["crop_id", "train"]).to_pandas()
    return trained.rows["crop_id"].isin(photos.loc[photos["train"], "crop_id"]).to_numpy()


def _recall(whole: pd.DataFrame, gains: Mapping[str, tuple[float, float, float]]) -> Report:
    """Report the recall over all; that of categories stands in `recall.csv`, since their names could be any key."""
    report: Report = {}
    for k, row in whole.iterrows():
        for name in METHODS:
            report[f"{_prefix(name)}recall_at_{k}"] = _rounded(row.get(name, np.nan))
    for end in ("low", "high"):
        report[f"recall_at_1_{end}"] = _rounded(whole.loc[1, f"trained_{end}"])
    for name in METHODS[1:]:
        values = gains.get(name, (np.nan,) * 3)
        for end, value in zip(("", "_low", "_high"), values, strict=True):
            report[f"recall_at_1_above_{name}{end}"] = _rounded(value)
    return report


def _agreement(found: Searched, tested: pd.DataFrame, asked: np.ndarray) -> Report:
    report: Report = {}
    for name in METHODS[:-1]:
        if (vectors := found.vectors.get(name)) is None:
            report |= dict.fromkeys((f"{_prefix(name)}{measure}" for measure in AGREEMENT), None)
            continue
        street_recall, street_map = baselines.street_retrieval(vectors)
        changed = found.changed.get(name)
        itself = float("nan") if changed is None else baselines.recall_of_itself(changed, found.probes, vectors)
        values = (
            baselines.triplet_accuracy(vectors, tested),
            baselines.colour_agreement(vectors, asked),
            baselines.category_agreement(vectors, asked),
            street_recall,
            street_map,
            itself,
        )
        for measure, value in zip(AGREEMENT, values, strict=True):
            report[f"{_prefix(name)}{measure}"] = _rounded(value)
    return report


def _attributes(found: Searched, asked: np.ndarray, out: Path) -> Report:
    """Grade by attributes what street photos find, or shop photos where there are none; all methods go to the file."""
    street = ~_is_shop(found.vectors["trained"])
    asking = street if street.any() else asked
    tables = [attributes.graded(vectors, asking).assign(method=name) for name, vectors in found.vectors.items()]
    pd.concat(tables).to_csv(out / "attributes.csv", index=False)
    rows = tables[0].set_index("k")
    return {f"{name}_at_{k}": _rounded(rows.loc[k, name]) for name in attributes.MEASURES for k in attributes.KS}


def _calibrated(
    raw_images: Path,
    crops: Path,
    trained: Vectors,
    by: tuple[nn.Module, Entry],
    out: Path,
    params: Params,
    log: Log,
) -> Report:
    """Fit what distances mean to the validation's street photos, and hold it against what the test's photos find.

    Photos that show more than their product are also asked with as they are, where they are enough.
    """
    photos, shop, model = raw_images / "photos.lance", trained.of(side="shop"), by[0]
    seed, share = params.seed, params.in_catalog_share
    table, as_they_are = crops / "crops.lance", (model, by[1].side_px, trained.model)
    rows = Table(table).read(["crop_id", "product_id", "category", "side", "colour"], VALIDATION).to_pandas()
    chosen = sorted(rows["crop_id"], key=fingerprint)[:FITTED_MAX]
    rows = rows[rows["crop_id"].isin(chosen)].sort_values("crop_id").reset_index(drop=True)
    fitted = tested = None
    if len(rows):
        images = CropImages(table, rows["crop_id"].tolist(), by[1].side_px, keep=False)
        matrix = baselines.embedded(model, images, log, precision_of(trained.model))
        whole = uncropped.embedded(photos, uncropped.street_photos(crops, "validation", FITTED_MAX), as_they_are, log)
        cropped = Vectors(rows, matrix, trained.model)
        fitted = calibration_fit.calibrated(cropped, shop, max(KS), seed=seed, uncropped=whole, in_catalog_share=share)
    if fitted is None:
        needed = f"{calibration_fit.PHOTOS_MIN} of products that have shop photos are needed"
        log.say(f"  hits get no probability: the split validation has {len(rows)} street photos, {needed}")
    else:
        fitted.save(out)
        if fitted.uncropped is not None:
            tested = uncropped.embedded(photos, uncropped.street_photos(crops, "test", FITTED_MAX), as_they_are, log)
    report, bins = reliability.measured(fitted, trained.of(side="street"), shop, seed=seed, uncropped=tested)
    bins.to_csv(out / "reliability.csv", index=False)
    return {name: _rounded(value) for name, value in report.items()}


def _prefix(method: str) -> str:
    return "" if method == "trained" else f"{method}_"


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
