"""A category may have any name: it is no word of the line's own, no key of a report, and fits every picture."""

import csv
import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests import refreshing
from visnet.evaluation import attributes
from visnet.evaluation.methods import METHODS
from visnet.runs.console import Console
from visnet.sheets.contact_sheet import Thumbnail, sheet
from visnet.stages import catalog_embeddings, crops, evaluation, knn_results, raw_images, triplets

OF_OURS = ["all", "category", "trained", "random", "min", "without_product", ""]
NAMES = [*OF_OURS, "Bags & Purses, 50% off", "two\nlines", "x" * 300, "תיקים", "👜", "a|b", "1", "01", "NA"]
MAPPED = {"side": "side", "split": "split"}


def test_the_line_is_built_and_evaluated_whatever_categories_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = []
    for number, name in enumerate(NAMES):
        for product in ("a", "b"):
            for at, side in enumerate(("shop", "street")):
                photo = f"{number}-{product}-{at}.png"
                refreshing.draw(Path("images", photo), f"{number}{product}", at)
                split = "train" if number < 4 else "test"
                rows.append([name, name and "red", f"{product}{number}", photo, side, split])
    with Path("stock.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([refreshing.HEADER, *rows])
    refreshing.put_model(Path(), 1)
    data = {name: Path("data", name) for name in ("raw_images", "crops", "triplets", "catalog_embeddings")}
    data |= {name: Path("data", name) for name in ("photo_quality", "trained_model", "knn_results", "evaluation")}
    for folder in data.values():
        folder.mkdir(parents=True, exist_ok=True)
    log = Console("line", Path())
    asked = {"source": "table", "metadata": "stock.csv", "table": {"columns": MAPPED}}
    raw_images.build(out=data["raw_images"], params=raw_images.Params.model_validate(asked), log=log)
    shares = crops.Params(side_px=32, validation_share=0.0)
    crops.build(data["raw_images"], out=data["crops"], params=shares, log=log)
    drawn = triplets.Params(train=8, validation=0, test=8)
    triplets.build(data["crops"], data["photo_quality"], out=data["triplets"], params=drawn, log=log)
    small = catalog_embeddings.Params(batch=16)
    catalog_embeddings.build(
        data["crops"],
        data["photo_quality"],
        data["trained_model"],
        out=data["catalog_embeddings"],
        params=small,
        log=log,
    )
    knn_results.build(data["catalog_embeddings"], out=data["knn_results"], params=knn_results.Params(k=5), log=log)
    names = ("raw_images", "crops", "triplets", "trained_model", "catalog_embeddings", "knn_results")
    edges = [data[name] for name in names]
    said = evaluation.build(*edges, out=data["evaluation"], params=evaluation.Params(), log=log)

    recall = pd.read_csv("data/evaluation/recall.csv", dtype={"category": str}, keep_default_na=False)
    tested = sorted(NAMES[4:])
    assert recall[recall["scope"] == "category"]["category"].tolist() == [n for n in tested for _ in evaluation.KS]
    whole = recall[recall["scope"] == "all"].set_index("k")
    assert whole["queries"].unique().tolist() == [2 * len(tested)] == [said["queries"]]
    for k in evaluation.KS:
        assert said[f"recall_at_{k}"] == pytest.approx(float(whole.loc[k, "trained"]), abs=1e-6)
        assert said[f"random_recall_at_{k}"] == pytest.approx(float(whole.loc[k, "random"]), abs=1e-6)
    methods = ("", *(f"{name}_" for name in METHODS[1:]))
    plain = {f"{method}recall_at_{k}" for method in methods for k in evaluation.KS}
    plain |= {f"{measure}_recall_at_{k}" for measure in ("coarse", "fine") for k in attributes.KS}
    plain |= {f"{method}{measure}_recall_at_1" for method in methods[:-1] for measure in ("street", "augmented")}
    measured = {key for key in said if re.search(r"recall_at_\d+$", key)}
    assert measured == plain
    assert {path.name for path in Path().glob("*.png")} == {"line.png", "line.similar.png"}


def test_what_is_shown_beside_the_progress_is_one_short_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Console("line", tmp_path).progress("categories", 1) as progress:
        progress.advance(category="two\nlines\x1b[2J" + "x" * 300, loss=0.123456, epoch=3)
    assert capsys.readouterr().err.count("\n") == 1
    assert progress.shown == f"category two lines [2J{'x' * 27}  loss 0.1235  epoch 3"  # type: ignore[attr-defined]


def test_a_caption_of_any_text_leaves_the_sheet_as_it_is() -> None:
    photo = Image.new("RGB", (40, 40))
    plain = sheet([[Thumbnail(photo, "hats")]], "Crops")
    for text in ["two\nlines", "\r\n\t", "x" * 100_000, "é" * 400, "תיקים", "👜" * 50, "\0\x1b[31m\u202e", "\udcff"]:
        assert sheet([[Thumbnail(photo, text)]], "Crops").size == plain.size
        assert sheet([[Thumbnail(photo)]], text).height == plain.height
