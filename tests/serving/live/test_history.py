"""Whatever is written, every answer is that of a search of the catalog as changed, by plain arithmetic."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import refreshing
from tests.serving.app.running import search
from tests.serving.live import fed
from tests.serving.live.truth import Truth, same
from visnet.client import Client

STEPS = 40


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_history_of_writes_is_searched_exactly_at_every_step(shop: Path, seed: int) -> None:
    rng, truth = np.random.default_rng(seed), Truth(shop)
    names = [f"p{number:03d}" for number in range(24)] + [f"new/{number}" for number in range(6)]

    def step(client: Client, at: int) -> None:
        name = str(rng.choice(names))
        doing = rng.choice(["new photos", "same photos", "delete", "many"])
        if doing == "delete":
            truth.delete(name)
            client.delete(name)
        elif doing == "same photos" and name in truth.vectors and name.startswith("p"):
            kept = [(shop / "images" / f"{name}-0-{photo}.png") for photo in range(2)]
            record = {"category": truth.category[name], "photos": [path.name for path in kept], "price": at}
            truth.put(name, record["category"], [path.read_bytes() for path in kept], price=at)
            client.wait(client.put(name, record).batch)
        elif doing == "many":
            records: list[dict[str, Any]] = []
            for one in rng.choice(names, 3, replace=False).tolist():
                source = shop / "images" / f"{at}-{one.replace('/', '_')}.png"
                refreshing.draw(source, source.stem, 0)
                records.append({"product_id": one, "op": "upsert", "category": "hat", "photos": [source.name]})
                truth.put(one, "hat", [source.read_bytes()])
            client.wait(client.batch(records).batch)
        else:
            photos = [fed.picture(shop, f"{name} {at}".replace("/", "_"), photo) for photo in range(rng.integers(1, 4))]
            category = str(rng.choice(["bag", "hat", "shoe"]))
            truth.put(name, category, photos, price=30 - at)
            client.wait(client.put(name, {"category": category, "price": 30 - at}, *photos).batch)

    with fed.writing(shop) as (http, client):
        for at in range(STEPS):
            step(client, at)
            asked = fed.picture(shop, f"asked-{at}", 0)
            category = rng.choice([None, *sorted(set(truth.category.values()))])
            truth.check(http, asked, category, str(rng.choice(names)))
            if at % 4 == 0:
                one = str(rng.choice(sorted(set(truth.category.values()))))
                truth.check_filtered(http, asked, one, float(rng.integers(30)), str(rng.choice(names)))


@pytest.mark.usefixtures("one_thread")
def test_a_search_of_more_products_than_are_ranked_is_exact(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visnet.serving.app.search.DEPTH", 5)
    monkeypatch.setattr("visnet.serving.live.merging.MORE", 1)
    truth = Truth(shop)
    with fed.writing(shop) as (http, client):
        for at in range(12):
            photos = [fed.picture(shop, f"deep-{at}", photo) for photo in range(3)]
            truth.put(f"deep/{at}", "bag", photos)
            client.wait(client.put(f"deep/{at}", {"category": "bag"}, *photos).batch)
        for at in range(12):
            asked = fed.picture(shop, f"deep-{at}" if at % 2 else f"far-{at}", 9)
            for category in (None, "bag"):
                told = search(http, asked, limit=5, **({"category": category} if category else {})).json()
                expected = truth.ranked([truth.vector(asked)], category)[:5]
                same([(one["product_id"], one["sq_distance"]) for one in told["results"]], expected)


@pytest.mark.usefixtures("one_thread")
def test_the_like_of_every_product_are_exact_where_others_came_and_went(shop: Path) -> None:
    truth, names = Truth(shop), [f"p{number:03d}" for number in range(24)]
    with fed.writing(shop) as (http, client):
        for at in range(8):
            category, photos = ("bag", "hat")[at % 2], [fed.picture(shop, f"came-{at}", photo) for photo in range(2)]
            truth.put(f"came/{at}", category, photos)
            client.wait(client.put(f"came/{at}", {"category": category}, *photos).batch)
        for gone in ([], names[::5], ["came/3"]):
            for name in gone:
                truth.delete(name)
                client.delete(name)
            for name in {*names, "came/1"} & truth.vectors.keys():
                truth.check_alike(http, name)


@pytest.mark.usefixtures("one_thread")
def test_compare_speaks_of_the_product_as_changed(shop: Path) -> None:
    truth, photo = Truth(shop), fed.picture(shop, "other", 0)
    with fed.writing(shop) as (_, client):
        truth.put("p003", "hat", [photo])
        client.wait(client.put("p003", {"category": "hat"}, photo).batch)
        found = client.compare(photo, "p003")
        ((_, expected), *_) = truth.ranked([truth.vector(photo)])
        assert found.sq_distance == pytest.approx(expected, abs=1e-6)
        assert found.photos[1] == client.product("p003").photos[0].photo_id
