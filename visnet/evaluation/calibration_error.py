"""How far what was said to be probable is from what was found: the expected calibration error."""

import numpy as np
import pandas as pd

BINS = 10


def bins(probability: np.ndarray, right: np.ndarray, count: int = BINS) -> pd.DataFrame:
    """Sort answers into bins of equal mass, the least probable first: a row per bin.

    probability: [P] in 0..1; right: [P] bool. Columns: hits (their number), probability (their
    mean), share (how many were right). What is equally probable falls as it is ordered; fewer than bins
    have a bin each.
    """
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, count) if len(part)]
    means = [(len(part), probability[part].mean(), right[part].mean()) for part in parts]
    return pd.DataFrame(means, columns=["hits", "probability", "share"])


def calibration_error(probability: np.ndarray, right: np.ndarray, count: int = BINS) -> float:
    """Return the expected calibration error: the mean of |said − found| over bins of equal mass; NaN of no answer.

    Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning" (AAAI 2015), with
    bins of equal mass, since most hits are improbable and most answers sure.
    """
    table = bins(probability, right, count)
    if table.empty:
        return float("nan")
    return float(np.average((table["probability"] - table["share"]).abs(), weights=table["hits"]))
