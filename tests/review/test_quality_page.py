"""The page of photos that seem to mislead: bad ones first, decided by keyboard, written at once, never asked again."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd
import pyarrow as pa
import pytest

from tests.duplicates.pictures import drawn
from tests.review.marking import needs_chromium, opened, served
from visnet.photos import codec
from visnet.quality import decisions
from visnet.quality.faults import FAULTS, REASONS
from visnet.quality.listing import QUALITY
from visnet.review import quality
from visnet.storage.table import Table

FLAGGED = {"a": ("unsure", "blurred", 0.9), "b": ("bad", "collage", 0.8), "c": ("bad", "blurred", 0.95)}


def row(name: str, verdict: str, fault: str, score: float) -> dict[str, object]:
    own = {one: f"{name} {one}" for one in ("crop_id", "photo_id", "product_id", "category", "key")}
    scores = {one: score if one == fault else 0.2 if one == "close_up" else 0.0 for one in FAULTS}
    said = {"verdict": verdict, "fault": fault, "reason": REASONS.get(fault, ""), "score": score, "decision": ""}
    return {**own, **scores, **said, "source": "s", "content": name}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three flagged photos, a copy of one of them under another product, a good one and a photo that was dismissed."""
    rows = [row(name, *said) for name, said in FLAGGED.items()]
    rows += [{**row("d", "bad", "blurred", 0.94), "key": "c key"}, row("e", "good", "", 0.1)]
    rows += [{**row("f", "good", "", 0.9), "decision": "dismissed"}]
    columns = ("photo_id", "product_id", "category", "colour", "side", "split")
    crops = [
        {"crop_id": one["crop_id"], "image": codec.encode(drawn(at)), **dict.fromkeys(columns, one["product_id"])}
        for at, one in enumerate(rows)
    ]
    Table(tmp_path / "data/crops/crops.lance", "crop_id").put(pa.Table.from_pylist(crops))
    table = pa.Table.from_pandas(pd.DataFrame(rows)[QUALITY.names], QUALITY, preserve_index=False)
    Table(tmp_path / "data/photo_quality/photo_quality.lance", "crop_id").put(table)
    return tmp_path / "data"


@pytest.fixture
def url(data: Path, tmp_path: Path) -> Iterator[str]:
    with served(quality.judged(data, 100, tmp_path / "photo_quality.csv")) as url:
        yield url


def test_flagged_photos_are_asked_bad_ones_first_and_decided_ones_never_again(
    data: Path, tmp_path: Path, url: str
) -> None:
    path = tmp_path / "photo_quality.csv"
    for name in ("", "main.js", "deciding.js", "judging.js", "page.css"):
        assert httpx.get(f"{url}/{name}").status_code == 200
    asked = httpx.get(f"{url}/quality").json()["flagged"]
    assert [one["keys"] for one in asked] == [["c key"], ["b key"], ["a key"]], (
        "a photo that stands twice is asked once"
    )
    assert asked[0] == {
        "crops": ["c crop_id"],
        "keys": ["c key"],
        "reason": "blurred",
        "verdict": "bad",
        "score": 0.95,
        "others": [["close_up", 0.2]],
    }
    body = {"what": "dismissed", "a": "c key", "b": "", "on": True}
    assert httpx.post(f"{url}/marks", json=body).json() == [["dismissed", "c key"]]
    assert httpx.post(f"{url}/marks", json={**body, "what": "confirmed"}).json() == [["confirmed", "c key"]]
    assert path.read_text() == "decision,photo\nconfirmed,c key\n"
    for bad in ({**body, "a": "e key"}, {**body, "b": "b key"}, {**body, "what": "photo"}, {**body, "on": "yes"}):
        assert httpx.post(f"{url}/marks", json=bad).status_code == 400
    assert [one["keys"] for one in quality.judged(data, 100, path).about["flagged"]] == [["b key"], ["a key"]]
    assert [one["keys"] for one in quality.judged(data, 1, path).about["flagged"]] == [["b key"]]
    assert httpx.post(f"{url}/marks", json={**body, "what": "confirmed", "on": False}).json() == []
    rest = [decisions.row("dismissed", f"{name} key") for name in FLAGGED]
    decisions.write(path, decisions.Decisions(frozenset(rest)))
    with pytest.raises(ValueError, match="nothing is to be decided: 5 photos were flagged"):
        quality.judged(data, 100, path)
    shutil.rmtree(data / "photo_quality")
    with pytest.raises(ValueError, match=r"photo_quality.lance is missing: run `dvc repro photo_quality`"):
        quality.judged(data, 100, path)
    with pytest.raises(ValueError, match="--count 0: at least 1 photo"):
        quality.judged(data, 0, path)


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("width", [1440, 390])
def test_a_person_decides_by_keyboard_and_takes_it_back(width: int, url: str, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    path = tmp_path / "photo_quality.csv"
    with opened(url, width, 844) as (_, page):
        expect(page.locator("h2")).to_have_text("1 / 3 blurred")
        page.keyboard.press("y")
        expect(page.locator("h2")).to_have_text(f"2 / 3 {REASONS['collage']}")
        page.keyboard.press("n")
        expect(page.locator("#counted")).to_have_text("2 of 3 decided · 1 confirmed")
        expect(page.locator("#todo")).to_contain_text("2 decisions in")
        assert path.read_text() == "decision,photo\nconfirmed,c key\ndismissed,b key\n"
        page.keyboard.press("u")
        expect(page.locator("#todo")).to_contain_text("1 decision in")
        assert path.read_text() == "decision,photo\nconfirmed,c key\n"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.reload()
        expect(page.locator("h2")).to_have_text(f"2 / 3 {REASONS['collage']}")
