"""Whether the catalog has a photo's product: against a truth in closed form, at any share, and where nothing tells."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.test_calibration import known, placed
from visnet.embedding.vectors import Vectors
from visnet.errors import Damaged
from visnet.evaluation import calibration, calibration_fit, reliability
from visnet.evaluation.calibration import Calibration, Curve, Curves
from visnet.evaluation.calibration_fit import Hits

NOISE, APART, BETWEEN = 0.1, 0.3, 3.0  # of photos about their product; of the two products of a pair; of the pairs


def planted(count: int, seed: int, pairs: int = 20) -> tuple[Vectors, Vectors]:
    """Place pairs of products on a line, far from other pairs, and photos that lie normally about their product."""
    rng = np.random.default_rng(seed)
    at = np.repeat(BETWEEN * np.arange(pairs), 2) + np.tile([0.0, APART], pairs)
    shop = placed(*(("bags", str(number), float(where)) for number, where in enumerate(at)))
    own = np.arange(count) % len(at)
    photos = zip(own.tolist(), (at[own] + rng.normal(0, NOISE, count)).tolist(), strict=True)
    return shop, placed(*(("bags", str(number), where) for number, where in photos))


def truth(sq_distance: np.ndarray, share: float) -> np.ndarray:
    """Return the probability that a photo's product is there, by Bayes: else its nearest is the other of the pair.

    At distance r from the nearest, a photo of a product that is there lies at ±r from it if the other is farther, or at
    ±r from the other if its own is farther.
    """
    r = np.sqrt(sq_distance)
    density = lambda at: np.exp(-((at / NOISE) ** 2) / 2)  # noqa: E731
    nearer = r < APART / 2
    there = density(r) * np.where(nearer, 2, 1) + density(APART + r) + density(APART - r) * nearer
    without = density(APART - r) + density(APART + r)
    return share * there / (share * there + (1 - share) * without)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_curve_comes_near_the_truth_at_any_share(share: float) -> None:
    shop, photos = planted(4000, seed=1)
    fitted = calibration_fit.calibrated(photos, shop, 3, seed=0, in_catalog_share=share)
    assert fitted is not None
    assert fitted.in_catalog_share == share
    fresh = calibration_fit.with_and_without(calibration_fit.hits(planted(4000, seed=2)[1], shop, 3, whole=True))
    weight = np.where(fresh.same, share, 1 - share)
    for whole in (False, True):
        curves = fitted.ranked(whole=whole).in_catalog
        assert curves is not None
        said = curves.probability(fresh.sq_distance, fresh.category)
        off = np.abs(said - truth(fresh.sq_distance, share))
        assert np.average(off, weights=weight) < 0.02
        assert np.average(said, weights=weight) == pytest.approx(share, abs=0.02)
        hits = np.array([0.0225, 9.0]), np.array(["bags", "hats"], object)
        assert fitted.ranked(whole=whole).presence(*hits) == curves.probability(hits[0][:1], hits[1][:1])[0]
        assert fitted.ranked(whole=whole).presence(np.zeros(0), np.zeros(0, object)) is None


def test_labels_that_are_shuffled_tell_nothing() -> None:
    shop, photos = planted(2000, seed=3)
    met = calibration_fit.with_and_without(calibration_fit.hits(photos, shop, 3, whole=True))
    shuffled = dataclasses.replace(met, same=np.random.default_rng(0).permutation(met.same))
    real, none = (calibration_fit.fit(one, seed=0, share=0.3) for one in (met, shuffled))
    at = met.sq_distance, met.category
    assert np.ptp(real.probability(*at)) > 0.8
    assert none.probability(*at) == pytest.approx(np.full(len(met.same), 0.3), abs=0.06)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.999))
def test_it_never_rises_with_the_distance_nor_leaves_zero_to_one(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    same = rng.random(120) < 0.5
    same[:2] = True, False
    column = np.full(120, "bags", object), np.arange(120) // 3, np.ones(120, bool)
    curve = calibration_fit.fit(Hits(rng.uniform(0, 4, 120), same, *column), seed=0, share=share).pooled
    said = curve.probability(np.linspace(0, 9, 200))
    assert ((said > 0) & (said < 1) & (np.diff(said, prepend=1) <= 0)).all()


@pytest.mark.parametrize("whole", [False, True])
def test_a_photo_meets_the_shop_with_what_it_shows_and_without(whole: bool) -> None:
    """Held against searches, photo by photo, of a shop out of which the products were taken."""
    rng = np.random.default_rng(4)
    kinds = [f"kind {number % 5}" for number in range(30)]
    shop = placed(*((kind, str(number), rng.uniform(0, 9)) for number, kind in enumerate(kinds) for _ in range(2)))
    asked = placed(*((kinds[own], str(own), rng.uniform(0, 9)) for own in rng.integers(0, 30, 40).tolist()))
    asked.rows["photo_id"] = np.repeat([str(number) for number in range(20)], 2)
    asked.matrix[1::2] = asked.matrix[::2]
    met = calibration_fit.with_and_without(calibration_fit.hits(asked, shop, 30, whole=whole))
    assert met.first.all()
    wanted = set()
    at, products, sold = (
        shop.matrix[:, 0].numpy(),
        *(shop.rows[name].to_numpy() for name in ("product_id", "category")),
    )
    for _, rows in asked.rows.groupby("photo_id"):
        where = float(asked.matrix[rows.index[0], 0])
        for kind in set(rows["category"]) if not whole else {None}:
            here = np.full(len(at), True) if kind is None else sold == kind
            for there, mask in ((True, here), (False, here & ~np.isin(products, rows["product_id"].tolist()))):
                nearest = np.square(at[mask].astype(np.float64) - where).min()
                wanted.add((there, round(float(nearest), 4)))
    assert {(bool(a), round(float(b), 4)) for a, b in zip(met.same, met.sq_distance, strict=True)} == wanted


def test_a_product_that_is_alone_in_its_category_is_met_without_in_the_whole_shop_only() -> None:
    shop = placed(("bags", "1", 1.0), ("hats", "1", 2.0), ("hats", "2", 5.0))
    asked = placed(("bags", "1", 0.0), ("hats", "1", 3.0))
    narrowed, whole = (
        calibration_fit.with_and_without(calibration_fit.hits(asked, shop, 3, whole=whole)) for whole in (False, True)
    )
    assert list(zip(narrowed.same, narrowed.sq_distance, strict=True)) == [(True, 1), (True, 1), (False, 4)]
    assert list(zip(whole.same, whole.sq_distance, strict=True)) == [(True, 1), (True, 1), (False, 4), (False, 4)]
    nobody = calibration_fit.with_and_without(calibration_fit.hits(asked.where(np.zeros(2, bool)), shop, 3, whole=True))
    assert len(nobody.same) == 0


def test_too_few_photos_of_products_that_are_not_alone_tell_nothing() -> None:
    """Sixty photos of products alone in their category: a hit within it has a probability, and nothing else is told."""
    shop = placed(*((f"kind {number}", "1", float(number)) for number in range(60)))
    fitted = calibration_fit.calibrated(shop, shop, 5, seed=0)
    assert fitted is not None
    assert fitted.within.in_catalog is None
    assert fitted.within.presence(np.zeros(1), np.array(["kind 1"], object)) is None
    assert fitted.whole.in_catalog is not None
    figures, table = reliability.measured(fitted, shop, shop, seed=0)
    assert math.isnan(figures["in_catalog_auroc"])
    assert figures["whole_shop_in_catalog_auroc"] == 1
    assert set(table["hits_of"]) == {"all", "first", "whole_shop", "whole_shop_in_catalog"}


def test_a_calibration_of_before_is_read_and_tells_nothing_of_it(tmp_path: Path) -> None:
    known().save(tmp_path)
    path = tmp_path / calibration.FILE
    text = path.read_text(encoding="utf-8")
    of_before = json.loads(text)
    del of_before["in_catalog_share"]
    for search in (of_before, of_before["uncropped"]):
        for kind in ("within", "whole"):
            del search[kind]["in_catalog"]
    path.write_text(json.dumps(of_before), encoding="utf-8")
    read = calibration.load(tmp_path, "a" * 64)
    assert read is not None
    assert read.whole.presence(np.zeros(1), np.array(["hats"], object)) is None
    assert read.probability(0.0, "hats") == known().probability(0.0, "hats")
    figures, _ = reliability.measured(read, *[placed(("bags", "1", 1.0), ("bags", "2", 2.0))] * 2, seed=0)
    assert all(math.isnan(value) for name, value in figures.items() if "in_catalog" in name)
    path.write_text(text.replace('"in_catalog_share": 0.5', '"in_catalog_share": 1.0'), encoding="utf-8")
    with pytest.raises(Damaged, match="is damaged"):
        calibration.load(tmp_path, "a" * 64)


def steep(at: float) -> Curves:
    return Curves(pooled=Curve(kind="logistic", sq_distance=(0.0, 2 * at), log_odds=(6.0, -6.0)))


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_it_is_measured_at_any_share_and_a_wrong_one_is_found_out(share: float) -> None:
    shop, photos = planted(2000, seed=5)
    fitted = calibration_fit.calibrated(photos, shop, 3, seed=0, in_catalog_share=share)
    assert isinstance(fitted, Calibration)
    tests = planted(1000, seed=6)[1]
    photo_ids = pd.Series(range(1000)).astype(str)
    uncropped = Vectors(tests.rows.assign(photo_id=photo_ids), torch.clone(tests.matrix), tests.model)
    figures, table = reliability.measured(fitted, tests, shop, seed=0, uncropped=uncropped)
    lies = np.random.default_rng(7).normal(0, NOISE, (2, 2000))
    there, without = np.minimum(np.abs(lies[0]), np.abs(lies[0] - APART)), np.abs(lies[1] - APART)
    apart = np.mean(there[:, None] < without)  # of one that is there and one that is not, how often the first is nearer
    for prefix in reliability.IN_CATALOG_KINDS:
        off, by_chance = (figures[f"{prefix}calibration_error{end}"] for end in ("", "_by_chance"))
        assert 0 < off < 2 * by_chance < 0.05
        assert table.groupby("hits_of")["hits"].sum()[prefix.rstrip("_")] == 2000
        assert figures[f"{prefix}auroc"] == pytest.approx(apart, abs=0.01)
    wrong = fitted.whole.model_copy(update={"in_catalog": steep(0.5)})
    figures, _ = reliability.measured(fitted.model_copy(update={"whole": wrong}), tests, shop, seed=0)
    assert figures["whole_shop_in_catalog_calibration_error"] > 0.1
