"""Thresholds against a search through all of them by plain counting; verdicts and ties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visnet.quality.bands import BAD, GOOD, NEVER, UNSURE, Band, Precisions, choose, measure, of, verdict

SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5001, 0.9, 1.0]), min_size=1, max_size=12)


def precision(fault: list[float], good: list[float], share: float, cut: float, above: bool) -> float | None:
    """Return the precision of what is above (or below) a cut, None where nothing is."""
    true = share * sum((score >= cut) == above for score in fault) / len(fault)
    false = (1 - share) * sum((score >= cut) == above for score in good) / len(good)
    right = true if above else false
    return right / (true + false) if true + false else None


@given(SCORES, SCORES, st.sampled_from([0.05, 0.5]), st.sampled_from([0.6, 0.97]))
def test_the_bands_keep_their_word_and_are_as_wide_as_they_can(
    fault: list[float], good: list[float], share: float, wanted: float
) -> None:
    band = choose(np.array(fault), np.array(good), Precisions(wanted, wanted, share))
    said = precision(fault, good, share, band.bad_from, True)
    assert said is None or said >= wanted - 1e-12
    said = precision(fault, good, share, band.good_below, False)
    assert said is None or said >= wanted - 1e-12
    assert band.good_below <= band.bad_from
    cuts = sorted({*fault, *good})
    keeps = [cut for cut in cuts if (precision(fault, good, share, cut, True) or 0) >= wanted - 1e-12]
    if keeps and band.good_below < band.bad_from:
        assert sum(score >= band.bad_from for score in fault) == sum(score >= min(keeps) for score in fault)


def test_what_is_told_apart_leaves_nobody_to_ask_and_what_is_not_nothing_else() -> None:
    wanted = Precisions(0.97, 0.99, 0.05)
    apart = choose(np.array([0.8, 0.9]), np.array([0.1, 0.2]), wanted)
    assert apart.bad_from == apart.good_below == pytest.approx(0.5)
    same = choose(np.array([0.5]), np.array([0.5]), wanted)
    assert (same.bad_from, same.good_below) == (NEVER, 0.0)
    measured = measure(same, np.array([0.5]), np.array([0.5]), 0.05)
    assert (measured.bad_precision, measured.good_precision) == (None, None)
    assert (measured.bad_share, measured.good_share, measured.accuracy) == (0.0, 0.0, 0.5)


def test_measures_are_those_of_a_catalog_in_which_faults_are_rare() -> None:
    band = Band(0.5, 0.5, 0.5)
    measured = measure(band, np.array([0.9, 0.4]), np.array([0.1, 0.2, 0.3, 0.6]), 0.1)
    assert measured.bad_precision == pytest.approx(0.1 * 0.5 / (0.1 * 0.5 + 0.9 * 0.25))
    assert measured.good_precision == pytest.approx(0.9 * 0.75 / (0.9 * 0.75 + 0.1 * 0.5))
    assert (measured.found, measured.alarms, measured.accuracy) == (0.5, 0.25, pytest.approx(0.625))


def test_the_worst_fault_is_the_reason() -> None:
    bands = {"blurred": Band(0.9, 0.2, 0.5), "collage": Band(0.6, 0.1, 0.3)}
    assert verdict({"blurred": 0.1, "collage": 0.05}, bands) == (GOOD, "")
    assert verdict({"blurred": 0.85, "collage": 0.05}, bands) == (UNSURE, "blurred")
    assert verdict({"blurred": 0.85, "collage": 0.6}, bands) == (BAD, "collage")
    assert verdict({"blurred": 0.95, "collage": 0.6}, bands) == (BAD, "blurred")
    assert verdict({}, {}) == (GOOD, "")
    assert [of(score, bands["blurred"]) for score in (0.1999, 0.2, 0.9)] == [GOOD, UNSURE, BAD]


def test_a_person_is_asked_about_so_many_at_most() -> None:
    fault, good = np.array([0.1, 0.55, 0.95]), np.linspace(0.0, 0.9, 100)
    loose = choose(fault, good, Precisions(0.97, 0.99, 0.05))
    strict = choose(fault, good, Precisions(0.97, 0.99, 0.05, 0.1))
    assert (loose.kept, strict.kept, loose.bad_from) == (True, False, strict.bad_from)

    def asked(band: Band) -> float:
        shares = [((one >= band.good_below) & (one < band.bad_from)).mean() for one in (fault, good)]
        return float(0.05 * shares[0] + 0.95 * shares[1])

    assert asked(loose) > 0.5
    assert 0.08 < asked(strict) <= 0.1
    nobody = choose(fault, good, Precisions(0.97, 0.99, 0.05, 0.0))
    assert (asked(nobody), nobody.kept) == (0.0, False)
