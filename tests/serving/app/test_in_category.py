"""A search that keeps to the category its photo is told: it is the search with that filter, and says which it was."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.refreshing import refresh
from tests.serving.app.running import photo_of, search, whole
from tests.serving.app.running import served as serving
from tests.serving.app.test_categorize import NETWORK, SIDE_PX
from tests.serving.app.test_refusals import problem
from visnet.categorizing.answers import node_probabilities
from visnet.categorizing.categorizer import Categorizer, PathSettings, built
from visnet.client import Client
from visnet.photos import codec
from visnet.taxonomy.tree import Taxonomy

TAXONOMY = Taxonomy.of(["bag", "hat", "coat/long", "coat/short"])
PHOTOS = ("p000-0-0", "p003-0-1", "p005-0-0", "p008-0-1")


def put(shop: Path, sure: float) -> Categorizer:
    """Leave an untrained model of the shop's own categories, and of one that it does not sell."""
    folder = shop / "data/taxonomy_model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    settings = PathSettings(NETWORK, SIDE_PX, 14, "leaves", sure, {"leaves": 0.2})
    made = Categorizer(TAXONOMY, {"leaves": built(TAXONOMY, "leaves", NETWORK, 14, seed=5).eval()}, settings)
    made.save(folder)
    return made


@pytest.fixture(scope="module")
def telling(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = whole(published, tmp_path_factory.mktemp("telling"))
    put(shop, 0.0)
    refresh(shop, "publish")
    return shop


@pytest.fixture(scope="module")
def http(telling: Path) -> Iterator[httpx.Client]:
    with serving(telling / "data") as http:
        yield http


@pytest.mark.parametrize("name", PHOTOS)
def test_it_is_the_search_below_what_categorize_tells(http: httpx.Client, telling: Path, name: str) -> None:
    photo = photo_of(telling, name)
    (told,) = http.post("/v1/categorize", files=[("photo", ("photo", photo))]).json()["photos"]
    kept = search(http, photo, in_category="true").json()
    said = kept["in_category"]
    assert said["category"] == told["category"] != ""
    assert said["probability"] == pytest.approx(told["levels"][told["told"] - 1]["probability"], abs=1e-4)
    by_hand = search(http, photo, filter=json.dumps({"column": "category", "below": said["category"]})).json()
    for key in ("results", "total", "facets"):
        assert kept[key] == by_hand[key]
    assert {one["category"] for one in kept["results"]} <= {said["category"]}
    again = search(http, query_id=kept["query_id"], in_category="true").json()
    assert (again["in_category"]["category"], again["total"]) == (said["category"], kept["total"])


def test_off_it_is_not_there(http: httpx.Client, telling: Path) -> None:
    found = search(http, photo_of(telling, "p000-0-0")).json()
    assert (found["in_category"], found["total"]) == (None, 24)
    assert search(http, photo_of(telling, "p000-0-0"), in_category="false").json()["results"] == found["results"]


def test_photos_and_boxes_of_one_thing_are_told_together(http: httpx.Client, telling: Path) -> None:
    """Their nodes' probabilities by the model itself, averaged by numpy: the likeliest first level is the answer's."""
    model = Categorizer.load(telling / "data/taxonomy_model")
    names, box = PHOTOS[:2], (4, 4, 28, 30)
    pictures = [codec.decode(photo_of(telling, name)) for name in names]
    boxed = codec.crop(pictures[0], (4, 4, 24, 26))
    for squares, fields in (
        ([model.square(picture) for picture in pictures], {}),
        ([model.square(boxed), model.square(pictures[1])], {"box": ",".join(map(str, box))}),
    ):
        answers = model.categorize(squares)
        sums: dict[str, float] = {}
        for one in answers:
            first = one.path.split("/")[0]
            sums[first] = sums.get(first, 0.0) + one.level_probabilities[0] / len(answers)
        found = search(http, *(photo_of(telling, name) for name in names), in_category="true", **fields).json()
        best = max(sums, key=lambda name: (sums[name], name))
        assert found["in_category"]["category"].split("/")[0] == best
        if "/" not in found["in_category"]["category"]:
            assert found["in_category"]["probability"] == pytest.approx(sums[best], abs=1e-4)


def test_what_the_model_is_unsure_of_narrows_nothing(telling: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(telling, tmp_path / "shop", symlinks=True))
    model, photo = put(shop, 1.0), photo_of(telling, "p000-0-0")
    square = model.square(codec.decode(photo))
    (answer,) = model.categorize([square])
    assert answer.answer == ""
    shares = np.full((1, len(TAXONOMY.paths)), 1 / len(TAXONOMY.paths))
    assert node_probabilities(TAXONOMY, shares).max() < 1
    refresh(shop, "publish")
    with serving(shop / "data") as http:
        kept, plain = search(http, photo, in_category="true").json(), search(http, photo).json()
        assert kept["in_category"] == {"category": "", "probability": None, "taxonomy": TAXONOMY.version}
        for key in ("results", "total", "facets"):
            assert kept[key] == plain[key]


def test_where_there_is_no_model_or_several_things_it_is_refused(
    http: httpx.Client, telling: Path, place: Path
) -> None:
    photo = photo_of(telling, "p000-0-0")
    assert "one box at a time" in problem(search(http, photo, in_category="true", group_by="box"), 422)
    with serving(place / "data") as without:
        assert "has no model of categories" in problem(search(without, photo, in_category="true"), 409)


def test_the_client_asks_for_it(http: httpx.Client, telling: Path) -> None:
    with Client(str(http.base_url)) as client:
        found = client.search(photo_of(telling, "p003-0-1"), in_category=True, limit=3)
    assert found.in_category is not None
    assert found.in_category.taxonomy == TAXONOMY.version
    assert all(one.category == found.in_category.category for one in found.results)
