"""How right predicted paths are: whole, level by level, per path, and by the nodes that they share with the truth.

A path is right if its whole text is: a leaf's name under another parent is wrong. Hierarchical precision and recall
count the nodes on the paths, without the root (Kiritchenko, Matwin, Nock and Famili, "Learning and evaluation in the
presence of class hierarchies", Canadian AI 2006): a prediction that leaves the truth late is better than one that
leaves it early. A prediction may be any text, and "" is none: it takes recall and costs no precision.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from visnet.evaluation.calibration_error import calibration_error
from visnet.evaluation.intervals import AT_ONCE, RESAMPLES, Floats, interval
from visnet.taxonomy.paths import levels_of
from visnet.taxonomy.tree import Taxonomy, prefixes


class PathReport(NamedTuple):
    """What `measure`, `by_path` and `confusions` say of one model."""

    figures: dict[str, float]
    by_path: pd.DataFrame
    confusions: pd.DataFrame


def report(
    taxonomy: Taxonomy,
    truth: Sequence[str],
    predicted: Sequence[str],
    rng: np.random.Generator,
    *,
    products: Sequence[str] | None = None,
    probabilities: Sequence[Sequence[float]] | None = None,
) -> PathReport:
    """Measure predicted paths in each way of this module; the arguments are those of `measure`."""
    figures = measure(taxonomy, truth, predicted, rng, products=products, probabilities=probabilities)
    return PathReport(figures, by_path(truth, predicted), confusions(truth, predicted))


def measure(
    taxonomy: Taxonomy,
    truth: Sequence[str],
    predicted: Sequence[str],
    rng: np.random.Generator,
    *,
    products: Sequence[str] | None = None,
    probabilities: Sequence[Sequence[float]] | None = None,
) -> dict[str, float]:
    """Return the figures of predictions, each in 0..1: shares, F-scores, and 95 % intervals of two of them.

    truth: [B] texts of paths of the taxonomy; predicted: [B] any texts; products: [B], which product each photo shows,
    since photos of one product are right or wrong together: the bootstrap draws products, or photos without them;
    probabilities: [B], of the levels of each predicted path.
    Figures: exact_path; level_1 … level_D, over the photos whose path has that level, NaN where none has; micro_f1 and
    macro_f1, over the paths that are true or predicted; hierarchical_precision, _recall and _f1; invalid, the share of
    predictions that are no path of the taxonomy; exact_path_low, _high, macro_f1_low, _high, NaN of fewer than two
    photos or products. Where paths have only a few photos each, resamples miss some of them, and the interval of
    macro_f1 may lie beside it. With probabilities also calibration_error_1 … calibration_error_D: the expected
    calibration error of a level, over the photos whose predicted path has it, NaN where none has. `ValueError` of no
    photo, of a truth that is no path of the taxonomy, and of probabilities of other levels than those predicted.
    """
    _check(truth, predicted)
    if products is not None and len(products) != len(truth):
        raise ValueError(f"products: {len(products)} for {len(truth)} photos; one a photo is wanted")
    unknown = sorted(set(truth) - taxonomy.path_numbers.keys())
    if unknown:
        raise ValueError(f"truth: {unknown[0]!r} is no path of the taxonomy {taxonomy.version}")
    lengths, meant, shared = _lengths(truth, predicted)
    figures = {"exact_path": float(np.mean([t == p for t, p in zip(truth, predicted, strict=True)]))}
    for level in range(1, taxonomy.depth + 1):
        there = lengths >= level
        figures[f"level_{level}"] = float((shared >= level)[there].mean()) if there.any() else float("nan")
    right, said, true = (column.sum() for column in _counts(truth, predicted))
    figures["micro_f1"] = 2 * float(right) / float(said + true)
    figures["macro_f1"] = float(_macro_f1(np.stack(_counts(truth, predicted))[None])[0])
    precision, recall = (float(shared.sum()) / max(1, int(of.sum())) for of in (meant, lengths))
    figures["hierarchical_precision"], figures["hierarchical_recall"] = precision, recall
    figures["hierarchical_f1"] = 2 * precision * recall / (precision + recall) if precision else 0.0
    figures["invalid"] = float(np.mean([path not in taxonomy.path_numbers for path in predicted]))
    if probabilities is not None:
        figures |= _calibration_errors(taxonomy.depth, meant, shared, probabilities)
    low, high = interval(_resampled(truth, predicted, products, rng))
    for at, name in enumerate(("exact_path", "macro_f1")):
        figures[f"{name}_low"], figures[f"{name}_high"] = float(low[at]), float(high[at])
    return figures


def by_path(truth: Sequence[str], predicted: Sequence[str]) -> pd.DataFrame:
    """Return a row for each path that is true or predicted, in the order of a taxonomy; "" is none.

    Columns: path, precision, recall, f1, support (photos whose path it is), predicted (photos that were said to show
    it). A share of no photos is 0.
    """
    _check(truth, predicted)
    right, said, true = _counts(truth, predicted)
    return pd.DataFrame(
        {
            "path": _labels(truth, predicted),
            "precision": right / np.maximum(said, 1),
            "recall": right / np.maximum(true, 1),
            "f1": 2 * right / (said + true),
            "support": true.astype(np.int64),
            "predicted": said.astype(np.int64),
        }
    )


def confusions(truth: Sequence[str], predicted: Sequence[str], most: int = 20) -> pd.DataFrame:
    """Return the pairs of paths that were confused most: truth, predicted, photos; equally many by their texts."""
    pairs = Counter((t, p) for t, p in zip(truth, predicted, strict=True) if t != p)
    worst = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:most]
    return pd.DataFrame([(*pair, photos) for pair, photos in worst], columns=["truth", "predicted", "photos"])


def shared_levels(truth: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """Return on how many levels, from the first one, each prediction agrees with the truth, [B] int64; none of ""."""
    return np.array(
        [
            sum(one == other for one, other in zip(*map(prefixes, pair), strict=False))
            for pair in zip(truth, predicted, strict=True)
        ],
        np.int64,
    )


def _check(truth: Sequence[str], predicted: Sequence[str]) -> None:
    if len(truth) != len(predicted) or not len(truth):
        raise ValueError(f"{len(predicted)} predictions for {len(truth)} photos; one a photo is wanted, and a photo")


def _lengths(truth: Sequence[str], predicted: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how many nodes are on the true paths, on the predicted ones, and on both, each [B] int64."""
    lengths, meant = (np.array([len(prefixes(path)) for path in paths], np.int64) for paths in (truth, predicted))
    return lengths, meant, shared_levels(truth, predicted)


