"""From which probability on answers are told, and that photos much like those learnt cannot choose it."""

from typing import NamedTuple

import numpy as np
import pytest

from tests.categorizing.trees import SHOP
from visnet.categorizing.answers import answers, probabilities, temperature
from visnet.categorizing.path_metrics import shared_levels
from visnet.categorizing.sureness import NEVER, sureness
from visnet.sampling import alike

PATHS, SIZE = len(SHOP.paths), 12
SCENES, PHOTOS = 24, 5  # of a path, and of a scene
WANTED = 0.9  # of the answers that are right


class Shop(NamedTuple):
    """Photos' vectors, the numbers of their paths, and their scenes."""

    vectors: np.ndarray
    paths: np.ndarray
    scene: np.ndarray


def shop(rng: np.random.Generator, looks: np.ndarray) -> Shop:
    """Several photos of each scene, nearly equal; two scenes of a path differ about as much as two paths do."""
    paths = np.repeat(np.arange(PATHS), SCENES)
    centres = looks[paths] + rng.normal(size=(len(paths), SIZE))
    scene = np.repeat(np.arange(len(paths)), PHOTOS)
    vectors = centres[scene] + 0.05 * rng.normal(size=(len(scene), SIZE))
    return Shop(vectors, paths[scene], scene)


def by_the_nearest(learnt: Shop, rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Score each path by its nearest photo among those learnt: a model that has learnt everything by heart."""
    squares = ((asked[:, None] - learnt.vectors[rows]) ** 2).sum(2)
    own = learnt.paths[rows]
    return np.stack([-squares[:, own == path].min(1) for path in range(PATHS)], axis=1)


def precision_elsewhere(learnt: Shop, elsewhere: Shop, held: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Calibrate by the photos held; return the precision on these, and on photos of other scenes."""
    rows = np.flatnonzero(~held)
    scores, truth = by_the_nearest(learnt, rows, learnt.vectors[held]), learnt.paths[held]
    heat = temperature(scores, truth)
    sure = sureness(SHOP, probabilities(scores, heat), truth, groups[held], WANTED, seed=1)
    found = probabilities(by_the_nearest(learnt, rows, elsewhere.vectors), heat)
    told = answers(SHOP, found, sure.least)
    shared = shared_levels([SHOP.paths[one] for one in elsewhere.paths], [one.path for one in told])
    depth = np.array([one.told for one in told])
    return sure.precision, float((depth <= shared)[depth > 0].mean())


def test_near_duplicates_of_what_is_learnt_choose_too_low_a_probability_and_scenes_apart_do_not() -> None:
    drawn, apart = [], []
    for seed in (7, 8, 9):
        rng = np.random.default_rng(seed)
        looks = 0.8 * rng.normal(size=(PATHS, SIZE))
        learnt, elsewhere = shop(rng, looks), shop(rng, looks)
        photos = len(learnt.paths)
        drawn.append(precision_elsewhere(learnt, elsewhere, rng.random(photos) < 0.15, np.arange(photos)))
        groups = alike.groups(learnt.vectors.astype(np.float32), learnt.paths)
        held = alike.kept_apart(groups, learnt.paths, [f"{row:05}" for row in range(photos)], 0.15, seed=1)
        apart.append(precision_elsewhere(learnt, elsewhere, held, groups))
    said, found = np.mean(drawn, axis=0)
    assert said > 0.99, "each has its like among those learnt"
    assert found < 0.85, "and elsewhere there is none"
    said, found = np.mean(apart, axis=0)
    assert said == pytest.approx(WANTED, abs=0.03)
    assert found > WANTED - 0.02


def test_as_many_answers_are_told_as_are_right_often_enough() -> None:
    """Ten photos of the first path, of which the surest eight are told it."""
    likely = np.full((10, PATHS), 0.1 / (PATHS - 1))
    likely[:8, 0], likely[8:, 1] = 0.9, 0.9
    likely[:8] *= 1 - np.arange(8)[:, None] / 100
    likely /= likely.sum(1, keepdims=True)
    likely[8:] = likely[8:] * 0.5 + 0.5 / PATHS
    truth = np.zeros(10, np.int64)
    every = sureness(SHOP, likely, truth, np.arange(10), 0.0, seed=1)
    assert every.answered == 1.0
    strict = sureness(SHOP, likely, truth, np.arange(10), 1.0, seed=1)
    assert strict.precision == strict.low == strict.high == 1.0
    assert strict.least > every.least


def test_where_no_answer_is_sure_enough_none_is_told() -> None:
    likely = np.full((4, PATHS), 0.1 / (PATHS - 1))
    likely[:, -1] = 0.9
    found = sureness(SHOP, likely, np.zeros(4, np.int64), np.arange(4), 0.5, seed=1)
    assert (found.least, found.answered) == (NEVER, 0.0)
    assert np.isnan(found.precision)
    assert not any(one.answer for one in answers(SHOP, likely, found.least))
