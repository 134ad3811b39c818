"""visnet.categorizing.path_metrics: scikit-learn's scores, loops over sets, and the interval of a binomial."""

import math
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import f1_score, precision_recall_fscore_support

from tests.taxonomy.test_tree import ATLAS
from visnet.categorizing.path_metrics import by_path, confusions, measure, report
from visnet.evaluation.intervals import interval, resampled_means
from visnet.taxonomy.tree import Taxonomy

DEEP = Taxonomy.of(["A", "A/x", "A/y/1", "A/y/2", "B/x", "B/z"])
ANY = [*DEEP.paths, "", "A/y", "B", "C/x", "A/x/1", "x"]
PAIRS = st.lists(st.tuples(st.sampled_from(DEEP.paths), st.sampled_from(ANY)), min_size=1, max_size=25)


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def guesses(photos: int, right: float, seed: int = 1) -> tuple[list[str], list[str]]:
    draw = np.random.default_rng(seed)
    truth = draw.choice(ATLAS.paths, photos)
    predicted = np.where(draw.random(photos) < right, truth, draw.choice(ATLAS.paths, photos))
    return truth.tolist(), predicted.tolist()


def ancestors(path: str) -> set[str]:
    found = set()
    while path:
        found.add(path)
        path = path.rpartition("/")[0]
    return found


@pytest.fixture(autouse=True)
def undefined_is_zero() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="sklearn")  # of a label that is nowhere predicted, or nowhere true
        yield


@settings(max_examples=40)
@given(PAIRS)
def test_f1_is_that_of_scikit_learn_and_hierarchical_scores_are_those_of_sets(pairs: list[tuple[str, str]]) -> None:
    truth, predicted = map(list, zip(*pairs, strict=True))
    figures = measure(DEEP, truth, predicted, rng())
    labels = sorted({*truth, *predicted} - {""})
    for kind in ("micro", "macro"):
        expected = f1_score(truth, predicted, labels=labels, average=kind, zero_division=0)
        assert figures[f"{kind}_f1"] == pytest.approx(expected)
    shared = sum(len(ancestors(t) & ancestors(p)) for t, p in pairs)
    precision = shared / max(1, sum(len(ancestors(p)) for _, p in pairs))
    recall = shared / sum(len(ancestors(t)) for t, _ in pairs)
    assert figures["hierarchical_precision"] == pytest.approx(precision)
    assert figures["hierarchical_recall"] == pytest.approx(recall)
    between = 2 * precision * recall / (precision + recall) if shared else 0
    assert figures["hierarchical_f1"] == pytest.approx(between)
    assert figures["exact_path"] == pytest.approx(sum(t == p for t, p in pairs) / len(pairs))
    assert figures["invalid"] == pytest.approx(sum(p not in DEEP.paths for _, p in pairs) / len(pairs))
    for level in (1, 2, 3):
        there = [(t.split("/")[:level], p.split("/")[:level]) for t, p in pairs if t.count("/") >= level - 1]
        value = figures[f"level_{level}"]
        assert value == pytest.approx(sum(t == p for t, p in there) / len(there)) if there else math.isnan(value)
    table = by_path(truth, predicted)
    assert sorted(table["path"]) == labels
    columns = precision_recall_fscore_support(truth, predicted, labels=table["path"].tolist(), zero_division=0)
    for name, expected in zip(("precision", "recall", "f1", "support"), columns, strict=True):
        assert table[name].to_numpy() == pytest.approx(expected)


