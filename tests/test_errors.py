"""What a user can get wrong: one line with the file, the field and what is allowed; exit 2; nothing half-written."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.workspace import SMALL, make, report, visnet
from visnet import zoo
from visnet.runs import runner
from visnet.storage.table import Table
from visnet.zoo import weights


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("errors") / "shop")


def refused(folder: Path, *command: str) -> str:
    """Run a command that must be refused: exit 2, one line, nothing half-written. Return the line."""
    done = visnet(folder, *command)
    assert done.returncode == 2, f"exited {done.returncode}: {done.stderr}"
    said = [line for line in done.stderr.splitlines() if line.startswith("visnet ")]
    assert len(said) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.glob("data/*.building"))
    assert not list(folder.glob("reports/*.building"))
    return said[0]


PARAMS = {
    "unknown key": ("side_px = 96", "side_pix = 96", "crops", ["params.toml", "[crops] side_pix", "known are side_px"]),
    "wrong type": (
        "side_px = 96",
        'side_px = "big"',
        "crops",
        ["params.toml", "[crops] side_px", "whole number", "'big'"],
    ),
    "unknown table": ("[crops]", "[crop]", "crops", ["params.toml", "[crop]", "allowed are raw_images, crops"]),
    "not TOML": ("[crops]", "[crops", "crops", ["params.toml", "not TOML", "line"]),
    "unknown source": (
        '"synthetic"\n',
        '"synthetik"\n',
        "raw_images",
        ["'synthetik'", "street2shop, table", "is 'synthetic' meant?"],
    ),
    "unknown source key": ("seed = 5", "sead = 5", "raw_images", ["synthetic.sead", "known are", "seed"]),
    "missing source": (
        "visnet/sources/synthetic.py",
        "gone/away",
        "raw_images",
        ["metadata", "gone/away", "not exist"],
    ),
}


@pytest.mark.parametrize("case", PARAMS)
def test_parameters(case: str, empty: Path) -> None:
    old, new, stage, named = PARAMS[case]
    (empty / "params.toml").write_text(SMALL.replace(old, new, 1))
    said = refused(empty, "run", stage)
    for part in named:
        assert part in said


def test_a_stage_without_its_input(empty: Path) -> None:
    (empty / "params.toml").write_text(SMALL)
    assert "data/crops is missing; run `dvc repro crops`" in refused(empty, "run", "triplets")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xef\xbb\xbf[crops]\n", "begins with a byte order mark, which DVC does not read; save it as UTF-8 without"),
        ("[crops]\n".encode("utf-16"), "begins with a byte order mark, which DVC does not read"),
        (b'[crops]\nx = "\xe9"\n', "not UTF-8 text at byte 13; save it as UTF-8"),
    ],
)
def test_parameters_in_another_encoding(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "params.toml").write_bytes(data)
    with pytest.raises(ValueError, match=f"params.toml: {said}"):
        runner.read_params(tmp_path / "params.toml")


def test_an_optional_stage_has_its_table_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "params.toml").write_text("[crops]\n")
    (tmp_path / "localizer.toml").write_text("[localizer]\nenabled = true\n")
    assert runner.read_params(tmp_path / "params.toml") == {"crops": {}, "localizer": {"enabled": True}}
    (tmp_path / "params.toml").write_text("[localizer]\n")
    with pytest.raises(ValueError, match=r"params.toml: \[localizer\] has its place in .*localizer.toml"):
        runner.read_params(tmp_path / "params.toml")


def test_no_parameters_at_all(tmp_path: Path) -> None:
    assert "params.toml: no such file" in refused(tmp_path, "run", "crops")


def street2shop(folder: Path, retrieval: list[dict[str, int]]) -> None:
    """Write a Street2Shop layout of one category whose photos are those of two files."""
    from PIL import Image

    root = folder / "datasets" / "tiny"
    (root / "photos").mkdir(parents=True, exist_ok=True)
    (root / "meta/json").mkdir(parents=True, exist_ok=True)
    lines = []
    for photo in range(1, 7):
        path = root / f"{photo}.png"
        Image.new("RGB", (64, 64), (40 * photo, 0, 0)).save(path)
        lines.append(f"{photo:09d},{path}\n")
    (root / "photos/photos.txt").write_text("".join(lines))
    box = {"left": 0, "top": 0, "width": 64, "height": 64}
    (root / "meta/json/train_pairs_hats.json").write_text(json.dumps([{"photo": 1, "product": 1, "bbox": box}]))
    (root / "meta/json/test_pairs_hats.json").write_text(json.dumps([]))
    (root / "meta/json/retrieval_hats.json").write_text(json.dumps(retrieval))
    params = SMALL.replace('source = "synthetic"', 'source = "street2shop"')
    params = params.replace("visnet/sources/synthetic.py", "datasets/tiny")
    (folder / "params.toml").write_text(params)


def test_an_empty_category(tmp_path: Path) -> None:
    shop = make(tmp_path / "shop")
    street2shop(shop, retrieval=[])
    said = refused(shop, "run", "raw_images")
    assert "hats" in said
    assert "retrieval_hats.json" in said


def test_a_category_with_one_product(tmp_path: Path) -> None:
    shop = make(tmp_path / "shop")
    street2shop(shop, retrieval=[{"photo": 2, "product": 1}])
    assert visnet(shop, "run", "raw_images").returncode == 0
    said = refused(shop, "run", "crops")
    assert "[crops] small_categories: category 'hats' has 1 product" in said
    assert '"drop"' in said


def test_a_table_without_the_mapped_column(tmp_path: Path) -> None:
    shop = make(tmp_path / "shop")
    (shop / "stock.csv").write_text("sku,kind,file\n1,hats,a.jpg\n")
    params = SMALL.replace('source = "synthetic"', 'source = "table"').replace(
        "visnet/sources/synthetic.py", "stock.csv"
    )
    (shop / "params.toml").write_text(params)
    said = refused(shop, "run", "raw_images")
    assert "stock.csv" in said
    assert "sku, kind, file" in said


def test_corrupt_weights(built: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(built, tmp_path / "shop", symlinks=True))
    weights = shop / "data/trained_model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    before = report(shop, "catalog_embeddings")
    assert "model.safetensors" in refused(shop, "run", "catalog_embeddings")
    assert report(shop, "catalog_embeddings") == before


def test_a_checkpoint_of_another_architecture(built: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(built, tmp_path / "shop", symlinks=True))
    entry = dataclasses.replace(zoo.entry("resnet18"), weights="none")
    (shop / "data/trained_model/checksums.json").unlink()  # else it is called damaged
    (shop / "data/trained_model/model.toml").write_text(entry.toml())
    said = refused(shop, "run", "catalog_embeddings")
    assert "data/trained_model/model.safetensors: its tensors are not those of TimmTrunk" in said
    assert "first 'embedding.bias'" in said


def test_an_unknown_config_suggests_the_nearest(built: Path, tmp_path: Path) -> None:
    shop = trained_with(built, tmp_path, config="mildnet_smal")
    assert "no model is called 'mildnet_smal'; did you mean 'mildnet_small'" in refused(shop, "run", "trained_model")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("margin = 0.2", "margn = 0.2", "[loss] (sq_hinge): unknown key 'margn'; did you mean 'margin'"),
        ("margin = 0.2", "alpha_deg = 45.0", "[loss] (sq_hinge): unknown key 'alpha_deg'; allowed are margin"),
    ],
    ids=["a misspelt key", "a parameter of another loss"],
)
def test_a_toml_of_ones_own(old: str, new: str, named: str, built: Path, tmp_path: Path) -> None:
    shop = trained_with(built, tmp_path, config="own.toml")
    (shop / "own.toml").write_text(OWN.toml().replace(old, new))
    said = refused(shop, "run", "trained_model")
    assert "own.toml" in said
    assert named in said


def test_a_loss_that_is_no_number(built: Path, tmp_path: Path) -> None:
    shop = trained_with(built, tmp_path, config="own.toml")
    (shop / "own.toml").write_text(OWN.toml())
    kept = weights.digest(weights.load(shop / "data/trained_model")[0].state_dict())
    done = visnet(shop, "run", "trained_model")
    assert done.returncode == 2, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("visnet ")]
    crop = Table(shop / "data/crops/crops.lance").read(["crop_id"])["crop_id"].to_pylist()
    assert re.search(r"(training loss|weight '.*') is (nan|inf) at epoch 1, step \d+ of \d+", said)
    named = any(name in said for name in crop)
    assert named == ("training loss" in said), "the photos of the batch are named, and none where a weight is no number"
    assert "a lower lr than 1e+06" in said
    assert weights.digest(weights.load(shop / "data/trained_model")[0].state_dict()) == kept, "the last model stays"


def trained_with(built: Path, tmp_path: Path, *, config: str) -> Path:
    """Copy the built shop, and have it train another config."""
    shop = Path(shutil.copytree(built, tmp_path / "shop", symlinks=True))
    (shop / "params.toml").write_text(SMALL.replace('"mildnet_small"', f'"{config}"'))
    return shop


OWN = dataclasses.replace(  # without a norm, nothing keeps its embeddings from growing
    zoo.entry("mildnet_small"),
    architecture=zoo.Architecture(kind="tapped", parameters={"trunk": "plain", "dense": (128,), "norm": "none"}),
    batches=zoo.Batches(triplets=8),
    loss=zoo.Loss(name="sq_hinge", parameters={"margin": 0.2}),
    optimizer=zoo.Optimizer(name="sgd", lr=1e6, momentum=0.99),
    schedule=zoo.Schedule(),
)


def test_more_answers_than_products(built: Path, tmp_path: Path) -> None:
    """Asking for more neighbours than there are products is no error: it answers with what there is, and says so."""
    shop = Path(shutil.copytree(built, tmp_path / "shop", symlinks=True))
    params = shop / "params.toml"
    params.write_text(params.read_text().replace("k = 20", "k = 500"))
    done = visnet(shop, "run", "knn_results")
    assert done.returncode == 0
    assert "fewer than 500 answers" in done.stderr


def test_photos_of_every_odd_kind_are_mended_or_counted(tmp_path: Path) -> None:
    import io

    import numpy as np
    from PIL import Image

    def saved(image: Image.Image, kind: str, **options: object) -> bytes:
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    plain = Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    photos = {
        "cmyk.jpg": saved(plain.convert("CMYK"), "JPEG"),
        "deep.png": saved(Image.fromarray(np.linspace(0, 65535, 2400).reshape(40, 60).astype(np.uint16)), "PNG"),
        "palette.gif": saved(plain.convert("P"), "GIF"),
        "moving.gif": saved(plain, "GIF", save_all=True, append_images=[plain.rotate(180)]),
        "turned.jpg": saved(plain, "JPEG", exif=exif),
        "clear.png": saved(plain.convert("RGBA"), "PNG"),
        "empty.jpg": b"",
        "cut.jpg": saved(plain, "JPEG")[:700],
        "words.jpg": b"<html>gone</html>",
    }
    shop = make(tmp_path / "shop")
    (shop / "images").mkdir()
    rows = ["_category,_color,_id,_gender,_name"]
    for number, (name, data) in enumerate(photos.items()):
        (shop / "images" / name).write_bytes(data)
        rows.append(f"hats,Red,{number},u,{name}")
    rows.append("hats,Red,99,u,absent.jpg")
    (shop / "stock.csv").write_text("\n".join(rows) + "\n")
    params = SMALL.replace('source = "synthetic"', 'source = "table"').replace(
        "visnet/sources/synthetic.py", "stock.csv"
    )
    (shop / "params.toml").write_text(params)
    assert visnet(shop, "run", "raw_images").returncode == 0
    assert visnet(shop, "run", "crops").returncode == 0
    said = report(shop, "raw_images")
    assert said["photos"] == 10
    assert said["lost"] == 4
    assert report(shop, "crops")["crops"] == 6
    assert report(shop, "crops")["lost"] == 0
