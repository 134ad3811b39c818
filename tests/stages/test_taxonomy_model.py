"""The stages taxonomy_model and category_paths: switched off, on a small shop, and in a command."""

import shutil
import tomllib
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
from PIL import Image

from tests.apart import within
from tests.workspace import report
from visnet.categorizing import told_table
from visnet.categorizing.categorizer import Categorizer
from visnet.commands import categorize, verify
from visnet.models.wheels import WHEELS
from visnet.pipeline.bounds import Packaged
from visnet.pipeline.log import SILENT
from visnet.runs import runner
from visnet.stages.taxonomy_model import Params
from visnet.storage.table import Table
from visnet.taxonomy.tree import Taxonomy

TINY = {
    "enabled": True, "models": ["leaves", "attention"], "side_px": 64, "answer_side_px": 80, "epochs": 1, "batch": 16,
    "precision": 0.2,
}  # fmt: skip
LEFT_OUT = shutil.ignore_patterns(".dvc", ".git", "visnet", "kernels")


@pytest.fixture(scope="module")
def told(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small shop with two models that have learnt its categories for a few seconds."""
    shop = tmp_path_factory.mktemp("told") / "shop"
    shutil.copytree(built, shop, symlinks=True, ignore=LEFT_OUT)
    run(shop, "taxonomy_model", "category_paths")
    return shop


def run(shop: Path, *stages: str, **others: object) -> None:
    tables = tomllib.loads((shop / "params.toml").read_text()) | {"taxonomy_model": TINY | others}
    with within(shop):
        for stage in stages:
            runner.run(stage, tables=tables)


def crops(shop: Path) -> pd.DataFrame:
    table = Table(shop / "data/crops/crops.lance")
    return table.read(["crop_id", "product_id", "category", "split"], "lost IS NULL").to_pandas().set_index("crop_id")


def answers(shop: Path) -> pd.DataFrame:
    return Table(shop / "data/category_paths/category_paths.lance").opened().to_table().to_pandas().set_index("crop_id")


def test_the_networks_that_need_no_download_may_be_named() -> None:
    assert {*get_args(Packaged)} == {*WHEELS}


def test_switched_off_they_leave_nothing(built: Path) -> None:
    for stage in ("taxonomy_model", "category_paths"):
        said = report(built, stage)
        assert (said["enabled"], said["exact_path"]) == (False, None)
        assert [path.name for path in (built / "data" / stage).iterdir() if not path.name.startswith(".")] == []


def test_verify_reads_what_is_switched_off_and_what_is_on(built: Path, told: Path, tmp_path: Path) -> None:
    for shop in (built, told):
        with within(shop):
            assert "are as they were written" in verify.run(SILENT)
    shop = Path(shutil.copytree(told, tmp_path / "shop", symlinks=True))
    file = shop / "reports/category_paths.json"
    file.write_text(file.read_text().replace(str(report(shop, "category_paths")["digest"]), "0" * 32))
    with within(shop), pytest.raises(ValueError, match=r"category_paths\.lance does not hold what"):
        verify.run(SILENT)


def test_models_learn_from_the_training_split_and_are_measured_on_the_test_s(told: Path) -> None:
    said, counts = report(told, "taxonomy_model"), crops(told)["split"].value_counts()
    assert said["test_photos"] == counts["test"]
    assert said["photos"] + said["validation_photos"] == counts["train"] + counts["validation"]
    assert said["validation_precision_low"] <= said["validation_precision"] <= said["validation_precision_high"]
    assert said["validation_precision"] >= TINY["precision"]
    assert said["paths"] == crops(told)["category"].nunique()
    assert said["exact_path_low"] <= said["exact_path"] <= said["exact_path_high"]
    assert 0 <= said["calibration_error_1"] == report(told, "category_paths")["calibration_error_1"] <= 1
    beside = pd.read_csv(told / "data/taxonomy_model/models.csv", index_col="model")
    assert list(beside.index) == ["leaves", "attention", "attention_beam", "attention_free_beam", "together"]
    assert beside.loc["attention_beam", "invalid"] == 0 == said["attention_beam_invalid"]
    assert said["exact_path"] == round(beside.loc["together", "exact_path"], 6), "that is what answers"
    assert "<h1>Models of category paths</h1>" in (told / "data/taxonomy_model/models.html").read_text()
    assert not (told / "data/taxonomy_model/checkpoints").exists()
    curve = pd.read_csv(told / "reports/taxonomy_model.csv")
    assert list(curve["step"]) == [1, 2, 3], "each model's epochs come after those before"


def test_photos_are_answered_larger_than_they_were_learnt_from(told: Path) -> None:
    assert Categorizer.load(told / "data/taxonomy_model").settings.side_px == 80
    assert [Params(side_px=side_px).answered_px for side_px in (64, 224)] == [73, 256], "where nothing is said of it"


def test_the_chosen_network_and_the_one_that_learnt_from_all_answer_together(told: Path) -> None:
    folder = told / "data/taxonomy_model"
    model = Categorizer.load(folder)
    assert model.again is not None
    chosen, again = model.networks[model.settings.chosen], model.again
    assert any(not a.equal(b) for a, b in zip(chosen.parameters(), again.parameters(), strict=True))
    temperatures = model.settings.temperatures
    assert temperatures["together"] == temperatures[model.settings.chosen]


def split_of_the_model(shop: Path) -> pd.Series:
    known = crops(shop)
    held = pd.read_csv(shop / "data/taxonomy_model/validation.csv")["crop_id"]
    split = known["split"].replace("validation", "train")
    split[held] = "validation"
    return split


def test_whole_groups_of_products_that_look_alike_validate(told: Path, tmp_path: Path) -> None:
    known, split = crops(told), split_of_the_model(told)
    assert ((split == "test") == (known["split"] == "test")).all(), "what tests is left alone"
    assert (split.groupby(known["product_id"]).nunique() == 1).all()
    assert set(known["category"][split == "train"]) == set(known["category"])
    assert (split == "validation").mean() == pytest.approx((known["split"] == "validation").mean(), abs=0.03)
    groups = pd.read_csv(told / "data/taxonomy_model/validation.csv")["group"].nunique()
    assert report(told, "taxonomy_model")["validation_groups"] == groups

    shop = Path(shutil.copytree(told, tmp_path / "shop", symlinks=True))
    run(shop, "taxonomy_model", models=["leaves"], validation="crops")
    assert (split_of_the_model(shop) == known["split"]).all(), "that of another place, which the source names"


def test_every_crop_is_told_a_path_of_the_taxonomy(told: Path) -> None:
    found, known = answers(told), crops(told)
    taxonomy = Taxonomy.load(told / "data/taxonomy_model/taxonomy.json")
    assert set(found.index) == set(known.index)
    assert set(found["path"]) <= set(taxonomy.paths)
    assert set(found["taxonomy"]) == {taxonomy.version}
    assert all(path.startswith(answer) for path, answer in zip(found["path"], found["answer"], strict=True))
    test = known[known["split"] == "test"]
    right = (found["path"].loc[test.index] == test["category"]).mean()
    assert report(told, "category_paths")["exact_path"] == pytest.approx(right, abs=1e-6)
    assert report(told, "taxonomy_model")["exact_path"] == pytest.approx(right, abs=1e-6), "one model, one answer"
    measured = pd.read_csv(told / "data/category_paths/metrics.csv", index_col="split")
    assert dict(measured["photos"]) == dict(known["split"].replace("validation", "train").value_counts())
    with Image.open(told / "reports/category_paths.png") as picture:
        assert min(picture.size) > 100


def test_only_what_is_new_or_changed_is_told_anew(told: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(told, tmp_path / "shop", symlinks=True))
    before = answers(shop)
    table = Table(shop / "data/crops/crops.lance", "crop_id")
    first, second, *_ = sorted(before.index)
    row = table.opened().to_table(filter=f"crop_id = '{first}'")
    other = table.opened().to_table(filter=f"crop_id = '{second}'")
    row = row.set_column(row.schema.get_field_index("image"), "image", other["image"])
    row = row.set_column(row.schema.get_field_index("content"), "content", other["content"])
    table.put(row, [first])
    table.delete([second])
    shutil.rmtree(shop / ".integrity", ignore_errors=True)
    run(shop, "category_paths")
    said, after = report(shop, "category_paths"), answers(shop)
    assert (said["photos_new"], said["photos_changed"], said["photos_gone"]) == (0, 1, 1)
    assert after["path"][first] == before["path"][second], "it shows the other's picture now"
    same = before.index.difference([first, second])
    pd.testing.assert_frame_equal(after.loc[same], before.loc[same])
    run(shop, "category_paths")
    assert report(shop, "category_paths")["photos_changed"] == 0


def test_a_run_that_is_killed_keeps_what_it_has_told(
    told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Path(shutil.copytree(told, tmp_path / "shop", symlinks=True))
    whole = answers(shop)
    shutil.rmtree(shop / "data/category_paths")
    monkeypatch.setattr(told_table, "COMMIT_EVERY", 100)
    scored = Categorizer.scores
    calls = []

    def killed(*given: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return scored(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Categorizer, "scores", killed)
    with pytest.raises(KeyboardInterrupt):
        run(shop, "category_paths")
    assert len(answers(shop)) == 200
    run(shop, "category_paths")
    assert len(calls) == 3 + -(-(len(whole) - 200) // 100), "the first two parts are not told again"
    assert report(shop, "category_paths")["photos_new"] == len(whole) - 200
    pd.testing.assert_frame_equal(answers(shop).sort_index(), whole.sort_index())


def test_without_a_test_split_all_is_told_and_nothing_measured(built: Path, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shutil.copytree(built, shop, symlinks=True, ignore=LEFT_OUT)
    table = Table(shop / "data/crops/crops.lance", "crop_id")
    rows = table.opened().to_table()
    split = [{"test": "train"}.get(value, value) for value in rows["split"].to_pylist()]
    table.put(rows.set_column(rows.schema.get_field_index("split"), "split", [split]), rows["crop_id"].to_pylist())
    run(shop, "taxonomy_model", "category_paths", models=["leaves"])
    for stage in ("taxonomy_model", "category_paths"):
        said = report(shop, stage)
        assert (said["exact_path"], said["macro_f1"], said["test_photos"]) == (None, None, 0)
    assert set(answers(shop).index) == set(crops(shop).index)


def photo(shop: Path, folder: Path) -> Path:
    table = Table(shop / "data/crops/crops.lance").read(["image"], "lost IS NULL")
    path = folder / "photo.jpg"
    path.write_bytes(table["image"][0].as_py())
    return path


def test_a_command_tells_what_a_photo_shows_and_where_it_looked(told: Path, tmp_path: Path) -> None:
    with within(told):
        path = photo(told, tmp_path)
        first, taxonomy = categorize.run([path], None).splitlines()
        category = first.removeprefix(f"{path}: ").partition(" ")[0]
        assert category in {*crops(told)["category"], "unsure"}
        version = Taxonomy.load(told / "data/taxonomy_model/taxonomy.json").version
        assert taxonomy.startswith(f"Taxonomy   {version}, ")
        said = categorize.run([path, path], tmp_path / "looks.png").splitlines()
        assert said[:2] == [first, first]
        with Image.open(tmp_path / "looks.png") as picture:
            assert min(picture.size) > 300
        with pytest.raises(ValueError, match=r"is a folder; name photos in it"):
            categorize.run([tmp_path], None)
        (tmp_path / "text.jpg").write_text("no photo")
        with pytest.raises(ValueError, match=r"text\.jpg: "):
            categorize.run([tmp_path / "text.jpg"], None)
        with pytest.raises(ValueError, match=r"no picture's name"):
            categorize.run([path], tmp_path / "looks.txt")


def test_a_photo_without_three_channels_is_told_as_well(told: Path, tmp_path: Path) -> None:
    with within(told):
        for mode in ("L", "LA", "CMYK", "RGBA", "1"):
            path = tmp_path / f"{mode}.{'jpg' if mode in ('L', 'CMYK') else 'png'}"
            Image.new(mode, (40, 60)).save(path)
            assert categorize.run([path], None).startswith(f"{path}: ")


def test_without_a_model_the_command_says_how_to_have_one(built: Path, tmp_path: Path) -> None:
    with within(built), pytest.raises(ValueError, match=r"`enabled = true` in taxonomy_model\.toml and `dvc repro"):
        categorize.run([photo(built, tmp_path)], None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"category": "one"}, r"'one' is the only path"),
        ({"category": "Bags//Totes"}, r"the crops' categories: path 'Bags//Totes': level 2 has no name"),
        ({"split": "train"}, r"no crop of the split 'validation' has a category"),
    ],
)
def test_what_cannot_be_learnt_is_said_in_a_line(
    built: Path, tmp_path: Path, change: dict[str, str], said: str
) -> None:
    shop = tmp_path / "shop"
    shutil.copytree(built, shop, symlinks=True, ignore=LEFT_OUT)
    table = Table(shop / "data/crops/crops.lance", "crop_id")
    rows = table.opened().to_table()
    (name, value), keep = *change.items(), rows.num_rows if "one" in change.values() or "split" in change else 3
    rows = rows.slice(0, keep)
    column = rows.schema.get_field_index(name)
    rows = rows.set_column(column, name, [[value] * rows.num_rows])
    table.put(rows, rows["crop_id"].to_pylist())
    shutil.rmtree(shop / "data/crops/.checksums", ignore_errors=True)
    with pytest.raises(ValueError, match=said) as refused:
        run(shop, "taxonomy_model")
    assert "\n" not in str(refused.value)
