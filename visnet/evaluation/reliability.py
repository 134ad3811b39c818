"""Whether probabilities keep their word: of all hits that are said to be right with 0.3, three in ten should be."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from visnet.embedding.vectors import Vectors
from visnet.evaluation.calibration import Calibration, Curves
from visnet.evaluation.calibration_error import BINS, bins, calibration_error
from visnet.evaluation.calibration_fit import Hits, hits, with_and_without

DRAWS = 200
FIGURES = ("calibration_error", "calibration_error_by_chance", "brier_score", "brier_score_of_base_rate")
KINDS = ("", "first_", "whole_shop_", "uncropped_")  # of figures: see `measured`
IN_CATALOG_FIGURES = ("calibration_error", "calibration_error_by_chance", "auroc")
IN_CATALOG_KINDS = ("in_catalog_", "whole_shop_in_catalog_", "uncropped_in_catalog_")


def error_by_chance(probability: np.ndarray, count: int = BINS, *, seed: int) -> float:
    """Return the calibration error to be expected of so many hits if their probabilities are the truth.

    The mean over `DRAWS` draws of which hits are right: a measured error is to be held against it, as it is above 0.
    """
    said, rng = np.sort(probability), np.random.default_rng(seed)
    parts = [part for part in np.array_split(np.arange(len(said)), count) if len(part)]
    starts = [part[0] for part in parts]
    off = [np.abs(np.add.reduceat((rng.random(len(said)) < said) - said, starts)).sum() for _ in range(DRAWS)]
    return float(np.mean(off)) / len(said)


def brier(probability: np.ndarray, right: np.ndarray) -> float:
    """Return the Brier score, the mean squared difference of what was said and what was, in 0..1; NaN of no hits."""
    off: NDArray[np.float64] = (probability - right) ** 2
    return float(off.mean()) if len(off) else float("nan")


def measured(
    calibration: Calibration | None, tests: Vectors, shop: Vectors, *, seed: int, uncropped: Vectors | None = None
) -> tuple[dict[str, float], pd.DataFrame]:
    """Hold a calibration against the hits of photos that it was not fitted to; NaN without one, or without photos.

    Figures, each by name: of all hits within the photos' categories; `first_`, of each photo's nearest alone, which is
    harder, since most other hits are improbable and wrong; `whole_shop_`, of all hits of a search that is not narrowed;
    `uncropped_`, of those of such a search by photos that nothing was cut out of, where these have been given.
    The Brier score stands beside that of the share of right hits, which knows no distance. `in_catalog_`, of each of
    these searches: whether the catalog has the photo's product, by its nearest hit, of photos with their product in the
    shop and of the same photos with it left out. The table has the `bins` of each, in the column `hits_of`.
    """
    figures = {f"{prefix}{name}": float("nan") for prefix in KINDS for name in FIGURES}
    figures |= {f"{prefix}{name}": float("nan") for prefix in IN_CATALOG_KINDS for name in IN_CATALOG_FIGURES}
    tables = [pd.DataFrame(columns=["hits_of", "hits", "probability", "share"])]
    for prefix in KINDS:
        asking = uncropped if prefix == "uncropped_" else tests
        if calibration is None or asking is None or not len(asking.rows):
            continue
        whole = prefix in ("whole_shop_", "uncropped_")
        found = hits(asking, shop, calibration.k, whole=whole)
        met = with_and_without(found)
        found = found.of(found.first) if prefix == "first_" else found
        if not len(found.same):
            continue
        curves = calibration.ranked(whole=whole, uncropped=asking is uncropped)
        share, kind = calibration.in_catalog_share, f"{prefix}in_catalog_"
        if kind in IN_CATALOG_KINDS and curves.in_catalog is not None and share is not None:
            told, table = _in_catalog(curves.in_catalog, met, share, seed)
            figures |= {f"{kind}{name}": value for name, value in zip(IN_CATALOG_FIGURES, told, strict=True)}
            tables.append(table.assign(hits_of=kind.rstrip("_")))
        said = curves.probability(found.sq_distance, found.category, found.first)
        values = (
            calibration_error(said, found.same),
            error_by_chance(said, seed=seed),
            brier(said, found.same),
            brier(np.full(len(said), found.same.mean()), found.same),
        )
        figures |= {f"{prefix}{name}": value for name, value in zip(FIGURES, values, strict=True)}
        tables.append(bins(said, found.same).assign(hits_of=prefix.rstrip("_") or "all"))
    return figures, pd.concat(tables[1:] or tables, ignore_index=True)


def _in_catalog(curves: Curves, met: Hits, share: float, seed: int) -> tuple[tuple[float, ...], pd.DataFrame]:
    """Return the figures of whether photos' products are there, and their bins; the AUROC is NaN where all of them are.

    The probabilities are told as they would be if the assumed share were that of the photos that were met.
    """
    from sklearn.metrics import roc_auc_score  # here: it takes a second to import

    said, there = curves.probability(met.sq_distance, met.category), met.same
    odds = there.sum() * (1 - share)
    said = said * odds / (said * odds + (1 - said) * (~there).sum() * share)
    auroc = float(roc_auc_score(there, said)) if 0 < there.sum() < len(there) else float("nan")
    return (calibration_error(said, there), error_by_chance(said, seed=seed), auroc), bins(said, there)
