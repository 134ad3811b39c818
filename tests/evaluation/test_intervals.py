"""Intervals: what a bootstrap over products equals where there is a closed form; no photo of a product counts twice."""

import math

import numpy as np
import pytest

from visnet.evaluation.intervals import RESAMPLES, interval, resampled_means

OFF_BY = 4 / math.sqrt(2 * RESAMPLES)  # four standard errors of a standard deviation, as a share of it


def spread(values: np.ndarray, products: np.ndarray) -> float:
    return float(resampled_means(values[:, None], products, seed=3).std())


def hits(count: int, share: float) -> np.ndarray:
    return (np.arange(count) < share * count).astype(float)


@pytest.mark.parametrize(("count", "share"), [(50, 0.5), (400, 0.3), (400, 0.95)])
def test_with_one_photo_a_product_it_is_the_standard_error_of_a_share(count: int, share: float) -> None:
    values = hits(count, share)
    p = values.mean()
    assert spread(values, np.arange(count)) == pytest.approx(math.sqrt(p * (1 - p) / count), rel=OFF_BY)


@pytest.mark.parametrize("photos", [2, 9])
def test_photos_that_are_found_together_count_as_one(photos: int) -> None:
    each = hits(100, 0.4)
    values, products = each.repeat(photos), np.arange(100).repeat(photos)
    assert spread(values, products) == pytest.approx(math.sqrt(0.4 * 0.6 / 100), rel=OFF_BY)
    assert spread(values, np.arange(len(values))) == pytest.approx(math.sqrt(0.4 * 0.6 / len(values)), rel=OFF_BY)


def test_products_of_unequal_photos_are_weighed_by_these() -> None:
    """The linearised variance of a ratio of two sums over products (Cochran, Sampling Techniques, 6.3)."""
    rng = np.random.default_rng(5)
    photos = rng.integers(1, 6, 300)
    products = np.arange(300).repeat(photos)
    values = (rng.random(len(products)) < rng.beta(1, 1, 300)[products]).astype(float)
    residuals = np.bincount(products, values - values.mean())
    wanted = math.sqrt((residuals**2).sum()) / len(values)
    assert spread(values, products) == pytest.approx(wanted, rel=1.5 * OFF_BY)


def test_the_interval_has_the_share_of_resamples_that_it_says_and_surrounds_the_mean() -> None:
    values = hits(200, 0.35)[:, None]
    means = resampled_means(values, np.arange(200), seed=1)
    low, high = interval(means)
    assert low[0] < 0.35 < high[0]
    assert np.mean((means < low) | (means > high)) == pytest.approx(0.05, abs=0.005)
    assert high[0] - low[0] == pytest.approx(2 * 1.96 * math.sqrt(0.35 * 0.65 / 200), rel=0.1)


def test_columns_of_a_resample_are_of_the_same_products() -> None:
    values = np.random.default_rng(0).random((60, 1))
    means = resampled_means(np.concatenate([values, values + 0.25], axis=1), np.arange(60) // 3, seed=2)
    assert (means[:, 1] - means[:, 0]) == pytest.approx(np.full(RESAMPLES, 0.25))


def test_it_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for trial in range(200):
        chance = rng.beta(2, 3, 60)  # of each product; the mean of all there could be is 0.4
        values = (rng.random((60, 4)) < chance[:, None]).astype(float).ravel()[:, None]
        low, high = interval(resampled_means(values, np.arange(60).repeat(4), seed=trial, resamples=400))
        covered += bool(low[0] <= 0.4 <= high[0])
    assert 0.89 <= covered / 200 <= 0.99


def test_equal_seeds_give_equal_numbers_whatever_the_generators_have_drawn() -> None:
    values, products = np.random.default_rng(1).random((30, 2)), np.arange(30) // 2
    first = resampled_means(values, products, seed=4)
    np.random.default_rng().random(7)
    assert np.array_equal(first, resampled_means(values, products, seed=4))
    assert not np.array_equal(first, resampled_means(values, products, seed=5))
    names = np.array([f"product {number:02}" for number in products])
    assert np.array_equal(first, resampled_means(values, names, seed=4))


def test_many_products_are_drawn_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).random((30, 1))
    whole = resampled_means(values, np.arange(30), seed=4, resamples=50)
    monkeypatch.setattr("visnet.evaluation.intervals.AT_ONCE", 30 * 7)
    assert np.allclose(whole, resampled_means(values, np.arange(30), seed=4, resamples=50))


@pytest.mark.parametrize("count", [0, 1, 5])
def test_nothing_is_said_of_fewer_than_two_products(count: int) -> None:
    means = resampled_means(np.ones((count, 2)), np.zeros(count), seed=0)
    assert means.shape == (RESAMPLES, 2)
    assert np.isnan(interval(means)).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"values are \(3, 1\) and products \(2,\); needed are \[Q, M\] and \[Q\]"):
        resampled_means(np.ones((3, 1)), np.zeros(2), seed=0)
