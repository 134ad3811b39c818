"""The calibration error and the Brier score, by hand and against what is expected of true probabilities."""

import math

import numpy as np
import pytest

from tests.evaluation.test_calibration import drawn, known, placed
from visnet.evaluation import calibration_fit, reliability
from visnet.evaluation.calibration import Calibration
from visnet.evaluation.calibration_error import bins, calibration_error


def test_a_table_of_two_bins_by_hand() -> None:
    said = np.array([0.9, 0.1, 0.8, 0.2])
    right = np.array([True, False, False, False])
    table = bins(said, right, 2)
    assert table["hits"].tolist() == [2, 2]
    assert table["probability"].tolist() == pytest.approx([0.15, 0.85])
    assert table["share"].tolist() == [0.0, 0.5]
    assert calibration_error(said, right, 2) == pytest.approx((0.15 + 0.35) / 2)
    assert reliability.brier(said, right) == pytest.approx((0.01 + 0.01 + 0.64 + 0.04) / 4)


def test_bins_have_the_same_number_of_hits_up_to_one() -> None:
    rng = np.random.default_rng(0)
    table = bins(rng.random(103) ** 8, rng.random(103) < 0.1)
    assert sorted(set(table["hits"])) == [10, 11]
    assert table["hits"].sum() == 103
    assert table["probability"].is_monotonic_increasing
    assert len(bins(rng.random(4), rng.random(4) < 0.5)) == 4


def test_an_error_is_told_from_that_of_too_few_hits() -> None:
    rng = np.random.default_rng(1)
    said = rng.random(400)
    fair, unfair = rng.random(400) < said, rng.random(400) < said**3
    by_chance = reliability.error_by_chance(said, seed=0)
    assert 0.01 < by_chance < 0.06
    redrawn = [calibration_error(said, rng.random(400) < said) for _ in range(200)]
    assert by_chance == pytest.approx(np.mean(redrawn), rel=0.1)
    assert calibration_error(said, fair) < 2 * by_chance
    assert calibration_error(said, unfair) > 3 * by_chance
    assert reliability.error_by_chance(np.tile(said, 50), seed=0) < by_chance / 5


def test_nothing_is_measured_of_nothing() -> None:
    none = np.zeros(0)
    assert math.isnan(calibration_error(none, none.astype(bool)))
    assert math.isnan(reliability.brier(none, none))
    shop = placed(("bags", "1", 1.0))
    for fitted, tests in ((None, shop), (known(), shop.where(np.array([False])))):
        figures, table = reliability.measured(fitted, tests, shop, seed=0)
        assert all(map(math.isnan, figures.values()))
        assert table.columns.tolist() == ["hits_of", "hits", "probability", "share"]
        assert not len(table)


def test_a_calibration_is_measured_on_what_searches_show() -> None:
    """Vectors on a line: photos lie near their product, so that the nearest is mostly right."""
    rng = np.random.default_rng(4)
    products = [("bags", str(number), float(at)) for number, at in enumerate(rng.uniform(0, 60, 100))]
    shop = placed(*products)
    photos = [
        [(kind, name, at + rng.normal(0, 0.3)) for kind, name, at in products for _ in range(4)] for _ in range(2)
    ]
    fitted = calibration_fit.calibrated(placed(*photos[0]), shop, 10, seed=0)
    assert isinstance(fitted, Calibration)
    figures, table = reliability.measured(fitted, placed(*photos[1]), shop, seed=0)
    table = table[~table["hits_of"].str.endswith("in_catalog")]
    assert set(table["hits_of"]) == {"all", "first", "whole_shop"}
    assert math.isnan(figures["uncropped_calibration_error"])
    assert table.groupby("hits_of")["hits"].sum().to_dict() == {"all": 4000, "first": 400, "whole_shop": 4000}
    assert figures["calibration_error"] < 0.02
    for prefix in ("", "first_", "whole_shop_"):
        off, by_chance = (figures[f"{prefix}calibration_error{end}"] for end in ("", "_by_chance"))
        assert off < 2 * by_chance
    assert figures["brier_score"] < 0.8 * figures["brier_score_of_base_rate"]
    assert figures["calibration_error"] == pytest.approx(figures["whole_shop_calibration_error"], abs=0.02)


def test_photos_as_they_are_are_held_against_curves_of_their_own() -> None:
    rng = np.random.default_rng(6)
    products = [("bags", str(number), float(at)) for number, at in enumerate(rng.uniform(0, 60, 100))]
    shop = placed(*products)
    crops = placed(*((kind, name, at + rng.normal(0, 0.1)) for kind, name, at in products for _ in range(4)))
    fits, tests = (
        placed(*((kind, name, at + rng.normal(0, 3)) for kind, name, at in products for _ in range(4))) for _ in "ab"
    )
    for photos in (fits, tests):
        photos.rows["photo_id"] = [str(number) for number in range(400)]
    off = {}
    for name, given in {"own": fits, "crops'": None}.items():
        fitted = calibration_fit.calibrated(crops, shop, 10, seed=0, uncropped=given)
        figures, table = reliability.measured(fitted, crops, shop, seed=0, uncropped=tests)
        off[name] = figures["uncropped_calibration_error"]
        assert table.groupby("hits_of")["hits"].sum()["uncropped"] == 4000
    assert off["own"] < 0.03 < off["crops'"]


def test_a_calibration_that_is_wrong_is_found_out() -> None:
    found = drawn(4000, 0.3, seed=1)
    fitted = calibration_fit.fit(drawn(4000, 0.3, seed=2, shift=0.5), seed=0)
    said = fitted.probability(found.sq_distance, found.category)
    assert calibration_error(said, found.same) > 0.1
