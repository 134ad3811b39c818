"""The stage localizer and the proposals after it: switched off, on a small shop, and in a search."""

import shutil
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests.apart import within
from tests.workspace import report
from visnet.commands import similar
from visnet.localizing.localizer import Localizer
from visnet.localizing.proposed_columns import PROPOSED_COLUMNS
from visnet.runs import runner
from visnet.stages import proposed_boxes
from visnet.storage.table import Table
from visnet.tracking import connection, registry

TINY = {"enabled": True, "side_px": 64, "epochs": 1, "batch": 16, "lr": 0.005}


@pytest.fixture(scope="module")
def localized(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small shop with a localizer that has learnt for a few seconds."""
    shop = tmp_path_factory.mktemp("localized") / "shop"
    shutil.copytree(built, shop, symlinks=True, ignore=shutil.ignore_patterns(".dvc", ".git", "visnet", "kernels"))
    tables = tomllib.loads((shop / "params.toml").read_text()) | {"localizer": TINY}
    with within(shop):
        for stage in ("localizer", "proposed_boxes"):
            runner.run(stage, tables=tables)
    return shop


def street(shop: Path) -> pd.DataFrame:
    return Table(shop / "data/crops/crops.lance").read(["photo_id", "split"], "side = 'street'").to_pandas()


def test_switched_off_it_leaves_nothing_and_nothing_is_proposed(built: Path) -> None:
    said = report(built, "localizer")
    assert (said["enabled"], said["ap50"]) == (False, None)
    assert [path.name for path in (built / "data/localizer").iterdir() if not path.name.startswith(".")] == []
    assert report(built, "proposed_boxes")["queries"] == 0
    found = pd.read_parquet(built / "data/proposed_boxes" / proposed_boxes.FILE)
    assert (len(found), list(found.columns)) == (0, PROPOSED_COLUMNS)


def test_it_learns_from_the_training_split_and_is_measured_on_the_test_s(localized: Path) -> None:
    said, photos = report(localized, "localizer"), street(localized)
    counts = photos.groupby("split")["photo_id"].nunique()
    assert (said["photos"], said["validation_photos"], said["test_photos"]) == tuple(
        counts[["train", "validation", "test"]]
    )
    assert said["cutouts"] > 10
    assert 0 <= said["ap"] <= said["ap50"] <= 1
    assert 0 <= said["unsure_share"] <= 1
    with Image.open(localized / "reports/localizer.png") as picture:
        assert min(picture.size) > 100
    assert not (localized / "data/localizer/checkpoints").exists()


def test_its_training_is_a_run_of_its_own_that_is_no_model_of_the_line(localized: Path) -> None:
    said = report(localized, "localizer")
    with within(localized):
        client = connection.connect()
        run = client.get_run(str(said["mlflow_run_id"]))
        models = registry.standings(client)
    assert run.info.status == "FINISHED"
    assert run.info.run_name.startswith("localizer side_px=64 epochs=1 ")
    assert run.data.metrics["ap50"] == said["ap50"]
    assert {"train_loss", "validation_ap50"} <= run.data.metrics.keys()
    assert run.data.params["localizer.side_px"] == "64"
    assert run.data.tags["localizer.digest"] == said["digest"]
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == ["crops"], "it does not learn from triplets"
    assert run.info.run_id not in models
    assert "mlflow_run_id" not in (report(localized, "proposed_boxes") or {})


def test_recall_by_proposed_boxes_stands_beside_true_ones_and_whole_photos(localized: Path) -> None:
    said, found = (
        report(localized, "proposed_boxes"),
        pd.read_parquet(localized / "data/proposed_boxes" / proposed_boxes.FILE),
    )
    evaluated = pd.read_parquet(localized / "data/evaluation/queries.parquet")
    assert set(found["crop_id"]) == set(evaluated["query_id"]), "the questions are the evaluation's"
    for name, prefix in (("proposed", ""), ("true", "true_"), ("whole", "whole_")):
        assert said[f"{prefix}recall_at_1"] == pytest.approx((found[f"rank_{name}"] == 0).mean(), abs=1e-6)
    unsure = found[found["score"].isna()]
    assert said["unsure_share"] == pytest.approx(len(unsure) / len(found), abs=1e-6)
    assert (unsure["rank_proposed"] == unsure["rank_whole"]).all(), "who is unsure searches for the whole photo"
    assert said["true_recall_at_5"] == pytest.approx(report(localized, "evaluation")["recall_at_5"], abs=0.1)


def test_a_search_without_a_box_is_for_the_one_that_is_proposed(localized: Path, tmp_path: Path) -> None:
    photo, sheet = tmp_path / "mine.png", tmp_path / "similar.png"
    table = Table(localized / "data/raw_images/photos.lance")
    name = street(localized)["photo_id"].iloc[0]
    photo.write_bytes(table.read(["image"], f"photo_id = '{name}'")["image"][0].as_py())
    with within(localized):
        localizer = Localizer.load(Path("data/localizer"))
        localizer.unsure_below = 0.0
        localizer.save(Path("data/localizer"))
        Path("data/localizer/checksums.json").unlink()  # else it is called damaged
        runner.run("publish")
        ((proposal, *others),) = localizer.propose([Image.open(photo)])
        said = similar.answer(photo, 3, None, None, sheet)
        assert similar.answer(photo, 3, None, proposal.box, sheet).splitlines()[:4] == said.splitlines()[:4]
        assert "proposed; --whole" in said
        assert said.count("would be another") == len(others)
        assert "proposed" not in similar.answer(photo, 3, None, None, sheet, whole=True)
        localizer.unsure_below = 2.0
        localizer.save(Path("data/localizer"))
        assert "proposed; --whole" in similar.answer(photo, 3, None, None, sheet), "the version has its own"
        runner.run("publish")
        unsure = similar.answer(photo, 3, None, None, sheet)
        assert "unsure: the whole photo" in unsure
        whole = similar.answer(photo, 3, None, None, sheet, whole=True)
        assert unsure.splitlines()[:4] == whole.splitlines()[:4]


def test_a_source_without_boxes_is_refused_in_a_line(learnable: Path) -> None:
    with (
        within(learnable),
        pytest.raises(ValueError, match=r"\[localizer\] enabled: the source gives no box of a street"),
    ):
        runner.run("localizer", tables={"localizer": TINY})
