"""The whole line, by real DVC processes: built, skipped, repeated, pushed, brought back."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.forked import dvc
from tests.workspace import SMALL, report, run, shell, visnet
from visnet.pipeline.stage import STAGES, module
from visnet.storage.table import Table


@pytest.fixture
def shop(built: Path, tmp_path: Path) -> Path:
    """A copy of the built shop, to be changed."""
    return Path(shutil.copytree(built, tmp_path / "shop", symlinks=True))


def digests(folder: Path) -> dict[str, str]:
    return {stage: report(folder, stage)["digest"] for stage in STAGES}


def test_every_stage_reports_and_leaves_its_artefact(built: Path) -> None:
    for stage in STAGES:
        said = report(built, stage)
        assert said["digest"]
        assert said["wall_s"] > 0
        assert all(isinstance(v, (str, int, float, bool, type(None))) for v in said.values()), "reports are flat"
        assert set(getattr(module(stage), "METRICS", ())) <= said.keys()
        assert (built / "data" / stage).is_dir()
    for name in ("crops", "triplets", "evaluation", "evaluation.similar"):
        with Image.open(built / "reports" / f"{name}.png") as picture:
            assert min(picture.size) > 100
    assert not list(built.rglob("*.building"))


def test_nothing_is_lost_between_the_stages(built: Path) -> None:
    raw, crops, embedded, knn = (report(built, s) for s in ("raw_images", "crops", "catalog_embeddings", "knn_results"))
    assert crops["crops"] == raw["records"]
    table = Table(built / "data/crops/crops.lance").read(["crop_id", "side", "split", "product_id"]).to_pandas()
    searched = table[(table["side"] == "shop") | (table["split"] == "test")]
    assert embedded["embeddings"] == len(searched)
    assert knn["street_queries"] == ((table["side"] == "street") & (table["split"] == "test")).sum()
    assert knn["products"] == table["product_id"].nunique()
    assert knn["self_hit_share"] == 1.0


def test_similar_products_are_others_and_in_order(built: Path) -> None:
    columns = ["kind", "product_id", "products", "sq_distances"]
    rows = Table(built / "data/knn_results/knn.lance").read(columns).to_pylist()
    assert {row["kind"] for row in rows} == {"similar", "street"}
    for row in rows:
        assert len(set(row["products"])) == len(row["products"])
        assert row["sq_distances"] == sorted(row["sq_distances"])
        assert row["kind"] == "street" or row["product_id"] not in row["products"]


def test_the_evaluation_stands_beside_its_baselines(built: Path) -> None:
    said = report(built, "evaluation")
    for prefix in ("", "frozen_", "untrained_", "colour_histogram_", "random_"):
        recall = [said[f"{prefix}recall_at_{k}"] for k in (1, 3, 5, 10, 20)]
        assert recall == sorted(recall)
        assert 0 <= recall[0] <= recall[-1] <= 1
    for prefix in ("", "untrained_", "colour_histogram_"):
        for measure in ("triplet_accuracy", "category_agreement", "colour_agreement", "augmented_recall_at_1"):
            assert 0 < said[f"{prefix}{measure}"] <= 1
        for measure in ("street_recall_at_1", "street_map_at_r"):  # the test has few photos of a product
            assert 0 <= said[f"{prefix}{measure}"] <= 1
        # Of eight products per category, the ten nearest others are all there are: any search agrees as chance does.
        assert said[f"{prefix}colour_agreement"] == said["random_colour_agreement"]
    rows = list(csv.DictReader((built / "reports/evaluation.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["1", "3", "5", "10", "20"]
    assert said["recall_at_1_low"] <= said["recall_at_1"] <= said["recall_at_1_high"]
    assert 0 < said["frozen_colour_agreement"] == said["random_colour_agreement"]
    assert 0 < said["fine_recall_at_1"] <= said["fine_recall_at_20"] <= 1


def test_a_second_repro_does_nothing(shop: Path) -> None:
    said = dvc(shop, "repro")
    assert said.count("didn't change, skipping") == len(STAGES)
    assert "up to date" in said
    assert shell(shop, "git", "status", "--porcelain") == ""
    assert "up to date" in dvc(shop, "status")


def test_push_and_pull_give_the_same_catalog_without_running(built: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(built, tmp_path / "shop", symlinks=True))
    dvc(shop, "remote", "add", "-d", "store", str(tmp_path / "store"))
    shell(shop, "git", "commit", "-qam", "A store")
    dvc(shop, "push")
    clone = tmp_path / "clone"
    shell(tmp_path, "git", "clone", "-q", str(shop), str(clone))
    dvc(clone, "pull")
    assert "up to date" in dvc(clone, "status")
    said = dvc(clone, "repro")
    assert "Running stage" not in said
    for stage, table, key in [("crops", "crops", "crop_id"), ("catalog_embeddings", "embeddings", "crop_id")]:
        assert Table(clone / f"data/{stage}/{table}.lance", key).digest() == report(built, stage)["digest"]


def test_checkout_brings_an_older_catalog_back_and_forth(shop: Path) -> None:
    older = digests(shop)
    params = shop / "params.toml"
    params.write_text(params.read_text().replace("products = 88", "products = 99"))
    for stage in ("raw_images", "crops"):
        dvc(shop, "repro", "--single-item", stage)
    shell(shop, "git", "add", "-A")
    shell(shop, "git", "commit", "-qm", "More products")
    newer = report(shop, "crops")["digest"]
    assert newer != older["crops"]
    path = shop / "data/crops/crops.lance"
    shell(shop, "git", "checkout", "-q", "HEAD~1")
    dvc(shop, "checkout")
    assert Table(path, "crop_id").digest() == older["crops"]
    shell(shop, "git", "checkout", "-q", "main")
    dvc(shop, "checkout")
    assert Table(path, "crop_id").digest() == newer


def test_a_changed_parameter_runs_only_what_depends_on_it_and_the_two_versions_are_compared(shop: Path) -> None:
    params = shop / "params.toml"
    params.write_text(params.read_text().replace("epochs = 2", "epochs = 1\nseed = 9"))
    # The first in Pythons of their own, DVC's and the stage's, as a person's shell has them.
    said = shell(shop, "dvc", "repro", "--single-item", "trained_model") + dvc(shop, "repro")
    ran = re.findall(r"Running stage '(\w+)'", said)
    assert ran[0] == "trained_model"
    of_the_model = {"catalog_embeddings", "knn_results", "proposed_boxes", "duplicates", "evaluation", "publish"}
    assert {"catalog_embeddings", "evaluation"} < set(ran[1:]) <= of_the_model
    difference = json.loads(dvc(shop, "metrics", "diff", "--json", "HEAD"))
    assert "triplet_accuracy" in difference["reports/metrics/evaluation.json"]
    assert difference["reports/metrics/trained_model.json"].keys() == {"training_s"}
    page = shop / "dvc_plots" / "index.html"
    dvc(shop, "plots", "diff", "HEAD")
    assert "validation_triplet_accuracy" in page.read_text()
    assert "colour_histogram" in page.read_text()


def test_a_photo_is_answered_from_the_built_catalog(built: Path, tmp_path: Path) -> None:
    table = Table(built / "data/crops/crops.lance").read(["product_id", "image", "side"], "side = 'shop'").to_pylist()
    photo, sheet = tmp_path / "mine.jpg", tmp_path / "similar.png"
    photo.write_bytes(table[0]["image"])
    done = visnet(built, "similar", str(photo), "-k", "5", "--out", str(sheet))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert table[0]["product_id"] in lines[1], "a catalog photo finds its own product first"
    assert len(lines) == 1 + 5 + 1
    with Image.open(sheet) as picture:
        assert picture.width > 500
    more = visnet(built, "similar", str(photo), "-k", "5000", "--out", str(sheet))
    assert "5000 were asked for" in more.stdout


def test_the_summary_says_what_was_built(built: Path) -> None:
    said = visnet(built, "summary").stdout
    for word in ("Catalog", "colour histogram", "is served", "reports/evaluation.png", "make ui"):
        assert word in said
    assert run(built, "git", "status", "--porcelain").stdout == ""
    assert "products = 88" in SMALL
