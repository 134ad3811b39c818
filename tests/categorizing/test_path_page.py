"""visnet.categorizing.path_page: what a parser of HTML reads on it, whatever the names are."""

from html.parser import HTMLParser

import numpy as np
import pytest

from tests.categorizing.test_path_metrics import guesses
from tests.taxonomy.test_tree import ATLAS
from visnet.categorizing.path_metrics import PathReport, report
from visnet.categorizing.path_page import page
from visnet.taxonomy.tree import Taxonomy

EVIL = "<script>alert('x')</script> & \"more\""


class Read(HTMLParser):
    """Collect tags and the tables' rows of cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data


def measured(seed: int, right: float = 0.7) -> PathReport:
    truth, _ = guesses(300, 1.0)
    _, predicted = guesses(300, right, seed)
    other = np.where(np.random.default_rng(seed).random(300) < right, truth, predicted).tolist()
    return report(ATLAS, truth, other, np.random.default_rng(0))


def test_models_stand_side_by_side_and_the_best_is_bold() -> None:
    models = {"flat": measured(2, 0.9), "sequence": measured(3, 0.6)}
    text = page("Atlas", models)
    figures, paths, *confused = Read(text).tables
    assert figures[0] == ["figure", "flat", "sequence"]
    exact = {row[0]: row[1:] for row in figures}["exact path"]
    for cell, one in zip(exact, models.values(), strict=True):
        assert cell == "{exact_path:.3f} ({exact_path_low:.3f}–{exact_path_high:.3f})".format(**one.figures)
    assert f"<b>{models['flat'].figures['exact_path']:.3f}</b>" in text
    assert f"<b>{models['sequence'].figures['exact_path']:.3f}</b>" not in text
    assert not any("low" in row[0] or "high" in row[0] for row in figures)
    assert paths[0] == ["path", "photos", "flat", "sequence"]
    assert "Men > Ethnic Wear > Jackets" in {row[0] for row in paths}
    assert sum(int(row[1]) for row in paths[1:]) == 300
    assert len(confused) == 2
    assert len(confused[0]) == 1 + len(models["flat"].confusions)


def test_no_text_becomes_markup_and_nothing_is_loaded() -> None:
    there = Taxonomy.of([f"A/{EVIL.replace('/', '%2F')}", "B"])
    truth, predicted = list(there.paths), [EVIL, ""]
    text = page(EVIL, {EVIL: report(there, truth, predicted, np.random.default_rng(0))})
    read = Read(text)
    tags = {tag for tag, _ in read.tags}
    assert not tags & {"script", "link", "img", "iframe", "object"}
    assert not any(name.startswith("on") or name in ("src", "href") for _, attrs in read.tags for name in attrs)
    assert "url(" not in text
    assert "@import" not in text
    assert read.tables[0][0] == ["figure", EVIL]
    cells = {cell for table in read.tables for row in table for cell in row}
    assert {f"A > {EVIL}", "(no answer)"} <= cells
    assert "color-scheme: light dark" in text
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in read.tags


def test_a_path_that_only_one_model_names_has_no_score_for_the_other() -> None:
    there = Taxonomy.of(["A", "B", "C"])
    one, other = (report(there, ["A", "A"], said, np.random.default_rng(0)) for said in (["A", "C"], ["A", "A"]))
    _, paths, *_ = Read(page("x", {"one": one, "other": other})).tables
    assert paths[1:] == [["A", "2", "0.667", "1.000"], ["C", "0", "0.000", "–"]]
    assert "Nothing was confused" in page("x", {"other": other})


def test_the_smallest_calibration_error_is_the_best() -> None:
    there = Taxonomy.of(["A", "B"])
    models = {
        name: report(there, ["A"], ["A"], np.random.default_rng(0), probabilities=[[probability]])
        for name, probability in (("sure", 0.9), ("unsure", 0.5))
    }
    text = page("x", {**models, "silent": report(there, ["A"], ["A"], np.random.default_rng(0))})
    (row,) = [row for row in Read(text).tables[0] if row[0] == "calibration error 1"]
    assert row[1:] == ["0.100", "0.500", "–"]
    assert "<b>0.100</b>" in text
    assert "<b>0.500</b>" not in text


def test_models_of_other_photos_are_not_compared() -> None:
    there = Taxonomy.of(["A", "B"])
    one, other = (report(there, truth, ["A"], np.random.default_rng(0)) for truth in (["A"], ["B"]))
    with pytest.raises(ValueError, match="'other' was measured on other photos than 'one'"):
        page("x", {"one": one, "other": other})
    with pytest.raises(ValueError, match="one or more"):
        page("x", {})