def test_the_figures_of_atlas_are_those_of_scikit_learn_with_all_its_paths() -> None:
    truth, predicted = guesses(2000, 0.8)
    figures = measure(ATLAS, truth, predicted, rng())
    assert figures["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert figures["micro_f1"] == pytest.approx(f1_score(truth, predicted, average="micro"))
    assert figures["micro_f1"] == pytest.approx(figures["exact_path"])
    assert (figures["level_1"], figures["level_2"]) > (figures["level_2"], figures["level_3"])
    assert figures["level_3"] == figures["exact_path"]
    assert figures["exact_path_low"] < figures["exact_path"] < figures["exact_path_high"]
    assert figures["macro_f1_low"] < figures["macro_f1"] < figures["macro_f1_high"]


def test_jackets_under_another_parent_are_wrong() -> None:
    ethnic, western = "Men/Ethnic Wear/Jackets", "Men/Western Wear/Jackets"
    figures = measure(ATLAS, [ethnic, western], [western, western], rng())
    assert (figures["level_1"], figures["level_2"], figures["level_3"], figures["exact_path"]) == (1, 0.5, 0.5, 0.5)
    assert figures["hierarchical_f1"] == pytest.approx(4 / 6)
    assert by_path([ethnic, western], [western, western])["recall"].tolist() == [0, 1]
    assert confusions([ethnic], [western]).to_numpy().tolist() == [[ethnic, western, 1]]


@pytest.mark.parametrize(("photos", "right"), [(400, 0.9), (1500, 0.5)])
def test_the_interval_of_exact_paths_is_that_of_a_binomial(photos: int, right: float) -> None:
    truth = ["A/x"] * photos
    predicted = ["A/x"] * int(photos * right) + ["B/x"] * (photos - int(photos * right))
    figures = measure(DEEP, truth, predicted, rng())
    low, high = binom.ppf([0.025, 0.975], photos, right) / photos
    assert figures["exact_path_low"] == pytest.approx(low, abs=0.004)
    assert figures["exact_path_high"] == pytest.approx(high, abs=0.004)


def test_the_interval_of_macro_f1_is_that_of_resamples_by_scikit_learn() -> None:
    truth, predicted = guesses(150, 0.6)
    figures = measure(ATLAS, truth, predicted, rng())
    draw, pair = np.random.default_rng(9), np.array([truth, predicted])
    scores = [f1_score(*pair[:, draw.integers(0, 150, 150)], average="macro") for _ in range(400)]
    low, high = np.quantile(scores, [0.025, 0.975])
    assert figures["macro_f1_low"] == pytest.approx(low, abs=0.02)
    assert figures["macro_f1_high"] == pytest.approx(high, abs=0.02)


def test_photos_of_one_product_are_drawn_together() -> None:
    """Copies of a photo tell nothing new: ten of each leave the interval as it was without copies."""
    truth, predicted = guesses(120, 0.7)
    once = measure(ATLAS, truth, predicted, rng())
    products = [f"p{number:03}" for number in range(120) for _ in range(10)]
    tenfold = [[path for path in paths for _ in range(10)] for paths in (truth, predicted)]
    together = measure(ATLAS, *tenfold, rng(), products=products)
    apart = measure(ATLAS, *tenfold, rng())
    assert together == pytest.approx(once)
    for name in ("exact_path", "macro_f1"):
        width = [figures[f"{name}_high"] - figures[f"{name}_low"] for figures in (together, apart)]
        assert width[0] > 2.5 * width[1]


def test_equal_generators_give_equal_intervals_and_the_draws_are_the_generators() -> None:
    truth, predicted = guesses(60, 0.5)
    first, again = (measure(ATLAS, truth, predicted, rng()) for _ in range(2))
    other = measure(ATLAS, truth, predicted, np.random.default_rng(6))
    assert first == again
    assert {name for name in first if first[name] != other[name]} <= {
        f"{name}_{end}" for name in ("exact_path", "macro_f1") for end in ("low", "high")
    }


def test_one_photo_no_answer_and_one_product_have_no_interval() -> None:
    figures = measure(DEEP, ["A"], [""], rng())
    assert {name: value for name, value in figures.items() if not math.isnan(value)} == {
        "exact_path": 0,
        "level_1": 0,
        "micro_f1": 0,
        "macro_f1": 0,
        "hierarchical_precision": 0,
        "hierarchical_recall": 0,
        "hierarchical_f1": 0,
        "invalid": 1,
    }
    one = measure(DEEP, ["A", "A/x"], ["A", "A"], rng(), products=["p", "p"])
    assert math.isnan(one["exact_path_low"])
    assert math.isnan(one["macro_f1_high"])
    assert by_path(["A"], [""]).to_numpy().tolist() == [["A", 0, 0, 0, 1, 0]]


def test_confusions_are_worst_first_and_ties_by_text() -> None:
    truth = ["B", "A", "A", "B", "A", "A", "C"]
    predicted = ["A", "C", "B", "A", "B", "", "C"]
    pairs = [["A", "B", 2], ["B", "A", 2], ["A", "", 1], ["A", "C", 1]]
    assert confusions(truth, predicted).to_numpy().tolist() == pairs
    assert confusions(truth, predicted, most=1).to_numpy().tolist() == pairs[:1]
    assert list(confusions(["A"], ["A"]).columns) == ["truth", "predicted", "photos"]
    assert len(confusions([], [])) == 0


def test_a_report_has_all_three() -> None:
    truth, predicted = guesses(50, 0.5)
    found = report(ATLAS, truth, predicted, rng())
    assert found.figures == measure(ATLAS, truth, predicted, rng())
    pd.testing.assert_frame_equal(found.by_path, by_path(truth, predicted))
    pd.testing.assert_frame_equal(found.confusions, confusions(truth, predicted))


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="0 predictions for 0 photos"):
        measure(DEEP, [], [], rng())
    with pytest.raises(ValueError, match="1 predictions for 2 photos"):
        by_path(["A", "B"], ["A"])
    with pytest.raises(ValueError, match="'C' is no path of the taxonomy"):
        measure(DEEP, ["C", "A"], ["A", "A"], rng())
    with pytest.raises(ValueError, match="1 for 2 photos"):
        measure(DEEP, ["A", "A"], ["A", "A"], rng(), products=["p"])


