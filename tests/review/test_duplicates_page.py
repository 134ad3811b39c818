"""The page of double listings: undecided pairs, decided by keyboard, written at once and never asked again."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd
import pyarrow as pa
import pytest

from tests.duplicates.pictures import drawn
from tests.review.marking import needs_chromium, opened, served
from visnet.duplicates import decisions
from visnet.duplicates.listing import PAIRS
from visnet.photos import codec
from visnet.review import duplicates
from visnet.storage.table import Table

NAMES = ["a", "b", "c", "d"]


def pair(a: str, b: str, score: float) -> dict[str, object]:
    sides = {f"{side}_{name}": f"{own} {name}" for side, own in (("a", a), ("b", b)) for name in ("crop_id", "key")}
    sides |= {"a_product_id": a, "b_product_id": b, "a_category": "hat", "b_category": "hat"}
    said = {"relation": "mirrored", "score": score, "exact": 0.9, "colour": 1.5, "found_by": "hash", "decision": ""}
    return {"pair_id": a + b, **sides, **said, "group": "a", "source": "s", "content": a + b}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three pairs between four products, and one within a product."""
    columns = ("photo_id", "product_id", "category", "colour", "side", "split")
    crops = [
        {"crop_id": f"{name} crop_id", "image": codec.encode(drawn(at)), **dict.fromkeys(columns, name)}
        for at, name in enumerate(NAMES)
    ]
    Table(tmp_path / "data/crops/crops.lance", "crop_id").put(pa.Table.from_pylist(crops))
    rows = [pair("a", "b", 0.7), pair("b", "c", 0.9), pair("c", "d", 0.8), pair("d", "d", 0.99)]
    table = pa.Table.from_pandas(pd.DataFrame(rows)[PAIRS.names], PAIRS, preserve_index=False)
    Table(tmp_path / "data/duplicates/duplicates.lance", "pair_id").put(table)
    return tmp_path / "data"


@pytest.fixture
def url(data: Path, tmp_path: Path) -> Iterator[str]:
    with served(duplicates.judged(data, 100, tmp_path / "duplicates.csv")) as url:
        yield url


def test_pairs_between_products_are_asked_surest_first_and_decided_ones_never_again(
    data: Path, tmp_path: Path, url: str
) -> None:
    path = tmp_path / "duplicates.csv"
    asked = [one["keys"] for one in httpx.get(f"{url}/duplicates").json()["pairs"]]
    assert asked == [["b key", "c key"], ["c key", "d key"], ["a key", "b key"]]
    body = {"what": "dismissed", "a": "c key", "b": "b key", "on": True}
    assert httpx.post(f"{url}/marks", json=body).json() == [["dismissed", "b key", "c key"]]
    assert httpx.post(f"{url}/marks", json={**body, "what": "confirmed"}).json() == [["confirmed", "b key", "c key"]]
    assert path.read_text() == "decision,a,b\nconfirmed,b key,c key\n"
    for bad in ({**body, "a": "d key"}, {**body, "what": "positive"}, {**body, "on": "yes"}):
        assert httpx.post(f"{url}/marks", json=bad).status_code == 400
    assert [one["keys"][0] for one in duplicates.judged(data, 100, path).about["pairs"]] == ["c key", "a key"]
    assert [one["keys"][0] for one in duplicates.judged(data, 1, path).about["pairs"]] == ["c key"]
    rest = [decisions.row("dismissed", a, b) for a, b in asked]
    decisions.write(path, decisions.Decisions(frozenset(rest)))
    with pytest.raises(ValueError, match="nothing is to be decided: 3 pairs were found"):
        duplicates.judged(data, 100, path)
    shutil.rmtree(data / "duplicates")
    with pytest.raises(ValueError, match=r"duplicates.lance is missing: run `dvc repro duplicates`"):
        duplicates.judged(data, 100, path)


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("width", [1440, 390])
def test_a_person_decides_by_keyboard_and_takes_it_back(width: int, url: str, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    path = tmp_path / "duplicates.csv"
    with opened(url, width, 844) as (_, page):
        expect(page.locator("h2")).to_have_text("1 / 3 mirrored")
        page.keyboard.press("y")
        expect(page.locator("h2")).to_have_text("2 / 3 mirrored")
        page.keyboard.press("Space")
        page.keyboard.press("n")
        expect(page.locator("#counted")).to_have_text("2 of 3 decided · 1 confirmed")
        expect(page.locator("#todo")).to_contain_text("2 decisions in")
        assert path.read_text() == "decision,a,b\nconfirmed,b key,c key\ndismissed,a key,b key\n"
        page.keyboard.press("u")
        expect(page.locator("#todo")).to_contain_text("1 decision in")
        assert path.read_text() == "decision,a,b\nconfirmed,b key,c key\n"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.reload()
        expect(page.locator("h2")).to_have_text("2 / 3 mirrored")


@pytest.mark.browser
@needs_chromium
def test_who_is_quicker_than_the_first_answer_stays_where_they_went(url: str) -> None:
    from playwright.sync_api import Route, expect

    held: list[Route] = []
    with opened(url, 1440, 844) as (_, page):
        page.wait_for_load_state("networkidle")  # the first page's own question is answered
        page.route("**/marks", lambda route: held.append(route))  # playwright takes no built-in method
        with page.expect_request("**/marks"):
            page.reload()
        expect(page.locator("h2")).to_have_text("1 / 3 mirrored")
        page.keyboard.press("Space")
        expect(page.locator("h2")).to_have_text("2 / 3 mirrored")
        with page.expect_response("**/marks"):
            held[0].continue_()
        page.wait_for_timeout(200)
        expect(page.locator("h2")).to_have_text("2 / 3 mirrored")
