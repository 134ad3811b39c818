"""The table of what a trained model says of every crop, and how far that is right."""

from pathlib import Path

import numpy as np
import pandas as pd

from visnet.categorizing import path_metrics
from visnet.categorizing.answers import PathAnswer, coverage_at, deepest_at, depth_coverage, risk_coverage
from visnet.categorizing.attention_picture import MANY_PX, panels
from visnet.categorizing.categorizer import Categorizer
from visnet.categorizing.files import ALLOWED, CHANGES, TODAY, TOLD_CATEGORIES
from visnet.categorizing.product_paths import bring_products
from visnet.categorizing.retelling import Retelling
from visnet.categorizing.told_table import Brought, bring_table
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Report
from visnet.sheets import contact_sheet
from visnet.storage.table import Table
from visnet.taxonomy.path_file import allowed_paths
from visnet.taxonomy.tree import Taxonomy

SHOWN = 12  # test photos whose answers are explained
SURE_OF = 0.95


def bring(crops: Path, model: Path, table: Table, log: Log) -> Report:
    """Bring the answers up to the crops, the model in a folder, and today's tree; measure those of known categories.

    Beside the table stands that of the products that lack a category, where any is told one (`product_paths`).
    Writes `metrics.csv` (a row for each split), `confusions.csv`, and `risk_coverage.csv` and `depth_coverage.csv` of
    the test's photos beside the table: answered whole or not at all, or as far down as is sure.
    """
    out = table.path.parent
    categorizer = Categorizer.load(model)
    path = crops / "crops.lance"
    columns = ["crop_id", "product_id", "category", "side", "split", "content"]
    rows = Table(path).read(columns, "lost IS NULL").to_pandas()
    rows = rows.sort_values("crop_id", ignore_index=True)
    rows["split"] = rows["split"].replace("validation", "train")  # what chose the model has taught it since
    allowed, sure = allowed_paths(ALLOWED), categorizer.settings.sure
    retelling = Retelling.of(categorizer.taxonomy, {*rows["category"]} - {""}, allowed, CHANGES, sure)
    brought = bring_table(table, rows, categorizer, retelling, path, log)
    retelling.save(out / TODAY)

    told = table.opened().to_table().to_pandas().set_index("crop_id")
    stopped = int((~told["path"].isin(retelling.tree.path_numbers)).sum())
    _say(retelling, brought, stopped, log)
    products = Table(out / TOLD_CATEGORIES, "product_id")
    lacking, filled = bring_products(rows, told, categorizer.settings.sure, products)
    rows = rows.join(told[["path", "answer", "probabilities", "model_path", "model_probabilities"]], on="crop_id")
    rows = rows[rows["category"].isin(retelling.tree.path_numbers)]
    whole = rows["path"].isin(retelling.tree.path_numbers)  # and does not stop above a leaf
    rows = rows.assign(sure=rows["probabilities"].map(lambda levels: min(levels, default=0.0)).where(whole, 0.0))
    test = rows[rows["split"] == "test"]
    measured = _measured(retelling.tree, rows, out)
    curve = risk_coverage(test["sure"].to_numpy(float), (test["path"] == test["category"]).to_numpy())
    curve.to_csv(out / "risk_coverage.csv", index=False, lineterminator="\n")
    depths = depth_coverage(
        test["probabilities"].tolist(), path_metrics.shared_levels(test["category"].tolist(), test["path"].tolist())
    )
    depths.to_csv(out / "depth_coverage.csv", index=False, lineterminator="\n")
    path_metrics.confusions(test["category"].tolist(), test["path"].tolist()).to_csv(
        out / "confusions.csv", index=False, lineterminator="\n"
    )
    _picture(categorizer, path, test, log)
    return {
        "crops": len(told),
        "test_photos": len(test),
        **dict.fromkeys(("exact_path", "macro_f1")),  # where nothing is kept for a test
        **{name: None if np.isnan(value) else round(value, 6) for name, value in measured.get("test", {}).items()},
        **_sureness(curve, depths, test, sure),
        "taxonomy": retelling.tree.version,
        "model_taxonomy": categorizer.taxonomy.version,
        "products_without_category": lacking,
        "products_told": filled,
        **{f"photos_{name}": len(getattr(brought, name)) for name in ("new", "changed", "gone")},
        "remapped": len(brought.remapped),
        "predicted_again": len(brought.predicted_again),
        "stopped_above_a_leaf": stopped,
        "digest": table.digest(),
    }


