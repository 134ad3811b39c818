"""How probable a level must be to be told, so that as many answers are right as are wanted: chosen by validation."""

from typing import NamedTuple

import numpy as np

from visnet.categorizing.answers import answers, deepest_at, depth_coverage
from visnet.categorizing.path_metrics import shared_levels
from visnet.evaluation.intervals import interval, resampled_means
from visnet.taxonomy.tree import Taxonomy

NEVER = 1.0  # told is then only what cannot be otherwise


class Sureness(NamedTuple):
    """The least probability, in 0..1, of a level that is told, and what it means for validation's photos.

    answered: the share of photos that are told a level; precision: the share of those that are told no wrong one, and
    the ends of its 95 % interval; NaN where none is precise enough, so that next to nothing is told.
    """

    least: float
    answered: float
    precision: float
    low: float
    high: float


def sureness(
    taxonomy: Taxonomy, probabilities: np.ndarray, truth: np.ndarray, groups: np.ndarray, precision: float, seed: int
) -> Sureness:
    """Choose the lowest probability from which on answers to validation's photos have a precision, in 0..1.

    probabilities: [B, P] of paths; truth: [B] int, the numbers of the true ones; groups: [B] int, which photos are
    right or wrong together: the interval draws them anew.
    """
    told = answers(taxonomy, probabilities, 0.0)
    levels = [one.level_probabilities for one in told]
    shared = shared_levels([taxonomy.paths[number] for number in truth], [one.path for one in told])
    least, answered, _ = deepest_at(depth_coverage(levels, shared), precision)
    if not answered:
        return Sureness(NEVER, 0.0, *[float("nan")] * 3)
    depth = np.array([sum(one >= least for one in own) for own in levels])
    right = (depth <= shared)[depth > 0]
    low, high = interval(resampled_means(right[:, None], groups[depth > 0], seed=seed))
    return Sureness(least, answered, float(right.mean()), float(low[0]), float(high[0]))
