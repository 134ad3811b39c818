"""Models of category paths on the photos of the test, side by side: what they tell, and how right that is."""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from visnet.categorizing import answers, path_metrics, path_page
from visnet.categorizing.attention import AttentionHead
from visnet.categorizing.beams import beams
from visnet.categorizing.categorizer import Categorizer
from visnet.categorizing.choices import PathModels
from visnet.categorizing.files import TOGETHER, Model
from visnet.categorizing.task import labelled
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Report
from visnet.storage import atomic

BEAM = 5
FIGURES = ("exact_path", "exact_path_low", "exact_path_high", "macro_f1")


def side_by_side(
    categorizer: Categorizer,
    crops: Path,
    rows: pd.DataFrame,
    params: PathModels,
    out: Path,
    log: Log,
) -> Report:
    """Measure all models on the test's photos, side by side: `models.csv`, `paths.csv` and `models.html`.

    As they were chosen among, all by the same photos; what answers comes last. What the attention would say that knows
    of no taxonomy stands beside them, too.
    """
    if not (rows["split"] == "test").any():
        return {**dict.fromkeys(FIGURES), "test_photos": 0}
    test = labelled(crops, rows, categorizer.taxonomy, "test", params.answered_px)
    taxonomy, truth = categorizer.taxonomy, [categorizer.taxonomy.paths[number] for number in test.paths]
    told: dict[str, list[str]] = {}
    sure: dict[str, list[tuple[float, ...]]] = {}
    names: list[Model] = [*categorizer.networks, TOGETHER]
    for name in names:
        found = categorizer.probabilities(name, categorizer.scores(name, test.images, log, params.workers))
        said = answers.answers(taxonomy, found, categorizer.settings.sure)
        told[name], sure[name] = [each.path for each in said], [each.level_probabilities for each in said]
        if name != TOGETHER and isinstance(categorizer.networks[name].head, AttentionHead):
            told |= beams(categorizer.networks[name], test.images, BEAM, log)
    products = rows.set_index("crop_id")["product_id"].loc[list(test.images.names)].tolist()
    rng = np.random.default_rng(params.seed)
    models = {
        name: path_metrics.report(taxonomy, truth, predicted, rng, products=products, probabilities=sure.get(name))
        for name, predicted in told.items()
    }
    figures = pd.DataFrame({name: one.figures for name, one in models.items()}).T
    figures.rename_axis("model").to_csv(out / "models.csv", lineterminator="\n")
    models[TOGETHER].by_path.to_csv(out / "paths.csv", index=False, lineterminator="\n")
    atomic.put_text(out / "models.html", path_page.page("Models of category paths", models))
    own = models[TOGETHER].figures
    return {
        "test_photos": len(truth),
        **{name: rounded(own[name]) for name in own if name in FIGURES or name.startswith("calibration_error")},
        **{f"{name}_exact_path": rounded(one.figures["exact_path"]) for name, one in models.items()},
        **{f"{name}_invalid": rounded(one.figures["invalid"]) for name, one in models.items() if name not in sure},
    }


def rounded(value: float) -> float | None:
    """Return what a report has of a number: None of NaN."""
    return None if math.isnan(value) else round(float(value), 6)
