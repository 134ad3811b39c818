"""The table of what a trained model says of every crop, and how far that is right."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from visnet.categorizing import path_metrics
from visnet.categorizing.answers import PathAnswer, answers, coverage_at, risk_coverage
from visnet.categorizing.attention_picture import MANY_PX, panels
from visnet.categorizing.categorizer import Categorizer
from visnet.categorizing.files import TOLD_CATEGORIES
from visnet.categorizing.product_paths import bring_products
from visnet.embedding.crop_dataset import CropImages
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Report
from visnet.sheets import contact_sheet
from visnet.storage.fingerprints import fingerprint, fingerprints
from visnet.storage.table import Difference, Table, wanted_rows

COMMIT_EVERY = 512  # crops
SHOWN = 12  # test photos whose answers are explained
SURE_OF = 0.95
COLUMNS = pa.schema(
    [
        ("crop_id", pa.string()),
        ("path", pa.string()),  # the likeliest
        ("answer", pa.string()),  # what is told of it
        ("probabilities", pa.list_(pa.float64())),  # of each level of the path
        ("taxonomy", pa.string()),
        ("source", pa.string()),
        ("content", pa.string()),
    ]
)


def bring(crops: Path, model: Path, table: Table, log: Log) -> Report:
    """Bring the answers up to the crops and the model in a folder, and measure those whose category is known.

    Beside the table stands that of the products that lack a category, where any is told one (`product_paths`).
    Writes `metrics.csv` (a row for each split), `confusions.csv`, and `risk_coverage.csv` of the test's photos beside
    the table.
    """
    out = table.path.parent
    categorizer = Categorizer.load(model)
    path = crops / "crops.lance"
    columns = ["crop_id", "product_id", "category", "side", "split", "content"]
    rows = Table(path).read(columns, "lost IS NULL").to_pandas()
    rows = rows.sort_values("crop_id", ignore_index=True)
    made = pa.repeat(fingerprint(categorizer.made_by), len(rows))
    change = _bring(table, rows.assign(source=fingerprints(made, pa.array(rows["content"]))), categorizer, path, log)

    told = table.opened().to_table().to_pandas().set_index("crop_id")
    products = Table(out / TOLD_CATEGORIES, "product_id")
    lacking, filled = bring_products(rows, told, categorizer.settings.sure, products)
    rows = rows.join(told[["path", "answer", "probabilities"]], on="crop_id")
    rows = rows[rows["category"].isin(categorizer.taxonomy.path_numbers)]
    test = rows[rows["split"] == "test"]
    measured = _measured(categorizer, rows, out)
    curve = risk_coverage(test["probabilities"].map(min).to_numpy(float), (test["path"] == test["category"]).to_numpy())
    curve.to_csv(out / "risk_coverage.csv", index=False, lineterminator="\n")
    path_metrics.confusions(test["category"].tolist(), test["path"].tolist()).to_csv(
        out / "confusions.csv", index=False, lineterminator="\n"
    )
    _picture(categorizer, path, test, log)
    own = measured.get("test", {})
    threshold, coverage = coverage_at(curve, SURE_OF) if len(test) else (float("inf"), 0.0)
    full = test["answer"] == test["path"]
    return {
        "crops": len(told),
        "test_photos": len(test),
        **dict.fromkeys(("exact_path", "macro_f1")),  # where nothing is kept for a test
        **{name: None if np.isnan(value) else round(value, 6) for name, value in own.items()},
        "coverage_at_95": round(coverage, 6),
        "threshold_at_95": round(threshold, 6) if np.isfinite(threshold) else None,
        "told_whole_share": round(float(full.mean()), 6) if len(test) else None,
        "told_whole_precision": round(float((test["path"] == test["category"])[full].mean()), 6)
        if full.any()
        else None,
        "taxonomy": categorizer.taxonomy.version,
        "products_without_category": lacking,
        "products_told": filled,
        **{f"photos_{name}": len(getattr(change, name)) for name in ("new", "changed", "gone")},
        "digest": table.digest(),
    }


def _bring(table: Table, rows: pd.DataFrame, categorizer: Categorizer, crops: Path, log: Log) -> Difference:
    """Answer for what is new or changed; return what that was."""
    wanted = wanted_rows(rows["crop_id"], rows["source"])
    change = table.compare(wanted)
    table.delete(change.gone)
    todo = rows[rows["crop_id"].isin(set(change.todo))]
    if not table.exists():
        table.put(COLUMNS.empty_table())
    # In parts, of which a run that is killed keeps those that it has told.
    with log.progress("paths", len(rows), done=change.same, unit="crop") as progress:
        for first in range(0, len(todo), COMMIT_EVERY):
            part = todo[first : first + COMMIT_EVERY]
            table.put(_told(part, categorizer, crops), change.changed)
            progress.advance(len(part))
    return change


def _told(rows: pd.DataFrame, categorizer: Categorizer, crops: Path) -> pa.Table:
    images = CropImages(crops, rows["crop_id"].tolist(), categorizer.settings.side_px, keep=False)
    head = categorizer.settings.chosen
    found = categorizer.probabilities(head, categorizer.scores(head, images))
    said = answers(categorizer.taxonomy, found, categorizer.settings.sure)
    columns = {
        "crop_id": rows["crop_id"].tolist(),
        "path": [one.path for one in said],
        "answer": [one.answer for one in said],
        "probabilities": [list(one.level_probabilities) for one in said],
        "taxonomy": [one.taxonomy for one in said],
        "source": rows["source"].tolist(),
        "content": [fingerprint(*one) for one in said],
    }
    return pa.table(columns, schema=COLUMNS)


def _measured(categorizer: Categorizer, rows: pd.DataFrame, out: Path) -> dict[str, dict[str, float]]:
    """Measure each split by itself."""
    measured = {
        str(split): path_metrics.measure(
            categorizer.taxonomy,
            own["category"].tolist(),
            own["path"].tolist(),
            np.random.default_rng(0),
            products=own["product_id"].tolist(),
        )
        for split, own in rows.groupby("split")
    }
    frame = pd.DataFrame(measured).T.rename_axis("split")
    frame.insert(0, "photos", rows.groupby("split").size())
    frame.to_csv(out / "metrics.csv", lineterminator="\n")
    return measured


def _picture(categorizer: Categorizer, crops: Path, test: pd.DataFrame, log: Log) -> None:
    """Show where the model looks in the photos that it is wrong about, the surest first, and in others."""
    surest = test.assign(sure=test["probabilities"].map(min)).sort_values("sure", ascending=False, kind="stable")
    wrong = surest["path"] != surest["category"]
    half, right = surest[wrong].head(SHOWN // 2), surest[~wrong]
    some = pd.concat([half, right.iloc[:: max(1, len(right) // (SHOWN - len(half)))].head(SHOWN - len(half))])
    pictures = contact_sheet.open_images(crops, some["crop_id"].tolist())
    lines = []
    for row in some.itertuples():
        answer = PathAnswer(row.path, tuple(row.probabilities), row.answer, categorizer.taxonomy.version)
        lines.append(panels(categorizer, pictures[row.crop_id], answer, row.category))
    title = "Where is looked for each level; wrong answers first, then right ones. A green level is told, a red one not"
    log.picture(contact_sheet.sheet(lines, title, MANY_PX, columns=2))