def _calibration_errors(
    depth: int, meant: np.ndarray, shared: np.ndarray, probabilities: Sequence[Sequence[float]]
) -> dict[str, float]:
    """Hold each level's probability against whether the predicted path is right down to it."""
    if [len(levels) for levels in probabilities] != meant.tolist():
        raise ValueError("probabilities: one for each level of each predicted path is wanted")
    found = {}
    for level in range(1, depth + 1):
        there = meant >= level
        said = np.array([levels[level - 1] for levels in probabilities if len(levels) >= level], np.float64)
        found[f"calibration_error_{level}"] = calibration_error(said, (shared >= level)[there])
    return found


def _labels(truth: Sequence[str], predicted: Sequence[str]) -> list[str]:
    return sorted({*truth, *predicted} - {""}, key=lambda path: (levels_of(path), path))


def _members(truth: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """Return which label each photo counts for, [3, B] int64: if it is right, as predicted, as true; −1 for none."""
    numbers = {path: number for number, path in enumerate(_labels(truth, predicted))}
    true = np.array([numbers.get(path, -1) for path in truth])
    said = np.array([numbers.get(path, -1) for path in predicted])
    return np.stack([np.where(true == said, true, -1), said, true])


def _counts(truth: Sequence[str], predicted: Sequence[str]) -> tuple[Floats, Floats, Floats]:
    """Return the photos of each label, [C] float64: rightly predicted, predicted, true."""
    members, labels = _members(truth, predicted), len(_labels(truth, predicted))
    right, said, true = (np.bincount(row[row >= 0], minlength=labels).astype(np.float64) for row in members)
    return right, said, true


def _macro_f1(counts: np.ndarray) -> Floats:
    """Return the mean F1, [R], over the labels that occur in counts [R, 3, C]: right, predicted, true."""
    both = counts[:, 1] + counts[:, 2]
    scores = 2 * counts[:, 0] / np.maximum(both, 1)
    return np.asarray(scores.sum(axis=1) / np.maximum((both > 0).sum(axis=1), 1))


def _resampled(
    truth: Sequence[str], predicted: Sequence[str], products: Sequence[str] | None, rng: np.random.Generator
) -> Floats:
    """Return exact_path and macro_f1 of resamples of products, [R, 2]; NaN of fewer than two."""
    photos = len(truth)
    code = np.unique(np.asarray(products), return_inverse=True)[1] if products is not None else np.arange(photos)
    units = int(code.max()) + 1
    if units < 2:
        return np.full((RESAMPLES, 2), np.nan)
    members, labels = _members(truth, predicted), len(_labels(truth, predicted))
    kind, photo = np.nonzero(members >= 0)
    columns = kind * labels + members[kind, photo]
    per_unit = csr_array((np.ones(len(photo)), (code[photo], columns)), shape=(units, 3 * labels))
    sizes = np.bincount(code).astype(np.float64)
    found, step = [], max(1, AT_ONCE // max(units, 3 * labels))
    for start in range(0, RESAMPLES, step):
        draws = rng.integers(0, units, (min(step, RESAMPLES - start), units))
        weights = np.stack([np.bincount(draw, minlength=units) for draw in draws]).astype(np.float64)
        counts = (weights @ per_unit).reshape(len(draws), 3, labels)
        found.append(np.stack([counts[:, 0].sum(axis=1) / (weights @ sizes), _macro_f1(counts)], axis=1))
    return np.concatenate(found)
