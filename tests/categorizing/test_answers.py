"""visnet.categorizing.answers: temperatures that were put in come out, and no answer is surer than its parts."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.taxonomy.test_tree import ATLAS
from visnet.categorizing.answers import (
    answers,
    coverage_at,
    deepest_at,
    depth_coverage,
    node_probabilities,
    probabilities,
    risk_coverage,
    temperature,
)
from visnet.evaluation.calibration_error import calibration_error
from visnet.taxonomy.tree import Taxonomy, prefixes

SHOES = Taxonomy.of(["Bags", "Shoes", "Shoes/Boots/High", "Shoes/Boots/Low", "Shoes/Clogs"])


def drawn(photos: int, heat: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw scores whose truth is drawn from softmax(scores / heat)."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 3 * heat, (photos, 7))
    return scores, np.argmax(scores / heat + rng.gumbel(size=scores.shape), axis=1)


@pytest.mark.parametrize("heat", [0.3, 1.0, 4.0])
def test_the_temperature_by_which_truths_were_drawn_is_found(heat: float) -> None:
    scores, truth = drawn(20_000, heat)
    found = temperature(scores, truth)
    assert found == pytest.approx(heat, rel=0.03)
    assert temperature(scores * 2 + 11, truth) == pytest.approx(2 * found, rel=1e-4)


def test_the_temperature_of_two_paths_is_that_of_a_closed_form() -> None:
    """Scores of 1 and 0, right n times of m: 1 / T is the log-odds of n / m."""
    truth = np.array([0] * 70 + [1] * 30)
    found = temperature(np.tile([1.0, 0.0], (100, 1)), truth)
    assert found == pytest.approx(1 / np.log(7 / 3), rel=1e-4)


def test_the_temperature_has_ends_and_is_1_where_it_does_not_matter() -> None:
    scores = np.array([[1.0, 0.0, -np.inf], [2.0, 0.0, 1.0]])
    assert temperature(scores, np.array([0, 0])) == pytest.approx(1 / 20, rel=1e-4)
    assert temperature(scores, np.array([1, 1])) == pytest.approx(20, rel=1e-4)
    assert temperature(np.zeros((3, 4)), np.array([0, 1, 2])) == 1


def test_a_fitted_temperature_makes_other_photos_calibrated() -> None:
    scores, truth = drawn(20_000, 3.0)
    fitted, tested = slice(0, 10_000), slice(10_000, None)
    errors = []
    for heat in (1.0, temperature(scores[fitted], truth[fitted])):
        shares = probabilities(scores[tested], heat)
        errors.append(calibration_error(shares.max(axis=1), shares.argmax(axis=1) == truth[tested]))
    assert errors[0] > 0.1
    assert errors[1] < 0.02


def test_probabilities_are_those_of_big_and_impossible_scores_too() -> None:
    found = probabilities(np.array([[1e6, 1e6 - 1, -np.inf], [-1e300, -np.inf, -np.inf]]), 1.0)
    assert found[0] == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0], rel=1e-9)
    assert found[1].tolist() == [1, 0, 0]
    assert probabilities(np.log([[1.0, 4.0]]), 2.0)[0] == pytest.approx([1 / 3, 2 / 3])
    assert probabilities(np.empty((0, 3)), 1.0).shape == (0, 3)


TEXTS = st.lists(st.lists(st.sampled_from("ABC"), min_size=1, max_size=4).map("/".join), min_size=2, max_size=9)


@given(TEXTS.filter(lambda texts: len(set(texts)) > 1), st.integers(0, 2**32 - 1))
def test_a_node_has_the_sum_of_its_paths_and_never_less_than_a_child(texts: list[str], seed: int) -> None:
    there = Taxonomy.of(texts)
    shares = np.random.default_rng(seed).dirichlet(np.full(len(there.paths), 0.3), 3)
    nodes = node_probabilities(there, shares)
    for row, number in np.ndindex(nodes.shape):
        node = there.nodes[number]
        through = [Fraction(p) for p, path in zip(shares[row], there.paths, strict=True) if node in prefixes(path)]
        assert nodes[row, number] == pytest.approx(float(sum(through)), abs=1e-12)
    below = there.parents >= 0
    assert (nodes[:, there.parents[below]] >= nodes[:, below]).all()


@given(TEXTS.filter(lambda texts: len(set(texts)) > 1), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_an_answer_is_the_path_as_far_as_it_is_sure(texts: list[str], seed: int, sure: float) -> None:
    there = Taxonomy.of(texts)
    shares = np.random.default_rng(seed).dirichlet(np.full(len(there.paths), 0.3), 3)
    for found, row in zip(answers(there, shares, sure), shares, strict=True):
        levels = prefixes(found.path)
        assert row[there.path_numbers[found.path]] == row.max()
        assert len(found.level_probabilities) == len(levels)
        assert list(found.level_probabilities) == sorted(found.level_probabilities, reverse=True)
        assert all(0 <= p <= 1 for p in found.level_probabilities)
        kept = [node for node, p in zip(levels, found.level_probabilities, strict=True) if p >= sure]
        assert prefixes(found.answer) == kept
        assert found.taxonomy == there.version


def test_answers_stop_higher_the_surer_they_must_be() -> None:
    shares = np.array([[0.125, 0.125, 0.375, 0.25, 0.125]])
    said = {sure: answers(SHOES, shares, sure)[0] for sure in (0.0, 0.375, 0.376, 0.625, 0.63, 0.875, 0.9)}
    assert {sure: found.answer for sure, found in said.items()} == {
        0.0: "Shoes/Boots/High",
        0.375: "Shoes/Boots/High",
        0.376: "Shoes/Boots",
        0.625: "Shoes/Boots",
        0.63: "Shoes",
        0.875: "Shoes",
        0.9: "",
    }
    assert {(found.path, found.level_probabilities) for found in said.values()} == {
        ("Shoes/Boots/High", (0.875, 0.625, 0.375))
    }


def test_ties_go_to_the_first_path_and_a_path_may_end_early() -> None:
    even = answers(SHOES, np.full((1, 5), 0.2), 0.5)[0]
    assert (even.path, even.answer, even.level_probabilities) == ("Bags", "", (0.2,))
    inner = answers(SHOES, np.array([[0.0, 0.5, 0.5, 0.0, 0.0]]), 1.0)[0]
    assert (inner.path, inner.answer, inner.level_probabilities) == ("Shoes", "Shoes", (1.0,))
    assert answers(SHOES, np.empty((0, 5)), 0.5) == []


def test_jackets_for_men_are_answered_as_far_as_both_kinds_agree() -> None:
    shares = np.zeros((1, 52))
    shares[0, [ATLAS.path_numbers[f"Men/{kind} Wear/Jackets"] for kind in ("Ethnic", "Western")]] = 0.45, 0.55
    assert answers(ATLAS, shares, 0.9)[0].answer == "Men"
    assert answers(ATLAS, shares, 0.5)[0].answer == "Men/Western Wear/Jackets"


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.25, 0.5, 0.9]), st.booleans()), min_size=1, max_size=20))
def test_the_curve_is_that_of_counting_at_each_threshold(photos: list[tuple[float, bool]]) -> None:
    rows = []
    for threshold in sorted({p for p, _ in photos}, reverse=True):
        kept = [right for p, right in photos if p >= threshold]
        rows.append((threshold, len(kept) / len(photos), sum(kept) / len(kept)))
    curve = risk_coverage(np.array([p for p, _ in photos]), np.array([right for _, right in photos]))
    assert list(curve.itertuples(index=False, name=None)) == rows
    precise = [(coverage, threshold) for threshold, coverage, precision in rows if precision >= 0.5]
    assert coverage_at(curve, 0.5) == (max(precise)[::-1] if precise else (float("inf"), 0.0))


def test_coverage_may_grow_after_precision_was_too_low() -> None:
    probability = np.linspace(1, 0.5, 20)
    right = np.array([False] + [True] * 19)
    threshold, coverage = coverage_at(risk_coverage(probability, right))  # 19 / 20 is 0.95
    assert (threshold, coverage) == (0.5, 1)
    assert coverage_at(risk_coverage(probability, right), 0.96) == (float("inf"), 0)
    none = risk_coverage(np.empty(0), np.empty(0, bool))
    assert list(none.columns) == ["threshold", "coverage", "precision"]
    assert len(none) == 0
    assert coverage_at(none) == (float("inf"), 0)


@st.composite
def told(draw: st.DrawFn) -> tuple[list[float], int]:
    """Draw the probabilities of a path's levels, few different ones, and on how many of them it is right."""
    levels = sorted(draw(st.lists(st.sampled_from([0.2, 0.5, 0.5, 0.9, 1.0]), max_size=4)), reverse=True)
    return levels, draw(st.integers(0, len(levels)))


