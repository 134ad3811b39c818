"""The catalog as it should be after changes, made and searched without the service."""

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from tests.serving.app.running import search
from tests.serving.live import fed
from visnet.photos import codec
from visnet.serving import catalog
from visnet.serving.searcher import Searcher
from visnet.serving.shop_gallery import ShopGallery


class Truth:
    """The catalog as it should be: product -> its category and vectors, made without the service."""

    def __init__(self, shop: Path) -> None:
        with catalog.open_current(shop / "data") as version:
            self.searcher = Searcher(version.trained_model, ShopGallery.read(version.folder))
        self.shop, self.line = shop, fed.line(shop)
        self.vectors = {name: list(crops.values()) for name, crops in fed.published_vectors(shop).items()}
        said = self.searcher.said
        self.category: dict[str, str] = dict(zip(said["product_id"], said["category"], strict=True))
        self.price: dict[str, float] = {name: int(name[1:]) for name in self.vectors if name[1:].isdecimal()}
        self.withdrawn: set[str] = set()

    def vector(self, photo: bytes) -> torch.Tensor:
        """Embed a photo that asks."""
        return self.searcher.embed([codec.decode(photo)])[0]

    def put(self, name: str, category: str, photos: list[bytes], price: float | None = None) -> None:
        """Cut and embed a product's photos as the line does."""
        crops = [codec.encode(codec.fit(codec.decode(photo), self.line.side_px), self.line.quality) for photo in photos]
        self.vectors[name] = [self.vector(crop) for crop in crops]
        self.category[name] = category
        self.price.pop(name, None)
        if price is not None:
            self.price[name] = price
        self.withdrawn.discard(name)

    def delete(self, name: str) -> None:
        """Withdraw a product, also one that is not there."""
        self.withdrawn.add(name)
        if self.vectors.pop(name, None):
            del self.category[name]
            self.price.pop(name, None)

    def ranked(self, vectors: list[torch.Tensor], category: str | None = None) -> list[tuple[str, float]]:
        """Rank the products of a category by the nearest of several vectors."""
        within = {name: own for name, own in self.vectors.items() if category in (None, self.category[name])}
        best: dict[str, float] = {}
        for vector in vectors:
            for name, distance in fed.nearest(vector, within):
                best[name] = min(distance, best.get(name, np.inf))
        return sorted(best.items(), key=lambda pair: pair[1])

    def check_filtered(self, http: httpx.Client, photo: bytes, category: str, most: float, product: str) -> None:
        """Hold answers within filters against what they should be; a price may be missing."""
        cheap = {"column": "price", "range": {"max": most}}
        filters = {
            "dear": ({"not": cheap}, lambda name: self.price.get(name, most) > most),
            "cheap of it": (
                {"and": [{"column": "category", "in": [category]}, cheap]},
                lambda name: self.category[name] == category and self.price.get(name, np.inf) <= most,
            ),
            "cheap or of it": (
                {"or": [cheap, {"column": "category", "equals": category}]},
                lambda name: self.category[name] == category or self.price.get(name, np.inf) <= most,
            ),
        }
        for asked, holds in filters.values():
            words = {"filter": json.dumps(asked), "facets": "category,price"}
            told = search(http, photo, limit=2048, **words).json()
            expected = [pair for pair in self.ranked([self.vector(photo)]) if holds(pair[0])]
            same([(one["product_id"], one["sq_distance"]) for one in told["results"]], expected)
            assert told["total"] == len(expected)
            self.check_counted(told["facets"], [name for name, _ in expected])
            if product in self.vectors:
                told = http.get(f"/v1/products/{product}/similar", params=words | {"limit": 2048}).json()
                others = [pair for pair in self.ranked(self.vectors[product]) if holds(pair[0]) and pair[0] != product]
                same([(one["product_id"], one["sq_distance"]) for one in told["results"]], others)
                assert told["total"] == len(others)
                self.check_counted(told["facets"], [name for name, _ in others])

    def check_counted(self, facets: dict[str, Any], names: list[str]) -> None:
        """Hold counts of values against those of products."""
        assert {one["value"]: one["count"] for one in facets["category"]} == counts(
            [self.category[name] for name in names]
        )
        prices = [self.price[name] for name in names if name in self.price]
        assert sum(one["count"] for one in facets["price"]["histogram"]) == len(prices)
        assert (facets["price"]["min"], facets["price"]["max"]) == (
            min(prices, default=None),
            max(prices, default=None),
        )

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
        if product not in self.vectors:
            alike = http.get(f"/v1/products/{product}/similar")
            assert alike.status_code == 404
            assert ("withdrawn" in alike.json()["detail"]) == (product in self.withdrawn)
            return
        self.check_alike(http, product)
        said = http.get(f"/v1/products/{product}").json()
        assert len(said["photos"]) == len(self.vectors[product])
        assert all(http.get(one["url"]).status_code == 200 for one in said["photos"])

    def check_alike(self, http: httpx.Client, product: str) -> None:
        """Hold the products that the service calls like one against those that are."""
        alike = http.get(f"/v1/products/{product}/similar", params={"limit": 100}).json()
        others = self.ranked(self.vectors[product], self.category[product])
        others = [pair for pair in others if pair[0] != product][:3]  # similar_k of the shop
        same([(one["product_id"], one["sq_distance"]) for one in alike["results"]], others)


def counts(values: list[str]) -> dict[str, int]:
    return {value: values.count(value) for value in values}


def same(found: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert [distance for _, distance in found] == pytest.approx([distance for _, distance in expected], abs=2e-6)
