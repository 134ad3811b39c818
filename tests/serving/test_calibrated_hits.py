"""A served hit says how probable it is: by the calibration of its model, which is a part of the version."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.apart import within
from tests.evaluation.test_calibration import known
from tests.refreshing import numbers, put_model, put_stock, refresh, served, stock
from tests.workspace import report
from visnet.commands import deploy, similar, verify
from visnet.embedding.vectors import model_of
from visnet.errors import Damaged, NotReady
from visnet.evaluation import calibration
from visnet.pipeline.log import SILENT
from visnet.serving import catalog, versions
from visnet.serving.ranking import Hit
from visnet.serving.searcher import Searcher
from visnet.serving.shop_gallery import ShopGallery


def put_calibration(shop: Path, queries: int = 7) -> None:
    """Leave a calibration of the shop's model where the evaluation leaves one."""
    fitted = known(model_of(shop / "data/catalog_embeddings")).model_copy(update={"queries": queries})
    (shop / "data/evaluation" / calibration.FILE).unlink(missing_ok=True)  # of a version that is linked to it
    fitted.save(shop / "data/evaluation")


LINE = ("trained_model", "catalog_embeddings", "evaluation")


@pytest.fixture
def calibrated(shop: Path) -> Path:
    """The shop after a model's calibration was published."""
    put_calibration(shop)
    refresh(shop, "publish")
    return shop


def hits(shop: Path, category: str | None) -> list[Hit]:
    with catalog.open_current(shop / "data") as version:
        searcher = Searcher(version.trained_model, ShopGallery.read(version.folder), version.folder)
        vector: torch.Tensor = version.vectors().matrix[:1]
        return searcher.search(vector, 5, category)[0]


@pytest.mark.parametrize("category", [None, "bag"])
def test_a_hit_has_the_probability_of_its_distance_category_and_rank_and_of_the_kind_of_search(
    category: str | None, calibrated: Path
) -> None:
    found = hits(calibrated, category)
    one = known()
    whole = category is None
    said = [
        one.probability(hit.sq_distance, hit.category, first=rank == 0, whole=whole) for rank, hit in enumerate(found)
    ]
    assert [hit.probability for hit in found] == said
    assert said == sorted(said, reverse=True)
    assert said[0] > said[-1]


def test_it_is_printed_beside_the_distance_and_a_dash_where_there_is_none(shop: Path) -> None:
    with within(shop):
        photo, sheet = next(Path("images").glob("p003-*.png")), Path("answer.png")
        before = similar.answer(photo, 2, None, None, sheet).splitlines()
        put_calibration(shop)
        refresh(shop, "publish")
        after = similar.answer(photo, 2, None, None, sheet).splitlines()
        with Image.open(photo) as picture:
            boxed = similar.answer(photo, 2, None, (0, 0, *picture.size), sheet).splitlines()
    assert before[0].split()[-1] == after[0].split()[-1] == "probability"
    assert [line.split()[-1] for line in before[1:3]] == ["-", "-"]
    shares, of_box = ([float(line.split()[-1].removesuffix("%")) for line in lines[1:3]] for lines in (after, boxed))
    assert 50 <= shares[0] < of_box[0] < 100, "of a photo that no box was cut out of, less is sure"
    assert shares[1] == of_box[1] <= shares[0]
    assert not any(line.startswith("In catalog") for line in before)
    there, of_box_there = (float(lines[3].split()[2].removesuffix("%:")) for lines in (after, boxed))
    assert 50 < there < of_box_there < 100
    assert "that the catalog has what the photo shows" in after[3]
    assert [line.rsplit(maxsplit=1)[0] for line in after[1:3]] == [line.rsplit(maxsplit=1)[0] for line in before[1:3]]


def test_without_a_published_version_the_line_s_own_is_used(shop: Path) -> None:
    put_calibration(shop)
    shutil.rmtree(shop / "data/publish")
    with within(shop):
        answer = similar.answer(next(Path("images").glob("p003-*.png")), 1, None, None, Path("answer.png"))
    assert answer.splitlines()[1].endswith("%")


def test_a_calibration_is_a_part_that_is_linked_while_it_is_the_same(calibrated: Path) -> None:
    publish = calibrated / "data/publish"
    assert numbers(calibrated) == [1, 2]
    parts = [versions.facts(publish, number)["parts"] for number in (1, 2)]
    assert parts[1].keys() - parts[0].keys() == {"calibration"}
    assert parts[0].items() < parts[1].items(), "nothing else is new"
    assert report(calibrated, "publish")["copied_megabytes"] == 0
    refresh(calibrated, "publish")
    assert numbers(calibrated) == [1, 2], "the same is not published once more"
    put_stock(calibrated, {**stock(24), "p003": 1})
    refresh(calibrated)
    files = [versions.folder(publish, number) / calibration.FILE for number in (2, 3)]
    assert files[0].samefile(files[1])
    put_calibration(calibrated, queries=8)
    refresh(calibrated, "publish")
    assert (served(calibrated), calibration.load(files[0].parent, parts[1]["model"]).queries) == (4, 7)  # type: ignore[union-attr]


def test_one_of_another_model_is_served_to_nobody(calibrated: Path) -> None:
    put_model(calibrated, seed=2)
    refresh(calibrated, "catalog_embeddings", "knn_results")
    with pytest.raises(NotReady, match=r"calibration.json is of another model .*: run `dvc repro evaluation`"):
        refresh(calibrated, "publish")
    assert served(calibrated) == 2
    model, embeddings, evaluation = (calibrated / "data" / name for name in LINE)
    with pytest.raises(NotReady, match="is of another model"):
        Searcher(model, ShopGallery.read(embeddings), evaluation)
    put_calibration(calibrated)
    refresh(calibrated, "publish")
    assert served(calibrated) == 3


def test_deploy_brings_it_back_and_verify_reads_it(calibrated: Path) -> None:
    with within(calibrated):
        shutil.rmtree("data/publish")
        assert deploy.run() == "Version 1 is served"
        verify.run(SILENT)
    before = hits(calibrated, None)
    assert before[0].probability is not None
    fitted = versions.folder(calibrated / "data/publish", 1) / calibration.FILE
    text = fitted.read_text()
    fitted.unlink()
    fitted.write_text(text.replace("4.0", "3.0"))
    with within(calibrated), pytest.raises(Damaged, match=r"calibration.json is another one"):
        verify.run(SILENT)
    (calibrated / "data/evaluation" / calibration.FILE).unlink()
    with within(calibrated):
        shutil.rmtree("data/publish")
        with pytest.raises(NotReady, match=r"data/evaluation is missing|run `dvc checkout`"):
            deploy.run()
