"""From a model's scores to honest answers: a path down the taxonomy, cut where the model is no longer sure.

Scores become probabilities by one temperature, fitted to photos that did not train (Guo, Pleiss, Sun and Weinberger,
"On calibration of modern neural networks", ICML 2017). A node is as probable as all paths through it together, so that
an answer may be sure of "Women" and not of the kind of dress. How many photos are answered at which precision is the
risk-coverage curve (El-Yaniv and Wiener, "On the foundations of noise-free selective classification", JMLR 11, 2010).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from visnet.taxonomy.paths import levels_of
from visnet.taxonomy.tree import Taxonomy

COLDEST, HOTTEST = 1 / 20, 20.0  # temperatures between which the best is sought
SUM_OFF = 1e-4  # how far from 1 the probabilities of a photo may sum: networks compute in float32

Floats = NDArray[np.float64]


class PathAnswer(NamedTuple):
    """What a photo shows, as far down as a model is sure.

    path: the likeliest path's text; level_probabilities: in 0..1, of its nodes, which never rise on the way down;
    answer: the path, cut after the last level that is sure enough, "" where the first is not; taxonomy: its version.
    """

    path: str
    level_probabilities: tuple[float, ...]
    answer: str
    taxonomy: str

    @property
    def told(self) -> int:
        """How many levels of the path the answer has."""
        return len(levels_of(self.answer)) if self.answer else 0


def temperature(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the temperature T, in 1/20..20, whose softmax(scores / T) makes the truth likeliest; 1 if none is better.

    scores: [B, P] log-scores of paths, −inf for what cannot be; truth: [B] int, the numbers of the true paths. It
    minimises the mean negative log-likelihood, which has one minimum. `ValueError` of no photo, of scores that are not
    numbers, and of a truth that is no path or cannot be.
    """
    from scipy.optimize import minimize_scalar  # here: it takes long to import

    scores, truth = _scores(scores), np.asarray(truth)
    if truth.shape != scores.shape[:1] or not len(truth):
        raise ValueError(
            f"truth is {truth.shape} and scores {scores.shape}; needed are [B] and [B, P] of a photo or more"
        )
    if truth.dtype.kind not in "iu" or truth.min() < 0 or truth.max() >= scores.shape[1]:
        raise ValueError(f"truth: numbers of paths, 0 to {scores.shape[1] - 1}, are allowed")
    rows = np.arange(len(truth))
    if not np.isfinite(scores[rows, truth]).all():
        raise ValueError("scores: a true path has the score −inf, which no temperature makes possible")

    shifted = scores - scores.max(axis=1, keepdims=True)
    true, room = float(shifted[rows, truth].mean()), np.empty_like(shifted)  # of thousands of paths it is large

    def loss(log_temperature: float) -> float:
        heat = float(np.exp(log_temperature))
        np.exp(np.divide(shifted, heat, out=room), out=room)
        return float(np.log(room.sum(axis=1)).mean()) - true / heat

    found = minimize_scalar(
        loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-6, "maxiter": 200}
    )
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def probabilities(scores: np.ndarray, temperature: float) -> Floats:
    """Return softmax(scores / temperature), [B, P] float64, of log-scores [B, P]; the temperature is above 0."""
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature {temperature}: a number above 0 is allowed")
    return np.exp(_log_softmax(_scores(scores) / temperature))


def node_probabilities(taxonomy: Taxonomy, probabilities: np.ndarray) -> Floats:
    """Return the probabilities of nodes, [B, N] float64: each is the sum of the paths through it or at it.

    probabilities: [B, P] of paths, which sum to 1. No node is less probable than one below it, to the last bit.
    """
    given = np.asarray(probabilities, np.float64)
    if given.ndim != 2 or given.shape[1] != len(taxonomy.paths):
        raise ValueError(f"probabilities are {given.shape}; needed are [B, {len(taxonomy.paths)}], one a path")
    if not (given >= 0).all() or not (np.abs(given.sum(axis=1) - 1) <= SUM_OFF).all():
        raise ValueError("probabilities: 0 or more, and 1 in sum for each photo, are allowed")
    found = np.zeros((len(given), len(taxonomy.nodes)))
    found[:, taxonomy.ends] = given
    for level in range(taxonomy.depth - 1, 0, -1):
        here = np.flatnonzero(taxonomy.levels == level)
        parents, starts = np.unique(taxonomy.parents[here], return_index=True)  # children are neighbours
        found[:, parents] += np.add.reduceat(found[:, here], starts, axis=1)
    return np.minimum(found, 1.0)


