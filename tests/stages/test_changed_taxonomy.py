"""The stages taxonomy_model and category_paths where the taxonomy changes, or is written down: a shop, run for real."""

import csv
import re
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from tests import refreshing
from tests.apart import within
from tests.workspace import report
from visnet.categorizing.categorizer import Categorizer
from visnet.categorizing.files import TODAY
from visnet.categorizing.retelling import Retelling
from visnet.commands import categorize
from visnet.runs import runner
from visnet.storage.table import Table
from visnet.taxonomy.tree import Taxonomy

MODEL = {"enabled": True, "models": ["leaves"], "side_px": 64, "epochs": 3, "batch": 4, "precision": 0.0}
LEAVES = ("Bags/Packs", "Bags/Totes", "Shoes/Boots", "Shoes/Clogs")
SAME = dict(zip(LEAVES, LEAVES, strict=True))
SPLITS = ("train", "train", "validation", "test")


def put(shop: Path, categories: Mapping[str, str], *more: str) -> None:
    """Write the stock: four products of each category, by the names that they have now, and of some more."""
    rows = []
    for at, category in enumerate([*LEAVES, *more]):
        for number, split in enumerate(SPLITS):
            product = f"p{at}{number}"
            refreshing.draw(shop / "images" / f"{product}.png", product, 0)
            rows.append([categories.get(category, category), "red", product, f"{product}.png", "shop", split])
    with (shop / "stock.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([refreshing.HEADER, *rows])


def run(shop: Path, *stages: str, **others: object) -> None:
    tables = tomllib.loads((shop / "params.toml").read_text()) | {"taxonomy_model": MODEL | others}
    with within(shop):
        for stage in stages or ("raw_images", "crops", "category_paths"):  # what a refresh runs: no training
            runner.run(stage, tables=tables)


def answers(shop: Path) -> pd.DataFrame:
    table = Table(shop / "data/category_paths/category_paths.lance").opened()
    return table.to_table().to_pandas().set_index("crop_id").sort_index()


def changes(shop: Path, *rows: str) -> None:
    (shop / "taxonomy_changes.csv").write_text("\n".join(["from,to", *rows, ""]), encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = refreshing.make(tmp_path_factory.mktemp("changed") / "shop", {})
    file = shop / "params.toml"
    file.write_text(
        file.read_text(encoding="utf-8").replace("[crops]", "[crops]\nvalidation_share = 0"), encoding="utf-8"
    )
    put(shop, SAME)
    run(shop, "raw_images", "crops", "taxonomy_model", "category_paths")
    return shop


@pytest.fixture
def shop(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "shop"))


@pytest.fixture
def no_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a photo that is looked at fail the test."""
    monkeypatch.setattr(Categorizer, "scores", lambda *_: pytest.fail("a photo was looked at"))


@pytest.mark.usefixtures("no_photo")
def test_renamed_and_merged_categories_move_stored_answers_and_no_photo_is_looked_at(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, there = answers(shop), report(shop, "category_paths")
    assert (there["remapped"], there["predicted_again"], there["taxonomy"]) == (0, 0, there["model_taxonomy"])
    names = {"Bags/Packs": "Luggage/Packs", "Bags/Totes": "Luggage/Totes", "Shoes/Clogs": "Shoes/Boots"}
    put(shop, names)
    changes(shop, "Bags,Luggage", "Shoes/Clogs,Shoes/Boots")
    run(shop)
    said, after = report(shop, "category_paths"), answers(shop)
    assert list(after["path"]) == [names.get(path, path) for path in before["path"]]
    assert all(path.startswith(answer) for path, answer in zip(after["path"], after["answer"], strict=True))
    depths = [told["answer"].str.count("/") for told in (before, after)]
    assert (depths[0] <= depths[1]).all(), "two leaves that are one now are told as surely as either was, or more so"
    now = Taxonomy.of(["Luggage/Packs", "Luggage/Totes", "Shoes/Boots"])
    assert (said["remapped"], said["predicted_again"], said["photos_changed"]) == (len(before), 0, 0)
    assert (said["taxonomy"], said["model_taxonomy"]) == (now.version, there["model_taxonomy"])
    assert set(after["taxonomy"]) == {now.version}
    assert said["stopped_above_a_leaf"] == 0
    assert "train anew: `dvc repro taxonomy_model`" in capsys.readouterr().err
    run(shop, "category_paths")
    assert report(shop, "category_paths")["remapped"] == 0
    pd.testing.assert_frame_equal(answers(shop), after)
    today = shop / "data/category_paths" / TODAY
    assert Retelling.read(today, Taxonomy.of(LEAVES), 0.5).tree == now  # type: ignore[union-attr]
    put(shop, SAME)
    changes(shop)
    run(shop)
    assert not today.exists()
    assert report(shop, "category_paths")["remapped"] == len(before)
    pd.testing.assert_frame_equal(answers(shop), before)


def test_a_new_photo_is_told_what_the_same_photo_of_the_shop_is_told(shop: Path) -> None:
    """Renamed, split, and gone: mapped, or told anew, as the table has it."""
    put(shop, {"Bags/Packs": "Luggage/Packs", "Bags/Totes": "Luggage/Totes", "Shoes/Clogs": "Hats"})
    changes(shop, "Bags,Luggage")
    run(shop)
    table = answers(shop)
    crops = Table(shop / "data/crops/crops.lance").read(["crop_id", "image"]).to_pandas().set_index("crop_id")
    files = [shop / f"{at}.jpg" for at in range(len(table))]
    for file, image in zip(files, crops["image"][table.index], strict=True):
        file.write_bytes(image)
    with within(shop):
        said = categorize.run(files, None).splitlines()
    for answer, line in zip(table["answer"], said, strict=False):
        told = re.sub(r" [\d.]+%| \(perhaps .*\)", "", line.partition(": ")[2]).replace(" > ", "/")
        assert told == (answer or "unsure")
    assert said[-1].startswith(f"Taxonomy   {set(table['taxonomy']).pop()}, ")


def test_only_what_was_split_or_is_gone_is_predicted_again(shop: Path) -> None:
    put(shop, {"Bags/Totes": "Bags/Totes/Small", "Shoes/Clogs": "Hats"})
    changes(shop, "Bags/Totes,Bags/Totes/Small", "Bags/Totes,Bags/Totes/Large")
    before = answers(shop)
    with pytest.raises(ValueError, match=r"taxonomy_changes\.csv: line 3: to: 'Bags/Totes/Large' leads to no path"):
        run(shop)
    pd.testing.assert_frame_equal(answers(shop), before)
    put(shop, {"Bags/Totes": "Bags/Totes/Small", "Shoes/Clogs": "Hats"}, "Bags/Totes/Large")
    run(shop)
    said, after = report(shop, "category_paths"), answers(shop).loc[before.index]
    lost = before["path"].isin(["Bags/Totes", "Shoes/Clogs"])
    assert 0 < lost.sum() < len(before)
    assert (said["predicted_again"], said["remapped"]) == (lost.sum(), (~lost).sum())
    assert (said["photos_new"], said["photos_changed"]) == (4, 0)
    assert list(after["path"][~lost]) == list(before["path"][~lost])
    assert set(after["path"][lost]) <= {"Bags/Totes", "Shoes", "Bags/Packs", "Shoes/Boots"}
    assert said["stopped_above_a_leaf"] == answers(shop)["path"].isin(["Bags/Totes", "Shoes"]).sum() > 0
    split = Table(shop / "data/crops/crops.lance").read(["crop_id", "split"]).to_pandas().set_index("crop_id")["split"]
    tested = answers(shop)["path"][split[split == "test"].index]
    curve = pd.read_csv(shop / "data/category_paths/risk_coverage.csv")
    assert (curve["threshold"].min() == 0) == tested.isin(["Bags/Totes", "Shoes"]).any(), "no path, and sure of none"
    run(shop, "taxonomy_model", "category_paths")
    again = report(shop, "category_paths")
    assert (again["taxonomy"], again["model_taxonomy"]) == (said["taxonomy"], said["taxonomy"]), "it has learnt them"
    assert (again["remapped"], again["predicted_again"], again["photos_changed"]) == (0, 0, len(before) + 4)


@pytest.mark.usefixtures("no_photo")
def test_a_category_that_is_sold_out_changes_no_answer(shop: Path) -> None:
    before = answers(shop)
    put(shop, {"Shoes/Clogs": "Shoes/Boots"})
    run(shop)
    said = report(shop, "category_paths")
    assert (said["remapped"], said["predicted_again"], said["photos_changed"]) == (0, 0, 4)
    pd.testing.assert_frame_equal(answers(shop).drop(columns="source"), before.drop(columns="source"))


def test_a_table_that_does_not_know_what_the_model_said_is_told_anew(shop: Path) -> None:
    before = answers(shop)
    table = Table(shop / "data/category_paths/category_paths.lance", "crop_id")
    rows = table.opened().to_table().drop_columns(["model_path", "model_probabilities", "model", "picture"])
    rows = rows.set_column(rows.schema.get_field_index("source"), "source", [["of before"] * len(rows)])
    shutil.rmtree(table.path)
    table.put(rows)
    shutil.rmtree(shop / "data/category_paths/.checksums", ignore_errors=True)
    run(shop)
    assert report(shop, "category_paths")["photos_changed"] == len(before)
    pd.testing.assert_frame_equal(answers(shop)[before.columns], before)


def test_the_tree_that_is_written_down_is_learnt_and_what_is_no_path_of_it_is_named(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = shop / "taxonomy.txt"
    file.write_text("# ours\nBags > Packs\nBags > Totes\nShoes > Boots\nHats\n", encoding="utf-8")
    run(shop, "taxonomy_model", "category_paths")
    said = report(shop, "taxonomy_model")
    assert (said["paths"], said["products_left_out"], said["photos"]) == (4, 4, 6)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "no path of it" in line]
    assert "taxonomy.txt: 4 products have a category that is no path of it: 'Shoes/Clogs' (4); they are" in line
    assert set(answers(shop)["path"]) <= {"Bags/Packs", "Bags/Totes", "Shoes/Boots", "Hats"}
    assert set(answers(shop)["taxonomy"]) == {said["taxonomy"]} == {report(shop, "category_paths")["taxonomy"]}
    file.write_text("# ours\n\n", encoding="utf-8")
    run(shop, "category_paths")
    assert report(shop, "category_paths")["taxonomy"] == Taxonomy.of(LEAVES).version, "the categories' again"
    for text, wrong in [
        (
            "Hats\nCaps\n",
            r"^taxonomy\.txt: no crop's category is a path of it; 16 .*'Bags/Packs' \(4\), ",
        ),
        ("Hats\n", r"taxonomy\.txt: line 1: its only path; a taxonomy with one path has nothing to choose"),
        ("Hats\nCaps\nHats\n", r"taxonomy\.txt: line 3: 'Hats': the path is on line 1 already"),
    ]:
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=wrong) as refused:
            run(shop, "taxonomy_model")
        assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("no_photo")
@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "taxonomy_changes.csv",
            "from,to\nBags,Bags/Packs\n",
            "line 2: 'Bags' is moved below itself, to 'Bags/Packs'",
        ),
        ("taxonomy_changes.csv", "from,to\nHats,Caps\n", "line 2: from: 'Hats' is no node of the old tree"),
        ("taxonomy_changes.csv", "from,to\n,Bags\n", "line 2: from: '' is no node of the old tree"),
        ("taxonomy_changes.csv", "Bags,Luggage\n", "line 1: the header from,to is wanted, not 'Bags,Luggage'"),
        ("taxonomy.txt", '["Bags > Packs", "Hats"]', "line 1: JSON; one path a line is wanted"),
        ("taxonomy.txt", "Bags > Packs\nBags > \n", "line 2: 'Bags >': a level has no name"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_line_and_the_answers_stay(
    shop: Path, file: str, text: str, said: str
) -> None:
    before = answers(shop)
    (shop / file).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"^{re.escape(f'{file}: {said}')}") as refused:
        run(shop, "category_paths")
    assert "\n" not in str(refused.value)
    pd.testing.assert_frame_equal(answers(shop), before)


@pytest.mark.usefixtures("no_photo")
def test_a_photo_of_another_name_and_place_is_known_by_its_bytes(shop: Path) -> None:
    """As where categories are folders, and a renamed one renames its photos."""
    before = answers(shop)
    shutil.move(shop / "images", shop / "pictures")
    (shop / "images").mkdir()
    shutil.move(shop / "pictures", shop / "images" / "pictures")
    with (shop / "stock.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    moved = [[cell.replace("p", "pictures/p", 1) if cell.endswith(".png") else cell for cell in row] for row in rows]
    with (shop / "stock.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *moved])
    run(shop)
    said, after = report(shop, "category_paths"), answers(shop)
    assert (said["photos_new"], said["photos_gone"], said["predicted_again"]) == (len(before), len(before), 0)
    columns = ["path", "answer", "taxonomy", "picture"]
    assert sorted(after[columns].itertuples(index=False)) == sorted(before[columns].itertuples(index=False))