def _say(retelling: Retelling, brought: Brought, stopped: int, log: Log) -> None:
    if not retelling.same:
        log.say(
            f"  the taxonomy is {retelling.tree.version} now, and the model learnt {retelling.learnt.version}: "
            f"{len(brought.remapped)} answers mapped, {len(brought.predicted_again)} predicted again, {stopped} stop "
            "above a leaf; train anew: `dvc repro taxonomy_model`"
        )


def _sureness(curve: pd.DataFrame, depths: pd.DataFrame, test: pd.DataFrame, sure: float) -> Report:
    """Say how many of the test's photos are answered surely enough, whole, and at any depth."""
    threshold, coverage = coverage_at(curve, SURE_OF) if len(test) else (float("inf"), 0.0)
    at_any, answered, levels = deepest_at(depths, SURE_OF)
    as_set = depths[depths["threshold"] >= sure].tail(1)
    full = (test["answer"] == test["path"]) & (test["path"] != "")
    right = test["path"] == test["category"]
    return {
        "coverage_at_95": round(coverage, 6),
        "threshold_at_95": round(threshold, 6) if np.isfinite(threshold) else None,
        "answered_at_95": round(answered, 6),
        "answered_levels_at_95": round(levels, 6),
        "answered_threshold_at_95": round(at_any, 6) if np.isfinite(at_any) else None,
        "answered_share": round(float(as_set["coverage"].max()), 6) if len(as_set) else None,
        "answered_precision": round(float(as_set["precision"].iloc[-1]), 6) if len(as_set) else None,
        "told_whole_share": round(float(full.mean()), 6) if len(test) else None,
        "told_whole_precision": round(float(right[full].mean()), 6) if full.any() else None,
    }


def _measured(taxonomy: Taxonomy, rows: pd.DataFrame, out: Path) -> dict[str, dict[str, float]]:
    """Measure each split by itself."""
    measured = {
        str(split): path_metrics.measure(
            taxonomy,
            own["category"].tolist(),
            own["path"].tolist(),
            np.random.default_rng(0),
            products=own["product_id"].tolist(),
            probabilities=own["probabilities"].tolist(),
        )
        for split, own in rows.groupby("split")
    }
    frame = pd.DataFrame(measured).T.rename_axis("split")
    frame.insert(0, "photos", rows.groupby("split").size())
    frame.to_csv(out / "metrics.csv", lineterminator="\n")
    return measured


def _picture(categorizer: Categorizer, crops: Path, test: pd.DataFrame, log: Log) -> None:
    """Show where the model looks in the photos that it is wrong about, the surest first, and in others."""
    surest = test.sort_values("sure", ascending=False, kind="stable")
    wrong = surest["path"] != surest["category"]
    half, right = surest[wrong].head(SHOWN // 2), surest[~wrong]
    some = pd.concat([half, right.iloc[:: max(1, len(right) // (SHOWN - len(half)))].head(SHOWN - len(half))])
    pictures = contact_sheet.open_images(crops, some["crop_id"].tolist())
    lines = []
    for row in some.itertuples():
        path, levels = row.model_path, row.model_probabilities  # of the tree that the networks know
        deep = int((np.asarray(levels) >= categorizer.settings.sure).sum())
        answer = PathAnswer(path, tuple(levels), "/".join(path.split("/")[:deep]), categorizer.taxonomy.version)
        lines.append(panels(categorizer, pictures[row.crop_id], answer, row.category))
    title = "Where is looked for each level; wrong answers first, then right ones. A green level is told, a red one not"
    log.picture(contact_sheet.sheet(lines, title, MANY_PX, columns=2))
