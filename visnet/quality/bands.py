"""Three bands of a fault's score: bad, good, and between them what a person decides.

The thresholds are those at which the validation's photos show a wanted precision. Planted faults are as many as is
convenient, so precision is that of a catalog of which a share `fault_share` has the fault: with a true positive rate t,
a false positive rate f and a share s it is s·t / (s·t + (1-s)·f).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

BAD, UNSURE, GOOD = VERDICTS = ("bad", "unsure", "good")
NEVER = 2.0  # above every score

Scores = NDArray[np.floating]


class Precisions(NamedTuple):
    """The precision that the bands must have, in a catalog of which such a share has the fault.

    unsure_share_max: of the catalog, that a person may be asked about; above it, good_precision is given up for it.
    """

    bad_precision: float
    good_precision: float
    fault_share: float
    unsure_share_max: float = 1.0


class Band(NamedTuple):
    """A score of at least `bad_from` is bad, one below `good_below` good; `middle` parts the two with fewest errors.

    kept: whether what is called good is as precise as was wanted; else a person would have been asked too much.
    """

    bad_from: float
    good_below: float
    middle: float
    kept: bool = True


class MeasuredBand(NamedTuple):
    """What a band comes to on photos of which half have the fault; the precisions are None of an empty band."""

    average_precision: float
    accuracy: float
    bad_precision: float | None
    bad_share: float
    good_precision: float | None
    good_share: float
    found: float  # the share of the faulty photos that is bad
    alarms: float  # the share of the good photos that is bad


def choose(with_fault: Scores, good: Scores, wanted: Precisions) -> Band:
    """Choose the thresholds on scores of photos with a fault [N] and of good ones [M], both at least one.

    `bad_from` is the lowest score from which on, and `good_below` the highest below which, the precision is kept; where
    none keeps it, no photo is bad, or none good.
    """
    marks = np.unique(np.concatenate([with_fault, good]).astype(np.float64))
    cuts = np.concatenate([[0.0], (marks[1:] + marks[:-1]) / 2, [NEVER]])
    true, false = (_at_least(scores, cuts) for scores in (with_fault, good))
    share = wanted.fault_share
    bad, missed = share * true + (1 - share) * false, share * (1 - true) + (1 - share) * (1 - false)
    keeps_bad = (bad == 0) | (share * true >= wanted.bad_precision * bad)
    keeps_good = (missed == 0) | ((1 - share) * (1 - false) >= wanted.good_precision * missed)
    best = np.flatnonzero(np.isclose(true - false, (true - false).max()))
    middle = float(cuts[best[len(best) // 2]])  # where many are best, as far from the photos on either side as can be
    bad_from, good_below = float(cuts[keeps_bad].min()), float(cuts[keeps_good].max())
    if good_below > bad_from:
        both = cuts[keeps_bad & keeps_good]
        if len(both):  # a person is asked nothing
            bad_from = good_below = float(both[np.abs(both - middle).argmin()])
        else:
            good_below = float(cuts[keeps_good & (cuts <= bad_from)].max())
    is_bad = share * float((with_fault >= bad_from).mean()) + (1 - share) * float((good >= bad_from).mean())
    few = cuts[(bad - is_bad <= wanted.unsure_share_max + 1e-12) & (cuts <= bad_from)]
    least = float(few.min()) if len(few) else bad_from
    return Band(bad_from, max(good_below, least), middle, kept=least <= good_below)


def measure(band: Band, with_fault: Scores, good: Scores, fault_share: float) -> MeasuredBand:
    """Measure a band on photos with a fault [N] and on good ones [M], none of which it was chosen by."""
    truth = np.concatenate([np.ones(len(with_fault)), np.zeros(len(good))])
    weight = np.concatenate([np.full(len(n), 1 / len(n)) for n in (with_fault, good)])
    scores = np.concatenate([with_fault, good])
    bad_true, bad_false = (float((one >= band.bad_from).mean()) for one in (with_fault, good))
    good_false, good_true = (float((one < band.good_below).mean()) for one in (with_fault, good))
    s = fault_share
    bad, fine = s * bad_true + (1 - s) * bad_false, s * good_false + (1 - s) * good_true
    accuracy = float((with_fault >= band.middle).mean() + (good < band.middle).mean()) / 2
    return MeasuredBand(
        float(average_precision_score(truth, scores, sample_weight=weight)), accuracy,
        s * bad_true / bad if bad else None, bad, (1 - s) * good_true / fine if fine else None, fine,
        bad_true, bad_false,
    )  # fmt: skip


def verdict(scores: Mapping[str, float], bands: Mapping[str, Band]) -> tuple[str, str]:
    """Return a photo's verdict, and the fault that it is for, "" of a good one: the one deepest in its band."""
    rank = {GOOD: 0, UNSURE: 1, BAD: 2}
    said = [(rank[of(score, bands[fault])], _depth(score, bands[fault]), fault) for fault, score in scores.items()]
    level, _, fault = max(said, default=(0, 0.0, ""))
    return (GOOD, "") if not level else (BAD if level == 2 else UNSURE, fault)


def of(score: float, band: Band) -> str:
    """Return the verdict of one score."""
    return BAD if score >= band.bad_from else GOOD if score < band.good_below else UNSURE


def _depth(score: float, band: Band) -> float:
    """Return how far a score is above where its doubts begin, of the way to 1."""
    least = min(band.good_below, band.bad_from)
    return (score - least) / max(1.0 - least, 1e-9)


def _at_least(scores: Scores, cuts: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.sort(scores.astype(np.float64))
    return 1.0 - np.searchsorted(order, cuts, side="left") / len(order)
