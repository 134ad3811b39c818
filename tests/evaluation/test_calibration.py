"""What a hit means: probabilities that come near a known truth, never rise with the distance, and are one model's."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from visnet.embedding.vectors import Vectors
from visnet.errors import Damaged, NotReady
from visnet.evaluation import calibration, calibration_fit, reliability
from visnet.evaluation.calibration import Calibration, Curve, Curves, Ranked, SearchCurves
from visnet.evaluation.calibration_error import calibration_error
from visnet.evaluation.calibration_fit import FITS, Hits

SAME, OTHER = (0.4, 0.15), (1.1, 0.3)  # mean and deviation of the distances of hits that are right, and that are not


def drawn(count: int, share: float, seed: int, category: str = "bags", shift: float = 0.0) -> Hits:
    """Draw hits of which a share is right, ten to a product, each kind at distances of its own."""
    rng = np.random.default_rng(seed)
    same = rng.random(count) < share
    (near, near_by), (far, far_by) = SAME, OTHER
    sq_distance = np.where(same, rng.normal(near + shift, near_by, count), rng.normal(far + shift, far_by, count))
    return Hits(np.clip(sq_distance, 0, 4), same, np.full(count, category, object), np.arange(count) // 10, same)


def truth(sq_distance: np.ndarray, share: float, shift: float = 0.0) -> np.ndarray:
    """Return the probability that a hit at a distance is right, by Bayes."""
    likely = [np.exp(-(((sq_distance - mean - shift) / by) ** 2) / 2) / by for mean, by in (SAME, OTHER)]
    return share * likely[0] / (share * likely[0] + (1 - share) * likely[1])


def joined(*parts: Hits) -> Hits:
    products = np.concatenate([part.product + 10_000 * number for number, part in enumerate(parts)])
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in ("sq_distance", "same", "category")]
    return Hits(*columns, products, columns[1])


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_probabilities_come_near_the_truth(share: float) -> None:
    fitted = calibration_fit.fit(drawn(6000, share, seed=1), seed=0)
    fresh = drawn(6000, share, seed=2)
    said = fitted.probability(fresh.sq_distance, fresh.category)
    assert np.abs(said - truth(fresh.sq_distance, share)).mean() < 0.02
    assert calibration_error(said, fresh.same) < 0.02
    assert reliability.brier(said, fresh.same) < 1.1 * reliability.brier(truth(fresh.sq_distance, share), fresh.same)


def test_the_kind_of_curve_is_the_one_that_fits() -> None:
    """Between a step and a slope: neither kind is chosen whatever the hits are."""
    rng = np.random.default_rng(3)
    sq_distance = rng.uniform(0, 4, 4000)
    steep = rng.random(4000) < np.where(sq_distance < 1, 0.9, np.where(sq_distance < 3, 0.5, 0.02))
    smooth = rng.random(4000) < 1 / (1 + np.exp(2 * sq_distance - 3))
    kinds = []
    for same in (steep, smooth):
        found = Hits(sq_distance, same, np.full(4000, "bags", object), np.arange(4000) // 10, same)
        kinds.append(calibration_fit.fit(found, seed=0).pooled.kind)
    assert kinds == ["isotonic", "logistic"]


def test_a_category_has_a_curve_of_its_own_where_it_has_hits_enough_and_differs() -> None:
    found = joined(drawn(3000, 0.2, 1), drawn(3000, 0.2, 2, "hats", shift=0.8), drawn(200, 0.2, 3, "belts", shift=0.8))
    fitted = calibration_fit.fit(found, seed=0)
    assert set(fitted.categories) == {"bags", "hats"}
    at = np.array([1.2])
    for name, shift in {"bags": 0.0, "hats": 0.8}.items():
        said = fitted.probability(at, np.array([name], object))
        assert said == pytest.approx(truth(at, 0.2, shift), abs=0.1)
    belts = fitted.probability(at, np.array(["belts"], object))
    assert belts == fitted.probability(at, np.array(["never seen"], object)) == fitted.pooled.probability(at)
    alike = calibration_fit.fit(joined(*(drawn(400, 0.2, n, f"kind {n}") for n in range(8))), seed=0)
    assert len(alike.categories) <= 4, "where categories are alike, what all have in common tells more"


DISTANCES = st.lists(st.floats(0, 4, width=32), min_size=2, max_size=60)


@settings(max_examples=80)
@given(DISTANCES, st.randoms(use_true_random=False), st.sampled_from(sorted(FITS)))
def test_no_curve_rises_with_the_distance_or_leaves_zero_to_one(at: list[float], draws: object, kind: str) -> None:
    rng = np.random.default_rng(draws.getrandbits(32))  # type: ignore[attr-defined]
    curve = FITS[kind](np.array(at, float), rng.random(len(at)) < rng.random())
    said = curve.probability(np.linspace(0, 9, 200))
    assert ((said >= 0) & (said <= 1)).all()
    assert (np.diff(said) <= 0).all()
    assert np.isfinite(curve.log_odds).all()


def test_distances_that_tell_nothing_give_the_share_of_right_hits() -> None:
    same = np.arange(400) % 4 == 0
    for fitted in FITS.values():
        level = fitted(np.full(400, 0.7), same).probability(np.array([0.0, 0.7, 4.0]))
        assert level == pytest.approx(np.full(3, 0.25), abs=0.01)
    rises = np.linspace(0, 4, 400)
    turned = FITS["logistic"](rises, rises > 3).probability(np.array([0.0, 4.0]))
    assert turned == pytest.approx(np.full(2, 0.25), abs=0.01), "the farther the likelier cannot be"


def known(model: str = "a" * 64) -> Calibration:
    curves = [
        Curves(
            pooled=Curve(kind="logistic", sq_distance=(0.0, 4.0), log_odds=(top, -6.0)),
            categories={"bags": Curve(kind="isotonic", sq_distance=(0.5, 1.0), log_odds=(1.0, 1.0))},
        )
        for top in (4.0, 2.0, 3.0, 0.0)
    ]
    there = [
        Curves(pooled=Curve(kind="logistic", sq_distance=(0.0, 0.06), log_odds=(top, top - 10)))
        for top in (7.0, 5.5, 5.0)
    ]
    within, whole = (
        Ranked(first=first, later=later, in_catalog=in_catalog)
        for first, later, in_catalog in ((*curves[:2], there[0]), (*curves[2:], there[1]))
    )
    # Photos that nothing was cut out of are as sure of their nearest hit as the others of a later one.
    unsure = [Ranked(first=one.later, later=one.later, in_catalog=there[2]) for one in (within, whole)]
    uncropped = SearchCurves(queries=5, within=unsure[0], whole=unsure[1])
    searches = {"within": within, "whole": whole, "uncropped": uncropped}
    return Calibration(model=model, k=20, queries=7, in_catalog_share=0.5, **searches)


def test_what_is_written_is_read_back_and_is_the_model_s_alone(tmp_path: Path) -> None:
    assert calibration.load(tmp_path, "any") is None
    known().save(tmp_path)
    assert calibration.load(tmp_path, "a" * 64) == known()
    with pytest.raises(
        NotReady, match=r"calibration.json is of another model \(aaaaaaaa\).*run `dvc repro evaluation`"
    ):
        calibration.load(tmp_path, "b" * 64)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:40],
        lambda text: text.replace('"k": 20', '"k": 20.5'),
        lambda text: text.replace('"queries"', '"querys"'),
        lambda text: text.replace("-6.0", "60.0"),
        lambda text: text.replace("logistic", "guessed"),
        lambda text: json.dumps({**json.loads(text), "extra": 1}),
        lambda text: text.replace("0.5,", "5.0,"),
        lambda text: text.replace("-6.0", "NaN"),
        lambda text: text.replace("-6.0", "-6.0, -7.0"),
    ],
)
def test_what_is_damaged_is_refused(spoil: object, tmp_path: Path) -> None:
    known().save(tmp_path)
    path = tmp_path / calibration.FILE
    before = path.read_text()
    path.write_text(spoil(before))  # type: ignore[operator]
    assert path.read_text() != before
    with pytest.raises(Damaged, match=r"damaged: run `dvc repro --force --single-item evaluation`$"):
        calibration.load(tmp_path, "a" * 64)


def test_a_hit_is_told_by_its_category_its_rank_and_how_it_was_searched() -> None:
    one = known()
    for said, odds in ((one.probability(0.0, "hats", first=True), 4), (one.probability(0.0, "hats"), 2)):
        assert said == pytest.approx(1 / (1 + np.exp(-odds)))
    assert one.probability(0.0, "hats", first=True, whole=True) == pytest.approx(1 / (1 + np.exp(-3)))
    assert one.probability(0.0, "hats", whole=True) == 0.5
    assert one.probability(2.0, "hats", first=True) == pytest.approx(1 / (1 + np.exp(1)))
    assert one.probability(99.0, "hats") == one.probability(4.0, "hats") == pytest.approx(1 / (1 + np.exp(6)))
    at, names = np.array([0.0, 0.0, 3.0]), np.array(["hats", "hats", "bags"], object)
    together = one.within.probability(at, names, np.array([True, False, False]))
    ranked = zip(at.tolist(), names.tolist(), (True, False, False), strict=True)
    assert together.tolist() == [one.probability(far, name, first=first) for far, name, first in ranked]
    assert one.probability(3.0, "bags") == pytest.approx(1 / (1 + np.exp(-1)))
    for wrong in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="allowed is 0 or more"):
            one.probability(wrong, "hats")


def placed(*rows: tuple[str, str, float]) -> Vectors:
    frame = pd.DataFrame([row[:2] for row in rows], columns=["category", "product_id"])
    return Vectors(frame, torch.tensor([[row[2]] for row in rows]), "placed")


def test_hits_are_what_a_search_shows() -> None:
    shop = placed(("bags", "1", 1.0), ("bags", "1", 3.0), ("bags", "2", 2.0), ("hats", "1", 0.5), ("bags", "3", 9.0))
    asked = placed(("bags", "1", 0.0), ("hats", "9", 0.0), ("hats", "1", 2.5))
    narrowed = calibration_fit.hits(asked, shop, 2, whole=False)
    assert narrowed.sq_distance.tolist() == [1.0, 4.0, 4.0], "products, each by its nearest photo; hats 9 is not there"
    assert narrowed.same.tolist() == [True, False, True]
    assert narrowed.category.tolist() == ["bags", "bags", "hats"]
    assert narrowed.first.tolist() == [True, False, True]
    whole = calibration_fit.hits(asked, shop, 2, whole=True)
    assert whole.sq_distance.tolist() == [0.25, 1.0, 0.25, 0.25]
    assert whole.same.tolist() == [False, True, False, False], "hats 1 is not bags 1, and bags 2 not hats 1"
    assert len(calibration_fit.hits(asked.where(np.array([False, True, False])), shop, 2, whole=False).same) == 0
    assert calibration_fit.calibrated(asked, shop, 2, seed=0) is None, "two photos are too few"


def test_a_photo_asks_once_and_each_of_the_products_that_it_shows_is_right() -> None:
    shop = placed(("bags", "1", 1.0), ("bags", "2", 2.0), ("bags", "3", 3.0), ("hats", "1", 0.5))
    asked = placed(("bags", "1", 0.0), ("bags", "3", 0.0), ("hats", "1", 0.0), ("bags", "9", 0.0), ("bags", "2", 5.0))
    asked.rows["photo_id"] = ["a", "a", "a", "a", "b"]
    narrowed = calibration_fit.hits(asked, shop, 3, whole=False)
    assert narrowed.category.tolist() == ["bags"] * 6 + ["hats"], "bags 9 is not there"
    assert narrowed.same.tolist() == [True, False, True, False, True, False, True]
    assert narrowed.first.sum() == 3
    whole = calibration_fit.hits(asked, shop, 4, whole=True)
    assert whole.sq_distance.tolist() == [0.25, 1.0, 4.0, 9.0, 4.0, 9.0, 16.0, 20.25]
    assert whole.same.tolist() == [True, True, False, True, False, True, False, False]


def test_photos_that_nothing_was_cut_out_of_have_curves_of_their_own() -> None:
    """They lie wherever they like: their nearest hit means little, and says so."""
    rng = np.random.default_rng(5)
    products = [("bags", str(number), float(at)) for number, at in enumerate(rng.uniform(0, 60, 100))]
    crops = [(kind, name, at + rng.normal(0, 0.1)) for kind, name, at in products for _ in range(4)]
    photos = placed(*((kind, name, rng.uniform(0, 60)) for kind, name, _ in products for _ in range(4)))
    photos.rows["photo_id"] = [str(number) for number in range(400)]
    shop = placed(*products)
    fitted = calibration_fit.calibrated(placed(*crops), shop, 10, seed=0, uncropped=photos)
    assert fitted is not None
    assert fitted.uncropped is not None
    assert fitted.uncropped.queries == 400
    for whole in (False, True):
        assert fitted.probability(0.001, "bags", first=True, whole=whole) > 0.6
        assert fitted.probability(0.001, "bags", first=True, whole=whole, uncropped=True) < 0.1
    few = calibration_fit.calibrated(placed(*crops), shop, 10, seed=0, uncropped=photos.where(np.arange(400) < 9))
    assert few is not None
    assert few.uncropped is None
    asked = few.probability(0.001, "bags", first=True, uncropped=True)
    assert asked == few.probability(0.001, "bags", first=True), "too few to say otherwise"


def test_the_nearest_hit_is_told_from_later_ones_as_far_away() -> None:
    """Products so near to each other that any of them may be meant: by distance alone the nearest would be doubted."""
    rng = np.random.default_rng(4)
    products = [("bags", str(number), float(at)) for number, at in enumerate(rng.uniform(0, 60, 100))]
    photos = [(kind, name, at + rng.normal(0, 0.3)) for kind, name, at in products for _ in range(4)]
    fitted = calibration_fit.calibrated(placed(*photos), placed(*products), 10, seed=0)
    assert fitted is not None
    assert (fitted.model, fitted.k, fitted.queries) == ("placed", 10, 400)
    assert fitted.probability(0.05, "bags", first=True) > 2 * fitted.probability(0.05, "bags")