def test_products_of_unequal_size_have_the_interval_of_the_cluster_bootstrap_and_all_right_has_no_width() -> None:
    draw = np.random.default_rng(3)
    products = np.repeat(np.arange(40), draw.integers(1, 12, 40))
    right = draw.random(40)[products] < 0.7
    predicted = np.where(right, "A/x", "B/x").tolist()
    figures = measure(DEEP, ["A/x"] * len(right), predicted, rng(), products=products.astype(str).tolist())
    low, high = interval(resampled_means(right[:, None], products, seed=1))
    assert figures["exact_path_low"] == pytest.approx(low[0], abs=0.015)
    assert figures["exact_path_high"] == pytest.approx(high[0], abs=0.015)
    same = measure(DEEP, predicted, predicted, rng(), products=products.astype(str).tolist())
    assert {same[f"{name}_{end}"] for name in ("exact_path", "macro_f1") for end in ("low", "high")} == {1}


def test_the_calibration_error_of_each_level_is_how_far_a_constant_is_from_the_share_of_right_answers() -> None:
    """In each ten photos seven are right at the first level, and four of these at the second: a closed form."""
    truth = [*["A/x"] * 4, *["A/y/1"] * 3, *["B/x"] * 3] * 10
    predicted = ["A/x"] * 100
    figures = measure(DEEP, truth, predicted, rng(), probabilities=[(0.9, 0.35)] * 100)
    assert figures["calibration_error_1"] == pytest.approx(0.9 - 0.7)
    assert figures["calibration_error_2"] == pytest.approx(0.4 - 0.35)
    assert math.isnan(figures["calibration_error_3"]), "no predicted path has a third level"
    assert not any("calibration" in name for name in measure(DEEP, truth, predicted, rng()))


def test_probabilities_by_which_truths_were_drawn_are_calibrated_and_others_are_not() -> None:
    draw = np.random.default_rng(3)
    said = draw.random(20_000)
    truth = np.where(draw.random(20_000) < said, "A/x", "B/x").tolist()
    fair = [(0.5 + value / 2, value) for value in said]
    figures = measure(DEEP, truth, ["A/x"] * 20_000, rng(), probabilities=fair)
    assert figures["calibration_error_2"] < 0.02
    assert figures["calibration_error_1"] == pytest.approx(0.25, abs=0.02), "the mean of (1 - p) / 2"


def test_nothing_told_has_no_calibration_and_other_levels_are_refused() -> None:
    figures = measure(DEEP, ["A/x", "A/x"], ["", "A"], rng(), probabilities=[(), (0.6,)])
    assert figures["calibration_error_1"] == pytest.approx(0.4)
    assert math.isnan(figures["calibration_error_2"])
    with pytest.raises(ValueError, match="one for each level of each predicted path"):
        measure(DEEP, ["A/x"], ["A/x"], rng(), probabilities=[(0.6,)])