def answers(taxonomy: Taxonomy, probabilities: np.ndarray, sure: float) -> list[PathAnswer]:
    """Answer for each photo with its likeliest path, cut where it is less probable than `sure`, in 0..1.

    probabilities: [B, P] of paths. Of equally likely paths it is the first in the taxonomy's order.
    """
    if not 0 <= sure <= 1:
        raise ValueError(f"sure {sure}: 0 to 1 is allowed")
    nodes, best = node_probabilities(taxonomy, probabilities), np.argmax(probabilities, axis=1)
    found = []
    for row, path in enumerate(best):
        passed = taxonomy.ancestors[path]
        passed = passed[passed >= 0]
        levels = nodes[row, passed]
        deep = int((levels >= sure).sum())  # they never rise
        answer = taxonomy.nodes[passed[deep - 1]] if deep else ""
        found.append(PathAnswer(taxonomy.paths[path], tuple(levels.tolist()), answer, taxonomy.version))
    return found


def risk_coverage(probability: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """Return what answering only from a threshold on means: a row per distinct probability, the highest first.

    probability: [B] of the answers; right: [B] bool. Columns: threshold; coverage, the share of photos whose answer is
    at least as probable; precision, the share of right ones among those. Photos of equal probability stand together.
    """
    probability, right = np.asarray(probability, np.float64), np.asarray(right)
    if probability.ndim != 1 or right.shape != probability.shape or right.dtype != bool:
        raise ValueError(
            f"probability is {probability.shape}, right {right.dtype} {right.shape}; needed are [B] and bool [B]"
        )
    if np.isnan(probability).any():
        raise ValueError("probability: NaN is no probability")
    order = np.argsort(-probability, kind="stable")
    ordered = probability[order]
    last = np.flatnonzero(np.diff(ordered, append=-np.inf))  # of each distinct probability
    covered, found = last + 1, np.cumsum(right[order])[last]
    return pd.DataFrame(
        {"threshold": ordered[last], "coverage": covered / max(1, len(order)), "precision": found / covered}
    )


def depth_coverage(probabilities: Sequence[Sequence[float]], shared: np.ndarray) -> pd.DataFrame:
    """Return the same where an answer may stop at any level: a row per distinct probability, the highest first.

    probabilities: [B] of the levels of each predicted path, which never rise; shared: [B] int, on how many of its
    levels it is right. Columns: threshold; coverage, the share of photos with a level at least as probable;
    precision, the share of those that are told no wrong level; levels, the share of all predicted levels that are told.
    `ValueError` where probabilities rise, are none, or `shared` is not one a photo.
    """
    depths = np.array([len(levels) for levels in probabilities], np.int64)
    probability = np.array([one for levels in probabilities for one in levels], np.float64)
    if np.shape(shared) != depths.shape:
        raise ValueError(f"shared is {np.shape(shared)} and there are {len(depths)} photos; one a photo is wanted")
    level = np.arange(len(probability)) - np.repeat(np.cumsum(depths) - depths, depths)  # from 0
    if np.isnan(probability).any() or (np.diff(probability)[level[1:] > 0] > 0).any():
        raise ValueError("probabilities: those of a photo's levels never rise, and none is NaN")
    right = level < np.repeat(shared, depths)
    becomes = right.astype(np.int64)  # what telling one level more changes: a right answer may become a wrong one
    becomes[1:] -= np.where(level[1:] > 0, right[:-1], 0)
    order = np.argsort(-probability, kind="stable")
    last = np.flatnonzero(np.diff(probability[order], append=-np.inf))
    told, found = np.cumsum(level[order] == 0)[last], np.cumsum(becomes[order])[last]
    return pd.DataFrame(
        {
            "threshold": probability[order][last],
            "coverage": told / max(1, len(depths)),
            "precision": found / told,
            "levels": (last + 1) / max(1, len(order)),
        }
    )


def deepest_at(curve: pd.DataFrame, precision: float = 0.95) -> tuple[float, float, float]:
    """Return the lowest threshold whose precision is at least this, its coverage, and the share of levels it tells.

    curve: by `depth_coverage`. (inf, 0, 0) where no threshold is precise enough.
    """
    enough = curve[curve["precision"] >= precision]
    if enough.empty:
        return float("inf"), 0.0, 0.0
    best = enough.iloc[-1]
    return float(best["threshold"]), float(best["coverage"]), float(best["levels"])


def coverage_at(curve: pd.DataFrame, precision: float = 0.95) -> tuple[float, float]:
    """Return the threshold with the largest coverage whose precision is at least this, and that coverage.

    curve: by `risk_coverage`. (inf, 0) where no threshold is precise enough. On photos other than those that it was
    chosen by, a threshold keeps its precision only as nearly as these are many.
    """
    enough = curve[curve["precision"] >= precision]
    if enough.empty:
        return float("inf"), 0.0
    best = enough.loc[enough["coverage"].idxmax()]
    return float(best["threshold"]), float(best["coverage"])


def _scores(scores: np.ndarray) -> Floats:
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or not scores.shape[1]:
        raise ValueError(f"scores are {scores.shape}; needed are [B, P]")
    if np.isnan(scores).any() or (scores == np.inf).any():
        raise ValueError("scores: NaN and inf are no log-scores")
    if len(scores) and not np.isfinite(scores.max(axis=1)).all():
        raise ValueError("scores: a photo has −inf for every path; one must be possible")
    return scores


def _log_softmax(scores: Floats) -> Floats:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
