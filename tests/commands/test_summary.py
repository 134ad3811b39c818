"""What `summary` says: all that was measured, and of a catalog without street photos what that was."""

import json
from pathlib import Path

import pytest

from visnet.commands import summary


def said(folder: Path, monkeypatch: pytest.MonkeyPatch, evaluation: dict[str, object], **model: object) -> list[str]:
    monkeypatch.chdir(folder)
    reports = {
        "raw_images": {"photos": 6, "lost": 0, "products": 6, "categories": 2},
        "trained_model": {"config": "some_frozen", "parameters": 10, "training_s": 6.0} | model,
        "knn_results": {"street_queries": evaluation["queries"], "products": 6},
        "evaluation": evaluation,
        "duplicates": {"enabled": False},
    }
    (folder / "reports").mkdir()
    for stage, report in reports.items():
        (folder / "reports" / f"{stage}.json").write_text(json.dumps(report), encoding="utf-8")
    for name in ("crops", "duplicates", "evaluation.similar"):
        (folder / "reports" / f"{name}.png").touch()
    return summary.text().splitlines()


def test_without_street_photos_it_says_what_was_measured_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"queries": 0, "recall_at_1": None, "category_agreement": 0.532, "augmented_recall_at_1": 1.0}
    assert said(tmp_path, monkeypatch, found)[:7] == [
        "Catalog    6 photos of 6 products in 2 categories",
        "Model      some_frozen, 10 parameters, nothing was learnt here",
        "Answers    similar products of 6",
        "",
        "Measured   no recall: it wants street photos, those that shoppers took, of products with shop photos",
        "           53% of the 10 most similar products share the category",
        "           100% of the shop's photos, when they are changed a little, find themselves first",
    ]


def test_with_street_photos_it_says_recall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = said(tmp_path, monkeypatch, {"queries": 4, "recall_at_1": 0.5, "category_agreement": 0.6}, epochs=2)
    assert "Model      some_frozen, 10 parameters, trained in 0.1 min" in lines
    assert "Answers    for 4 street photos; similar products of 6" in lines
    assert not any(line.startswith("Measured") for line in lines)
    assert "Pictures   reports/crops.png, reports/evaluation.similar.png" in lines
    assert any(line.split()[:2] == ["trained", "0.500"] for line in lines)
