"""Whatever is written, every answer is that of a search of the catalog as changed, by plain arithmetic."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from tests import refreshing
from tests.serving.app.running import search
from tests.serving.live import fed
from visnet.client import Client
from visnet.photos import codec
from visnet.serving import catalog
from visnet.serving.searcher import Searcher

STEPS = 40


class Truth:
    """The catalog as it should be: product -> its category and vectors, made without the service."""

    def __init__(self, shop: Path) -> None:
        with catalog.open_current(shop / "data") as version:
            self.searcher = Searcher(version.trained_model, version.folder)
        self.shop, self.line = shop, fed.line(shop)
        self.vectors = {name: list(crops.values()) for name, crops in fed.published_vectors(shop).items()}
        self.category = {name: ("bag", "hat")[int(name[1:]) % 2] for name in self.vectors}
        self.withdrawn: set[str] = set()

    def vector(self, photo: bytes) -> torch.Tensor:
        """Embed a photo that asks."""
        return self.searcher.embed([codec.decode(photo)])[0]

    def put(self, name: str, category: str, photos: list[bytes]) -> None:
        """Cut and embed a product's photos as the line does."""
        crops = [codec.encode(codec.fit(codec.decode(photo), self.line.side_px), self.line.quality) for photo in photos]
        self.vectors[name] = [self.vector(crop) for crop in crops]
        self.category[name] = category
        self.withdrawn.discard(name)

    def delete(self, name: str) -> None:
        """Withdraw a product."""
        if self.vectors.pop(name, None):
            del self.category[name]
            self.withdrawn.add(name)

    def ranked(self, vectors: list[torch.Tensor], category: str | None = None) -> list[tuple[str, float]]:
        """Rank the products of a category by the nearest of several vectors."""
        within = {name: own for name, own in self.vectors.items() if category in (None, self.category[name])}
        best: dict[str, float] = {}
        for vector in vectors:
            for name, distance in fed.nearest(vector, within):
                best[name] = min(distance, best.get(name, np.inf))
        return sorted(best.items(), key=lambda pair: pair[1])

    def check(self, http: httpx.Client, photo: bytes, category: str | None, product: str) -> None:
        """Hold the answers of the service against what they should be."""
        told = search(http, photo, limit=2048, **({"category": category} if category else {})).json()
        expected = self.ranked([self.vector(photo)], category)
        same([(one["product_id"], one["sq_distance"]) for one in told["results"]], expected)
        assert told["total"] == len(expected)
        assert {one["value"]: one["count"] for one in told["facets"]["category"]} == counts(
            [self.category[name] for name, _ in expected]
        )
        whole = http.get("/v1/catalog").json()
        assert (whole["products"], whole["photos"]) == (len(self.vectors), sum(map(len, self.vectors.values())))
        assert {one["value"]: one["count"] for one in whole["categories"]} == counts([*self.category.values()])
        alike = http.get(f"/v1/products/{product}/similar", params={"limit": 100})
        if product not in self.vectors:
            assert alike.status_code == 404
            assert ("withdrawn" in alike.json()["detail"]) == (product in self.withdrawn)
            return
        others = self.ranked(self.vectors[product], self.category[product])
        others = [pair for pair in others if pair[0] != product][:3]  # similar_k of the shop
        same([(one["product_id"], one["sq_distance"]) for one in alike.json()["results"]], others)
        said = http.get(f"/v1/products/{product}").json()
        assert len(said["photos"]) == len(self.vectors[product])
        assert all(http.get(one["url"]).status_code == 200 for one in said["photos"])


def counts(values: list[str]) -> dict[str, int]:
    return {value: values.count(value) for value in values}


def same(found: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert [distance for _, distance in found] == pytest.approx([distance for _, distance in expected], abs=2e-6)


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
            truth.put(name, record["category"], [path.read_bytes() for path in kept])
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
            truth.put(name, category, photos)
            client.wait(client.put(name, {"category": category}, *photos).batch)

    with fed.writing(shop) as (http, client):
        for at in range(STEPS):
            step(client, at)
            asked = fed.picture(shop, f"asked-{at}", 0)
            category = rng.choice([None, *sorted(set(truth.category.values()))])
            truth.check(http, asked, category, str(rng.choice(names)))


@pytest.mark.usefixtures("one_thread")
def test_a_search_of_more_products_than_are_ranked_is_exact(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visnet.serving.app.engine.DEPTH", 5)
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
def test_compare_speaks_of_the_product_as_changed(shop: Path) -> None:
    truth, photo = Truth(shop), fed.picture(shop, "other", 0)
    with fed.writing(shop) as (_, client):
        truth.put("p003", "hat", [photo])
        client.wait(client.put("p003", {"category": "hat"}, photo).batch)
        found = client.compare(photo, "p003")
        ((_, expected), *_) = truth.ranked([truth.vector(photo)])
        assert found.sq_distance == pytest.approx(expected, abs=1e-6)
        assert found.photos[1] == client.product("p003").photos[0].photo_id
