"""The gate of a new model: the questions that both have answered, and what chance leaves of their difference."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from visnet.evaluation import verdict


def answers(*hits: int) -> dict[str, bool]:
    return {f"photo-{number}": bool(hit) for number, hit in enumerate(hits)}


def test_a_collapse_is_refused_though_the_catalog_has_changed() -> None:
    champion, worse = answers(*[1] * 45, *[0] * 5), answers(*[1] * 5, *[0] * 45, 1)  # and a street photo more
    said = verdict.judge("m", worse, "1", champion, margin=0.01)
    assert (said.passed, said.common_queries) == (False, 50)
    assert (said.common_recall_at_1, said.champion_recall_at_1) == (0.1, 0.9)
    assert said.why.startswith("recall@1 is 0.1000 on the 50 street photos that the champion, version 1, has answered")
    allowed = float(said.why.rpartition("set [evaluation] recall_at_1_margin = ")[2])
    assert verdict.judge("m", worse, "1", champion, margin=allowed).passed
    assert not verdict.judge("m", worse, "1", champion, margin=allowed - 1e-3).passed
    assert said.common_recall_at_1_min is not None
    assert said.common_recall_at_1 < said.common_recall_at_1_min


@pytest.mark.parametrize("changed", [{}, {"new": True}, {"new": False, "newer": False}])
def test_equal_models_pass_whatever_the_catalog_gained(changed: dict[str, bool]) -> None:
    champion = answers(*[1, 0, 0] * 10)
    said = verdict.judge("m", champion | changed, "1", champion, margin=0.0)
    assert (said.passed, said.common_queries) == (True, 30)


def test_a_few_questions_less_are_chance() -> None:
    champion, other = answers(*[1] * 45, *[0] * 55), answers(*[0] * 4, *[1] * 43, *[0] * 53)
    assert verdict.judge("m", other, "1", champion, margin=0.01).passed


@pytest.mark.parametrize(
    ("ours", "theirs", "margin", "passed", "why"),
    [
        (answers(*[1] * 40), {}, 0.01, False, "not comparable: 0 street photos .* 20 are needed; run .*--version 7"),
        (answers(*[1] * 40), answers(*[1] * 19), 0.01, False, "not comparable: 19 street photos"),
        (answers(*[1] * 40), {}, 1.0, True, "not comparable: .* but every drop is allowed"),
        (answers(*[1] * 19), answers(*[1] * 40), 0.01, True, "not comparable: .* the test has 19: no gate"),
        ({}, {}, 0.01, True, "not comparable: 0 .* the test has 0: no gate"),
    ],
)
def test_what_cannot_be_compared_is_said(
    ours: dict[str, bool], theirs: dict[str, bool], margin: float, passed: bool, why: str
) -> None:
    said = verdict.judge("m", ours, "7", theirs, margin)
    assert said.passed == passed
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(said.why)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Every outcome of n pairs, weighed by its exact probability: the interval covers the true difference."""
    n, least, most = 20, 1.0, 0.0
    for gained, lost in [(0.05, 0.05), (0.1, 0.3), (0.0, 0.2), (0.25, 0.25), (0.02, 0.5)]:
        covered = 0.0
        for b, c in itertools.product(range(n + 1), repeat=2):
            if b + c > n:
                continue
            ways = math.comb(n, b) * math.comb(n - b, c)
            weight = ways * gained**b * lost**c * (1 - gained - lost) ** (n - b - c)
            ours, theirs = answers(*[1] * b, *[0] * (n - b)), answers(*[0] * b, *[1] * c, *[0] * (n - b - c))
            found = verdict.compare(ours, theirs)
            assert found is not None
            covered += weight * (found.low <= gained - lost <= found.high)
        least, most = min(least, covered), max(most, covered)
    assert 0.92 < least <= most < 0.999


def test_the_interval_is_that_of_resampling() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = rng.random(400) < 0.4, rng.random(400) < 0.5
    found = verdict.compare(answers(*ours), answers(*theirs))
    assert found is not None
    differences = (ours.astype(int) - theirs)[rng.integers(0, 400, (4000, 400))].mean(axis=1)
    assert [found.low, found.high] == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=0.006)
    assert found.recall_at_1 - found.other_recall_at_1 == pytest.approx(differences.mean(), abs=0.006)


def test_a_verdict_comes_back_as_it_was_written(tmp_path: Path) -> None:
    said = verdict.judge("m", answers(*[1] * 40), "1", answers(*[1] * 40), 0.01)
    said.write(tmp_path)
    assert verdict.read(tmp_path) == said
    for text in ("{", '{"a": 1}', "[]"):
        (tmp_path / verdict.FILE).write_text(text)
        with pytest.raises(ValueError, match="is damaged; run `dvc repro --force --single-item evaluation`"):
            verdict.read(tmp_path)
    (tmp_path / verdict.FILE).unlink()
    with pytest.raises(ValueError, match="is missing; run `dvc repro --force --single-item evaluation`"):
        verdict.read(tmp_path)