@given(st.lists(told(), max_size=12))
def test_an_answer_at_any_depth_is_right_if_all_it_tells_is(photos: list[tuple[list[float], int]]) -> None:
    rows = []
    for threshold in sorted({p for levels, _ in photos for p in levels}, reverse=True):
        depths = [sum(p >= threshold for p in levels) for levels, _ in photos]
        right = [depth <= shared for depth, (_, shared) in zip(depths, photos, strict=True) if depth]
        every = sum(len(levels) for levels, _ in photos)
        rows.append((threshold, len(right) / len(photos), sum(right) / len(right), sum(depths) / every))
    curve = depth_coverage([levels for levels, _ in photos], np.array([shared for _, shared in photos], np.int64))
    assert list(curve.itertuples(index=False, name=None)) == rows
    precise = [(t, coverage, levels) for t, coverage, precision, levels in rows if precision >= 0.5]
    assert deepest_at(curve, 0.5) == (precise[-1] if precise else (float("inf"), 0.0, 0.0))


def test_an_answer_that_stops_at_the_parent_is_right_where_the_leaf_is_wrong() -> None:
    """Ten photos, sure of the first level and right about it; five leaves are wrong, and less probable."""
    levels = [[0.99, 0.9]] * 5 + [[0.99, 0.4]] * 5
    curve = depth_coverage(levels, np.array([2] * 5 + [1] * 5))
    assert deepest_at(curve) == (0.9, 1.0, 0.75)
    whole = risk_coverage(np.array([last for _, last in levels]), np.arange(10) < 5)
    assert coverage_at(whole) == (0.9, 0.5)


