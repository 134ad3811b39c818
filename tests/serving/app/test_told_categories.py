"""Products whose records say no category: what their photos tell is published, filtered by, counted, and marked."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.apart import within
from tests.refreshing import refresh, served, state
from tests.serving.app.running import photo_of, search, whole
from tests.serving.app.running import served as serving
from tests.serving.app.test_categorize import NETWORK, SIDE_PX, put
from visnet.categorizing.categorizer import Categorizer, PathSettings, built
from visnet.client import Client
from visnet.commands import deploy, verify
from visnet.pipeline.log import SILENT
from visnet.serving import catalog
from visnet.storage.table import Table
from visnet.taxonomy.tree import Taxonomy

BARE = ("p004", "p005", "p009", "p012")  # whose records lose their category
TOLD = "hat"
TAXONOMY = Taxonomy.of([TOLD, "hat/straw"])


def strip(shop: Path) -> None:
    """Take the category of some products out of the stock."""
    with (shop / "stock.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    at, product = header.index("_category"), header.index("_id")
    for row in rows:
        row[at] = "" if row[product] in BARE else row[at]
    (shop / "stock.csv").unlink()
    with (shop / "stock.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def put_sure(shop: Path) -> None:
    """Leave a model that is sure of one word and of nothing below it: both leaves stand below it."""
    folder = shop / "data/taxonomy_model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    networks = {"leaves": built(TAXONOMY, "leaves", NETWORK, 14, seed=1).eval()}
    settings = PathSettings(NETWORK, SIDE_PX, 14, "leaves", 0.99, {"leaves": 20.0})
    Categorizer(TAXONOMY, networks, settings).save(folder)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bare(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop after some records lost their category, with the stage switched off."""
    shop = whole(published, tmp_path_factory.mktemp("bare"))
    strip(shop)
    refresh(shop)
    return shop


@pytest.fixture(scope="module")
def filled(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after their photos told it."""
    shop = Path(shutil.copytree(bare, tmp_path_factory.mktemp("filled") / "shop", symlinks=True))
    put_sure(shop)
    refresh(shop, "category_paths", "publish")
    return shop


@pytest.fixture(scope="module")
def http(filled: Path) -> Iterator[httpx.Client]:
    with serving(filled / "data") as http:
        yield http


def test_it_is_a_part_of_the_version_beside_crops_that_stay_as_they_are(bare: Path, filled: Path) -> None:
    before, after = state(bare), state(filled)
    assert after.keys() - before.keys() == {"served told_categories", "served taxonomy", "served today"}
    assert {name: after[name] for name in before} == before
    with catalog.open_current(filled / "data") as version:
        assert version.told_categories is not None
        told = Table(version.told_categories).read(["product_id", "path", "probability"]).to_pylist()
    assert {one["product_id"]: one["path"] for one in told} == dict.fromkeys(BARE, TOLD)
    assert all(one["probability"] > 0.99 for one in told)


def test_a_product_is_marked_where_its_category_was_told(http: httpx.Client, filled: Path) -> None:
    with Client(str(http.base_url)) as client:
        for product_id, told in (("p004", True), ("p003", False)):
            one = client.product(product_id)
            assert (one.category, one.category_told) == (TOLD, told)
            assert (one.category_probability is None) is not told
        found = client.search(photo_of(filled, "p004-0-1"), limit=24)
        marked = {hit.product_id: hit.category for hit in found.results if hit.category_told}
    assert marked == dict.fromkeys(BARE, TOLD)
    assert all(hit.category for hit in found.results)


def test_filters_categories_and_facets_see_it(http: httpx.Client, filled: Path) -> None:
    hats = {f"p{at:03d}" for at in range(24) if at % 2 or f"p{at:03d}" in BARE}
    photo = photo_of(filled, "p004-0-1")
    for asked in ({"category": TOLD}, {"filter": json.dumps({"column": "category", "in": [TOLD, "none"]})}):
        found = search(http, photo, limit=24, **asked).json()
        assert {one["product_id"] for one in found["results"]} == hats
        assert found["facets"]["category"] == [{"value": TOLD, "count": len(hats)}]
    counted = {one["value"]: one["count"] for one in http.get("/v1/catalog").json()["categories"]}
    assert counted == {TOLD: len(hats), "bag": 24 - len(hats)}


def test_similar_ones_are_of_the_told_category_and_of_the_known_ones_with_it(http: httpx.Client) -> None:
    """In a category that products were told, a list is that of a search: here of all pairs, by the service itself."""
    for product_id in ("p004", "p003"):
        url, only = f"/v1/products/{product_id}/similar", json.dumps({"column": "category", "equals": TOLD})
        listed = http.get(url).json()["results"]
        searched = http.get(url, params={"filter": only}).json()["results"]
        assert len(listed) == 3
        keys = ("product_id", "photo_id", "sq_distance", "category_told")
        assert [[one[key] for key in keys] for one in listed] == [[one[key] for key in keys] for one in searched[:3]]
    (bag,) = http.get("/v1/products/p000/similar", params={"limit": 1}).json()["results"]
    assert bag["category"] == "bag"


def test_switched_off_nothing_is_told_and_a_product_without_a_category_has_none(bare: Path) -> None:
    with serving(bare / "data") as http:
        one = http.get("/v1/products/p004").json()
        assert (one["category"], one["category_told"], one["category_probability"]) == ("", False, None)
        similar = http.get("/v1/products/p004/similar").json()["results"]
        assert {hit["product_id"] for hit in similar} == {*BARE} - {"p004"}


def test_no_new_version_where_no_product_lacks_a_category(published: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(published, tmp_path / "shop", symlinks=True))
    put(shop)
    refresh(shop, "category_paths", "publish")
    number = served(shop)
    refresh(shop, "category_paths", "publish")
    assert served(shop) == number
    with catalog.open_current(shop / "data") as version:
        assert version.told_categories is None


def test_deploy_brings_it_back_and_verify_reads_it(filled: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(filled, tmp_path / "shop", symlinks=True))
    with within(shop):
        shutil.rmtree("data/publish")
        assert deploy.run() == "Version 1 is served"
        verify.run(SILENT)
    with catalog.open_current(shop / "data") as version:
        assert version.told_categories is not None


def test_a_record_that_says_a_category_has_its_own(filled: Path, tmp_path: Path) -> None:
    """A table that is older than the records: what is known is never overruled."""
    shop = Path(shutil.copytree(filled, tmp_path / "shop", symlinks=True))
    stock = (shop / "stock.csv").read_text(encoding="utf-8")
    (shop / "stock.csv").unlink()
    (shop / "stock.csv").write_text(stock.replace("\n,", "\nbag,"), encoding="utf-8")
    refresh(shop)  # without category_paths
    with serving(shop / "data") as http:
        one = http.get("/v1/products/p005").json()
        assert (one["category"], one["category_told"]) == ("bag", False)
