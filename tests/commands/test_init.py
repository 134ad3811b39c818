"""`visnet init`: what a shop has becomes its params.toml; the line runs with it; nonsense writes nothing."""

import csv
import json
import os
import re
import tomllib
from pathlib import Path

import pytest

from tests import learning, refreshing
from tests.apart import Work, within
from tests.commands.test_command_line import like_anybody
from tests.inspection.shops import put, put_table
from tests.test_structure import ROOT
from visnet.commands import init
from visnet.inspection.advice import ENOUGH
from visnet.pipeline import reports
from visnet.runs import runner
from visnet.storage.table import Table

REAL = Path(os.environ.get("VISNET_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
PARAMS = Path("params.toml")
SHIPPED = tomllib.loads((Path(__file__).parents[2] / "params.toml").read_text())
SIXTY = [f"{('hat', 'bag', 'belt')[number % 3]}/{number}.jpg" for number in range(60)]


def run(folder: Path, target: str, out: Path = PARAMS) -> list[str]:
    """Run the command in a folder; every stage must take what it wrote. Return the lines that it printed."""
    with within(folder):
        said = init.run(target, out).splitlines()
        tables = tomllib.loads(out.read_text())
        assert set(tables) == set(SHIPPED)
    return said


def written(folder: Path) -> dict[str, dict[str, object]]:
    return tomllib.loads((folder / PARAMS).read_text())


def test_sixty_photos_in_three_folders_become_a_line_that_runs(tmp_path: Path) -> None:
    put(tmp_path / "photos", *SIXTY)
    said = run(tmp_path, "photos")
    assert said[:2] == ["Found      60 photos of 60 products in 3 categories", 'Source     "folder", photos']
    assert 'Advice     efficientnet_lite0_frozen, sampler "none": one photo a product' in "\n".join(said)
    assert "python -m visnet similar PHOTO.jpg" in said[-2]
    tables = written(tmp_path)
    assert tables["raw_images"]["folder"] == {"products": "file"}
    assert tables["trained_model"]["config"] == "efficientnet_lite0_frozen"
    with within(tmp_path):
        assert [runner.run("raw_images")[count] for count in ("photos", "lost", "categories")] == [60, 0, 3]
        assert [runner.run("crops")[count] for count in ("crops", "lost")] == [60, 0]
        runner.run("photo_quality")
        assert runner.run("triplets")["triplets"] == 0


def test_products_of_several_photos_are_learnt_from_and_triplets_are_found(tmp_path: Path) -> None:
    names = [f"{('hat', 'bag')[product % 2]}/{product}/{photo}.jpg" for product in range(ENOUGH) for photo in range(2)]
    put(tmp_path / "photos", *names)
    run(tmp_path, "photos")
    tables = written(tmp_path)
    assert tables["raw_images"]["folder"] == {"products": "folder"}
    assert (tables["trained_model"]["config"], tables["triplets"]["sampler"]) == ("efficientnet_lite0", "metadata")
    learning.run(tmp_path, "raw_images", "crops", "photo_quality", "triplets")
    assert reports.read_report("triplets", tmp_path / "reports")["train"] == 2_000


def test_categories_that_are_paths_keep_photos_to_choose_a_model_of_them_by(tmp_path: Path) -> None:
    """What is advised is done: nothing else has to be changed for the stage to train."""
    kinds = ("women/hats", "women/bags", "men/hats")
    put(tmp_path / "photos", *(f"{kinds[number % 3]}/{number}.jpg" for number in range(ENOUGH)))
    said = run(tmp_path, "photos")
    (line,) = [line for line in said if "taxonomy_model.toml" in line]
    assert line == (
        "Advice     categories are paths of up to 2 levels: `enabled = true` in taxonomy_model.toml learns to tell them"
    )
    assert "# categories are paths of up to 2 levels: `enabled = true`" in (tmp_path / PARAMS).read_text()
    tables = written(tmp_path)
    assert (tables["triplets"]["sampler"], tables["crops"]["validation_share"]) == ("none", 0.1)
    small = {"enabled": True, "models": ["leaves"], "side_px": 64, "epochs": 1}
    with within(tmp_path):
        for stage in ("raw_images", "crops", "taxonomy_model", "category_paths"):
            runner.run(stage, tables={**tables, "taxonomy_model": small})
        read = reports.read_report("category_paths", tmp_path / "reports")
    assert read["crops"] == ENOUGH
    few = put(tmp_path / "few", *(f"{kinds[number % 3]}/{number}.jpg" for number in range(ENOUGH - 1)))
    assert not any("taxonomy_model" in line for line in run(tmp_path, few.name))
    flat = put(tmp_path / "flat", *(f"{kinds[number % 3].replace('/', ' ')}/{number}.jpg" for number in range(ENOUGH)))
    assert not any("taxonomy_model" in line for line in run(tmp_path, flat.name))
    assert written(tmp_path)["crops"]["validation_share"] == 0.0


def test_a_column_of_levels_that_arrows_join_is_read_as_paths(tmp_path: Path) -> None:
    put(tmp_path / "images", *(f"{number}.jpg" for number in range(60)))
    kinds = ("Women > Hats", "Women > Bags", "Shoes")
    with (tmp_path / "stock.csv").open("w", newline="", encoding="utf-8") as file:
        lines = [[number, kinds[number % 3], f"{number}.jpg"] for number in range(60)]
        csv.writer(file).writerows([["sku", "kind", "file"], *lines])
    said = run(tmp_path, "stock.csv")
    assert 'Note       a category is a path, whose levels are joined by " > "' in said
    tables = written(tmp_path)
    assert tables["raw_images"]["table"]["levels"] == " > "  # type: ignore[index]
    with within(tmp_path):
        runner.run("raw_images", tables=tables)
        listed = Table(Path("data/raw_images/records.lance")).read(["category"])
    assert {*listed["category"].to_pylist()} == {"Women/Hats", "Women/Bags", "Shoes"}


def test_street_photos_are_learnt_from(tmp_path: Path) -> None:
    rows = []
    for product in range(ENOUGH):
        rows += [f"{product} {('hat', 'bag')[product % 2]} {product}-{side}.jpg {side}" for side in ("street", "shop")]
    put(tmp_path / "shop" / "images", *(row.split()[2] for row in rows))
    put_table(tmp_path / "shop" / "stock.csv", "sku kind file domain", rows)
    said = run(tmp_path, "shop")
    assert "Note       stock.csv lies beside the photos, and is taken for what it says of them" in said
    tables = written(tmp_path)
    assert tables["raw_images"]["metadata"] == "shop/stock.csv"
    assert (tables["trained_model"]["config"], tables["triplets"]["sampler"]) == ("efficientnet_lite0", "street2shop")
    learning.run(tmp_path, "raw_images", "crops", "photo_quality", "triplets")
    assert reports.read_report("triplets", tmp_path / "reports")["train"] == 2_000


def test_a_table_that_says_nothing_of_the_photos_beside_it_is_named_and_not_used(tmp_path: Path) -> None:
    put(tmp_path / "photos", *SIXTY)
    (tmp_path / "photos" / "prices.csv").write_text("sku,price\n1,2\n")
    said = run(tmp_path, "photos")
    assert any(line.startswith("Note       prices.csv lies beside the photos and is not used: ") for line in said)
    assert written(tmp_path)["raw_images"]["source"] == "folder"


def test_a_folder_of_records_is_a_feeds_inbox(tmp_path: Path) -> None:
    (tmp_path / "feed").mkdir()
    (tmp_path / "feed" / "1.jsonl").write_text('{"product_id": "1", "op": "upsert"}\n')
    run(tmp_path, "feed")
    assert [written(tmp_path)["raw_images"][name] for name in ("source", "metadata")] == ["feed", "feed"]
    assert any(line.startswith("Found      a feed, of which nothing is here yet") for line in run(tmp_path, "feed"))
    said = run(tmp_path, "s3://shop/feed")
    assert "Next       python -m visnet feed                bring the feed's batches" in said


def test_what_stands_in_an_inbox_is_looked_at(tmp_path: Path) -> None:
    put(tmp_path / "far", *(f"{number}.jpg" for number in range(6)))
    (tmp_path / "feed").mkdir()
    records = [
        {
            "product_id": f"p{number}",
            "op": "upsert",
            "seq": 1,
            "category": "hat",
            "photos": [f"{tmp_path}/far/{number}.jpg"],
        }
        for number in range(6)
    ]
    lines = [*map(json.dumps, records), '{"op": "upsert"}']
    (tmp_path / "feed" / "1.jsonl").write_text("\n".join(lines), encoding="utf-8")
    said = run(tmp_path, "feed")
    assert "Found      6 photos of 6 products in 1 category" in said
    assert "Note       1 record cannot be used: `python -m visnet feed` says why" in said
    assert written(tmp_path)["raw_images"]["feed"]["photos"] == "far"
    assert sorted(entry.name for entry in (tmp_path / "feed").iterdir()) == ["1.jsonl"]


def test_again_changes_nothing_and_what_was_there_is_kept(tmp_path: Path) -> None:
    put(tmp_path / "photos", *SIXTY)
    (tmp_path / PARAMS).write_text("# mine\n")
    assert "           params.before.toml is what it was before" in run(tmp_path, "photos")
    stamp = (tmp_path / PARAMS).stat().st_mtime_ns
    assert "Written    params.toml, which is as it was" in run(tmp_path, "photos")
    assert (tmp_path / PARAMS).stat().st_mtime_ns == stamp
    (tmp_path / PARAMS).write_text("# mine, too\n")
    assert "           params.before-2.toml is what it was before" in run(tmp_path, "photos")
    kept = [(tmp_path / f"params.{name}.toml").read_text() for name in ("before", "before-2")]
    assert kept == ["# mine\n", "# mine, too\n"]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("photos", "params.toml", "params.before.toml", "params.before-2.toml")
    }


def test_one_photo_is_taken_and_said_to_be_too_few(tmp_path: Path) -> None:
    put(tmp_path / "photos", "only.jpg")
    said = run(tmp_path, "photos")
    assert said[0] == "Found      1 photo of 1 product in 1 category"
    assert "Note       no category has two products to tell apart: the stage crops wants more photos" in said


def test_names_of_any_signs_stand_in_comments_and_texts_as_they_can(tmp_path: Path) -> None:
    put(tmp_path / 'ph"o\\tos', "a\n[crops]\n/1.jpg", "b\x01/2.jpg", "b\x01/3.jpg")
    (tmp_path / 'ph"o\\tos' / "st\nock.csv").write_text("x\n1\n")
    run(tmp_path, 'ph"o\\tos')
    assert written(tmp_path)["raw_images"]["metadata"] == 'ph"o\\tos'


def test_another_catalog_may_take_the_place_of_the_one_that_is_served(shop: Path) -> None:
    put(shop / "photos", *SIXTY)
    run(shop, "photos")
    assert written(shop)["publish"]["removed_share_max"] == 1.0
    refreshing.refresh(shop, "raw_images", "crops", "catalog_embeddings", "knn_results", "publish")
    run(shop, "photos")
    assert written(shop)["publish"]["removed_share_max"] == 0.2


def nonsense(root: Path) -> dict[str, tuple[str, str]]:
    """Return what is no catalog, and what is said of it."""
    (root / "empty").mkdir()
    (root / "texts").mkdir()
    (root / "texts" / "a.doc").write_text("a")
    (root / "notes.txt").write_text("Dear all,\nthe photos are with Ann.\n")
    (root / "program").write_bytes(os.urandom(999))
    (root / "one.csv").write_text("_name\na.jpg\n")
    put(root / "closed", "a.jpg").chmod(0)
    put(root, "photo.jpg")
    return {
        "empty": ("empty", "empty: no photo (.jpeg, .jpg, .png, .webp, "),
        "texts": ("texts", "texts: no photo (.jpeg, "),
        "text file": ("notes.txt", "notes.txt: no column says where a photo is"),
        "binary": ("program", "program: a table is wanted, one of .csv, "),
        "one column": ("one.csv", "one.csv: no column says what kind of product"),
        "no rights": ("closed", "closed: Permission denied; change its owner or rights"),
        "a photo": ("photo.jpg", "photo.jpg: a photo; name the folder that it is in"),
        "nothing": ("gone", "gone: no such file or folder in "),
        "no such table": ("gone.csv", "gone.csv: no such file or folder; is one.csv meant?"),
        "where the line works": (".", ".: the line itself works in it"),
        "no server": ("http://127.0.0.1:9/a.csv", "http://127.0.0.1:9/a.csv: cannot be brought"),
    }


def test_nonsense_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    cases = nonsense(tmp_path)
    before = sorted(tmp_path.iterdir())
    for target, said in cases.values():
        done = Work(tmp_path, ["init", target], fault=like_anybody).end()
        (line,) = done.stderr.splitlines()
        assert (done.returncode, done.stdout) == (2, "")
        assert line.startswith(f"visnet init: {said}"), line
    assert sorted(tmp_path.iterdir()) == before


def test_what_readme_says_of_it_is_a_command(tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text().partition("## On your photos")[2].partition("\n## ")[0]
    commands = re.findall(r"(?m)^    python -m visnet (init \S+)", section)
    put(tmp_path / "photos", *SIXTY)
    assert Work(tmp_path, commands[0].split()).end().returncode == 0


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="no real photos here")
@pytest.mark.parametrize(
    ("target", "source", "photos", "products", "config"),
    [
        ("clothing", "table", 3409, 3409, "efficientnet_lite0_frozen"),
        ("clothing/images", "folder", 3409, 3409, "efficientnet_lite0_frozen"),
        ("grocery", "street2shop", 3017, 81, "efficientnet_lite0"),
    ],
)
def test_real_catalogs(target: str, source: str, photos: int, products: int, config: str, tmp_path: Path) -> None:
    said = run(tmp_path, str(REAL / target))
    assert re.match(rf"Found +{photos:,} photos.* of {products:,} products in ", said[0])
    assert written(tmp_path)["raw_images"]["source"] == source
    assert written(tmp_path)["trained_model"]["config"] == config