def test_levels_that_are_surer_than_those_above_are_refused() -> None:
    for levels, shared in (([[0.5, 0.6]], [1]), ([[float("nan")]], [1])):
        with pytest.raises(ValueError, match="never rise"):
            depth_coverage(levels, np.array(shared))
    assert len(depth_coverage([[0.5], [0.6, 0.6]], np.array([1, 0]))) == 2, "of two photos the second may be surer"
    with pytest.raises(ValueError, match="one a photo"):
        depth_coverage([[0.5]], np.array([1, 1]))


def test_what_is_no_score_probability_or_truth_is_refused() -> None:
    two, truth = np.zeros((2, 3)), np.array([0, 2])
    for scores, numbers, said in (
        (two, truth[:1], "truth is"),
        (two[:0], truth[:0], "a photo or more"),
        (two, truth + 1, "0 to 2, are allowed"),
        (two, truth * 1.0, "0 to 2, are allowed"),
        (two + np.nan, truth, "NaN and inf"),
        (two - np.inf, truth, "every path"),
        (np.where([True, False, False], -np.inf, two), truth, "a true path"),
        (np.zeros(3), truth, r"needed are \[B, P\]"),
    ):
        with pytest.raises(ValueError, match=said):
            temperature(scores, numbers)
    for heat in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="above 0"):
            probabilities(two, heat)
    for shares in (np.full((1, 4), 0.25), np.full(5, 0.2), np.full((1, 5), 0.1), np.full((1, 5), np.nan)):
        with pytest.raises(ValueError, match="probabilities"):
            node_probabilities(SHOES, shares)
    for sure in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="0 to 1"):
            answers(SHOES, np.full((1, 5), 0.2), sure)
    with pytest.raises(ValueError, match="bool"):
        risk_coverage(np.array([0.5]), np.array([1]))
    with pytest.raises(ValueError, match="NaN"):
        risk_coverage(np.array([np.nan]), np.array([True]))
    assert isinstance(risk_coverage(np.array([0.5]), np.array([True])), pd.DataFrame)
